-- Strict reading of JSON request bodies, for HAProxy (Lua 5.4, lua-cjson).
--
-- Engines disagree about sloppy bodies, so a sloppy body is refused here: of a key that is there twice, HAProxy's
-- json_query takes the first and engines take the last; Go takes "Model" for "model"; every parser reads
-- "m\u006fdel" as "model"; cjson itself ends at a NUL byte. What this lets through means one thing to all of them.
local cjson = require("cjson.safe").new()
cjson.decode_max_depth(64)
cjson.decode_invalid_numbers(false)

local LONGEST_NAME = 200
local OPENS, CLOSES = { ["{"] = true, ["["] = true }, { ["}"] = true, ["]"] = true }

-- Place of the quote that ends the string which begins at `from`. Base64 of an image is one call.
local function string_end(body, from)
  local at = from
  while true do
    at = body:find('"', at + 1, true)
    if not at then return nil end
    local before = at - 1
    while body:byte(before) == 92 do before = before - 1 end
    if (at - before) % 2 == 1 then return at end
  end
end

-- Place after the value that begins at `from`; of a body that cjson could read.
local function value_end(body, from)
  local depth, at = 0, from
  while true do
    local first = body:sub(at, at)
    if first == '"' then
      at = string_end(body, at) + 1
    elseif OPENS[first] then
      depth, at = depth + 1, at + 1
    elseif CLOSES[first] then
      depth, at = depth - 1, at + 1
    else
      at = body:find('[,%]}]', at)
    end
    if depth == 0 then return at end
    at = body:find('["{}%[%]]', at)
  end
end

-- Keys of the outermost object: nil where one is there twice, in other case, or not in plain ASCII;
-- else first and last place of the value of "model".
local function place_of_model(body)
  local seen, first, last = {}, nil, nil
  local at = body:match('^[ \t\r\n]*{[ \t\r\n]*()')
  while body:sub(at, at) == '"' do
    local close = string_end(body, at)
    local key = body:sub(at + 1, close - 1)
    if key:find("[^ -~]") or key:find("\\", 1, true) or seen[key:lower()] then return nil end
    seen[key:lower()] = key
    local from = body:match('^[ \t\r\n]*:[ \t\r\n]*()', close + 1)
    local to = value_end(body, from)
    if key == "model" then first, last = from, to - 1 end
    at = body:match('^[ \t\r\n]*,?[ \t\r\n]*()', to)
  end
  if (seen.model or "model") ~= "model" or (seen.stream or "stream") ~= "stream" then return nil end
  if not body:find('^}[ \t\r\n]*$', at) then return nil end
  return first, last
end

-- What a body asks for: a table with model, stream, and where the model's name stands; else nil and why not.
local function read(body)
  if not body or #body == 0 or not body:find('^[ \t\r\n]*{') then return nil, "400json" end
  local data = cjson.decode(body)
  if type(data) ~= "table" then return nil, "400json" end
  local first, last = place_of_model(body)
  if not first or type(data.model) ~= "string" or data.model == "" then return nil, "400json" end
  if data.stream ~= nil and type(data.stream) ~= "boolean" then return nil, "400json" end
  -- A name goes through maps and headers, so only what a name may hold goes on.
  if #data.model > LONGEST_NAME or not data.model:find("^[%w._:/@+-]+$") then return nil, "404model" end
  return { model = data.model, stream = data.stream, first = first, last = last }
end

-- http-request lua.read_body: sets txn.model and txn.stream; or txn.refused, the error's name. It is refused until it was
-- read: a body that takes longer than tune.lua.burst-timeout (1 s) ends this function where it is.
local STREAMS = { ["/api/chat"] = true, ["/api/generate"] = true }
core.register_action("read_body", { "http-req" }, function(txn)
  txn:set_var("txn.refused", "400json")
  local asked, why = read(txn.f:req_body())
  if not asked then
    txn:set_var("txn.refused", why)
    return
  end
  local stream = asked.stream
  if stream == nil then stream = STREAMS[txn.f:path()] or false end
  txn:set_var("txn.model", asked.model)
  txn:set_var("txn.stream", stream)
  txn:unset_var("txn.refused")
end, 0)

-- filter lua.rename NAME: the body that goes on asks for NAME. The whole body must be in the buffer.
-- HTTPMessage.body() cannot be used in http_headers(), so the body is read there by a fetch, to give its new length,
-- and is changed in http_payload().
local Rename = { id = "rename", flags = filter.FLT_CFG_FL_HTX }
function Rename:new()
  return setmetatable({}, { __index = self })
end
function Rename:start_analyze(txn, channel)
  if not channel:is_resp() then filter.register_data_filter(self, channel) end
end
function Rename:http_headers(txn, message)
  if message:is_resp() then return end
  local body = txn.f:req_body()
  local asked = read(body)
  if not asked then return end
  self.offset, self.length, self.text = asked.first - 1, asked.last - asked.first + 1, '"' .. self.args[1] .. '"'
  local header = message:get_headers()["content-length"]
  if header then message:set_body_len(#body + #self.text - self.length) end
end
function Rename:http_payload(txn, message)
  if message:is_resp() or not self.offset then return end
  message:remove(self.offset, self.length)
  message:insert(self.text, self.offset)
  self.offset = nil
end
core.register_filter("rename", Rename, function(self, args)
  self.args = args
  return self
end)
