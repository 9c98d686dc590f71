"""Unit files as systemd reads them, after systemd.syntax(7) and systemd.exec(5): quotes, C escapes, then specifiers.

Written from the manual and not from `systemd_quote`, which it judges.
"""

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}


def settings_of(text: str) -> dict[str, dict[str, list[str]]]:
    """Section -> setting -> its values in order; an empty value stands for a reset."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            section = line.strip("[]")
            continue
        name, is_setting, value = line.partition("=")
        if not is_setting:
            raise ValueError(f"no setting: {line!r}")
        found.setdefault(section, {}).setdefault(name.strip(), []).append(value.strip())
    return found


def environment_of(text: str) -> dict[str, str]:
    """What `Environment=` lines put into a process."""
    lines = settings_of(text)["Service"].get("Environment", [])
    words = [_specifiers(word) for line in lines for word in split(line)]
    return dict(word.split("=", 1) for word in words)


def split(line: str) -> list[str]:
    """The words of a setting, unquoted and unescaped."""
    words, word, quote, position = [], "", "", 0
    inside = False
    while position < len(line):
        char = line[position]
        if char == "\\":
            text, position = _escape(line, position + 1)
            word, inside = word + text, True
            continue
        if quote:
            word, quote = (word, "") if char == quote else (word + char, quote)
        elif char in "\"'" and not word:
            quote, inside = char, True
        elif char.isspace():
            words, word, inside = ([*words, word] if inside else words), "", False
        else:
            word, inside = word + char, True
        position += 1
    if quote:
        raise ValueError(f"a quote is not closed: {line!r}")
    return [*words, word] if inside else words


def _escape(line: str, position: int) -> tuple[str, int]:
    """The character an escape stands for, and where the text goes on."""
    if position == len(line):
        raise ValueError(f"ends in a backslash: {line!r}")
    char = line[position]
    lengths = {"x": 2, "u": 4, "U": 8}
    if char in lengths:
        end = position + 1 + lengths[char]
        return chr(int(line[position + 1 : end], 16)), end
    if char in _ESCAPES or char in "\\\"'":
        return _ESCAPES.get(char, char), position + 1
    raise ValueError(f"no such escape: \\{char}")


def _specifiers(word: str) -> str:
    """`%%` is a percent sign; any other specifier would be replaced by something of the host's."""
    rest = word.replace("%%", "\0")
    if "%" in rest:
        raise ValueError(f"holds a specifier: {word!r}")
    return rest.replace("\0", "%")
