"""CDI specifications of NVIDIA cards: those on the disk, and what one would say now; a part of those that import it.

A specification is told as {"devices": {name: {"nodes": [...], "digest": ...}}, "common", "driver", "generated",
"ours"}: two that are equal in devices and `common` give containers the same.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import subprocess
from typing import Any

CDI_KIND = "nvidia.com/gpu"
CDI_MARK = "# Managed by inferfleet"
# What containers are given comes from both; a name in the second hides that of the first (CDI library 1.0).
CDI_DIRS = ("/etc/cdi", "/var/run/cdi")
CDI_SETTINGS = "/etc/nvidia-container-toolkit/nvidia-cdi-refresh.env"
CDI_OUTPUT = "NVIDIA_CTK_CDI_OUTPUT_FILE_PATH"
# A driver that lost a card can hang its callers; eight cards without persistence take 20 s.
CTK_HANGS_S = 60
_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s"'\[\]{}#&*!|>%@`,-][^#]*?):(?:\s+(.*))?""")
# The names that nvidia-ctk 1.12 to 1.20 gives: by index, by type and index, by UUID; MIG slices by both indices.
_GENERATED_NAME = re.compile(r"all|(gpu|mig)?\d+(:\d+)?|(GPU|MIG)-[0-9a-f-]+")


def cdi_settings() -> dict[str, str]:
    """What the refresh unit's environment file says to nvidia-ctk; empty where there is none."""
    try:
        with open(CDI_SETTINGS, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file]
    except OSError:
        return {}
    pairs = [line.split("=", 1) for line in lines if line.startswith("NVIDIA_") and "=" in line]
    return {name: value.strip("\"'") for name, value in pairs}


def cdi_environment() -> dict[str, str]:
    """The environment in which the refresh unit runs nvidia-ctk, but that it writes no file."""
    environment = dict(os.environ, **cdi_settings())
    environment.pop(CDI_OUTPUT, None)
    return environment


def cdi_fresh() -> dict[str, Any] | None:
    """What nvidia-ctk would write now, {"error"} where it cannot read the cards; None where there is no nvidia-ctk."""
    # Without an output it writes to stdout (1.17 to 1.20); an empty `--output=` is refused by 1.19.
    command = ["nvidia-ctk", "cdi", "generate", "--format=json"]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=cdi_environment(), encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        return {"error": str(error)}
    try:
        text, errors = process.communicate(timeout=CTK_HANGS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return {"error": f"nvidia-ctk hangs for {CTK_HANGS_S} s; a card may have fallen off the bus"}
    if process.returncode:
        return {"error": _last_words(errors)}
    try:
        return cdi_told(text) or {"error": "it is of another kind than nvidia.com/gpu"}
    except ValueError as error:
        return {"error": str(error)}


def _last_words(log: str) -> str:
    """What the last line of a log says, without time and level."""
    line = (log.strip().splitlines() or ["nvidia-ctk says nothing"])[-1]
    found = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
    return " ".join((found.group(1) if found else line).replace('\\"', '"').replace("\\n", " ").split())


def cdi_files() -> dict[str, dict[str, Any]]:
    """Every specification on the disk that names NVIDIA cards, by path; {"error"} for one that cannot be read."""
    found = {}
    for directory in CDI_DIRS:
        for path in sorted(glob.glob(f"{directory}/*.yaml") + glob.glob(f"{directory}/*.json")):
            told = cdi_file(path)
            if told:
                found[path] = told
    return found


def cdi_file(path: str) -> dict[str, Any] | None:
    """One specification; None where there is none, or it is about something else than NVIDIA cards."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    try:
        return cdi_told(text)
    except ValueError as error:
        return {"error": str(error)} if CDI_KIND in text else None


def cdi_told(text: str) -> dict[str, Any] | None:
    """A specification's text as told above; None where it is of another kind, ValueError where it cannot be read."""
    spec = json.loads(text) if text.lstrip().startswith("{") else simple_yaml(text)
    if not isinstance(spec, dict) or spec.get("kind") != CDI_KIND:
        return None
    try:
        devices = {str(device["name"]): device.get("containerEdits") or {} for device in spec["devices"]}
        return {
            "devices": {n: {"nodes": _nodes(edits), "digest": _digest(edits)} for n, edits in devices.items()},
            "common": _digest({key: value for key, value in spec.items() if key != "devices"}),
            "driver": _driver(text),
            "generated": _is_generated(text, spec, devices),
            "ours": text.startswith(CDI_MARK),
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"has not the form of a CDI specification ({type(error).__name__}: {error})") from error


def _nodes(edits: dict[str, Any]) -> list[str]:
    return sorted(str(node["path"]) for node in edits.get("deviceNodes") or [])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(_sorted(value), sort_keys=True).encode()).hexdigest()[:16]


def _sorted(value: Any) -> Any:
    """The same whatever the order of its lists: nvidia-ctk promises none."""
    if isinstance(value, dict):
        return {key: _sorted(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(entry) for entry in value), key=lambda entry: json.dumps(entry, sort_keys=True))
    return value


def _driver(text: str) -> str | None:
    """The driver's version, from the name of the library that is mounted."""
    found = re.search(r"/lib(?:cuda|nvidia-ml)\.so\.(\d+\.[\d.]*\d)", text)
    return found.group(1) if found else None


def _is_generated(text: str, spec: dict[str, Any], devices: dict[str, Any]) -> bool:
    """Whether nvidia-ctk alone wrote it: its names, its hooks, its environment, and no word of a person."""
    edits = [spec.get("containerEdits") or {}, *devices.values()]
    hooks = [os.path.basename(str(hook.get("path"))) for edit in edits for hook in edit.get("hooks") or []]
    environment = [str(entry) for edit in edits for entry in edit.get("env") or []]
    return (
        not re.search(r"^\s*#", text, re.MULTILINE)
        and set(spec) <= {"cdiVersion", "kind", "devices", "containerEdits"}
        and all(_GENERATED_NAME.fullmatch(name) for name in devices)
        and set(hooks) <= {"nvidia-ctk", "nvidia-cdi-hook"}
        and "NVIDIA_VISIBLE_DEVICES=void" in environment
        and all(entry.startswith("NVIDIA_") for entry in environment)
    )


def simple_yaml(text: str) -> Any:
    """YAML of the kind that programs write: blocks of mappings, lists and one-line scalars; ValueError for more."""
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#" and line.strip() != "---"]
    rows = [[len(line) - len(line.lstrip()), line.strip()] for line in lines if not line.lstrip().startswith("#")]
    if not rows:
        return None
    value, after = _block(rows, 0)
    if after != len(rows):
        raise ValueError(f"is not YAML that can be read here: {rows[after][1]}")
    return value


def _block(rows: list[Any], at: int) -> tuple[Any, int]:
    """The value that begins in this row, and the row after it."""
    indent, text = rows[at]
    if text == "-" or text.startswith("- "):
        return _list(rows, at, indent)
    if _KEY.fullmatch(text):
        return _mapping(rows, at, indent)
    return _scalar(text), at + 1


def _list(rows: list[Any], at: int, indent: int) -> tuple[list[Any], int]:
    found = []
    while at < len(rows) and rows[at][0] == indent and (rows[at][1] + " ").startswith("- "):
        rest = rows[at][1][1:].strip()
        if not rest:
            value, at = _deeper(rows, at + 1, indent)
        else:
            rows[at] = [indent + len(rows[at][1]) - len(rest), rest]
            value, at = _block(rows, at)
        found.append(value)
    return found, at


def _mapping(rows: list[Any], at: int, indent: int) -> tuple[dict[str, Any], int]:
    found = {}
    while at < len(rows) and rows[at][0] == indent:
        entry = _KEY.fullmatch(rows[at][1])
        if not entry:
            break
        key, rest = str(_scalar(entry.group(1))), entry.group(2)
        if rest:
            found[key], at = _scalar(rest), at + 1
        elif at + 1 < len(rows) and rows[at + 1][0] == indent and (rows[at + 1][1] + " ").startswith("- "):
            found[key], at = _list(rows, at + 1, indent)
        else:
            found[key], at = _deeper(rows, at + 1, indent)
    return found, at


def _deeper(rows: list[Any], at: int, indent: int) -> tuple[Any, int]:
    """What belongs to the row before; None where nothing is further to the right."""
    return _block(rows, at) if at < len(rows) and rows[at][0] > indent else (None, at)


def _scalar(text: str) -> Any:
    if text[0] == "'" and len(text) > 1 and text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if text[0] in '"[{':
        return json.loads(text)
    if text[0] in "&*!|>%@`":
        raise ValueError(f"is not YAML that can be read here: {text}")
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return {"true": True, "false": False, "null": None, "~": None}.get(text, text)
