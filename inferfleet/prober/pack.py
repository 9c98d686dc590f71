"""The prober as one file for the gateway host: a zip that `python3 -I` runs."""

import io
import zipfile
from functools import cache
from importlib.resources import files

# Beside `__main__`; the unit's text and this module stay here.
CARRIED = (
    "__init__",
    "agent",
    "asking",
    "config",
    "counters",
    "damping",
    "ollama",
    "openai",
    "outbox",
    "pages",
    "results",
    "rounds",
    "serve",
    "watched",
)
_MAIN = "from inferfleet.prober.serve import main\n\nmain()\n"


@cache
def zipped() -> bytes:
    """The same bytes for the same version of inferfleet."""
    package = files(__package__)
    members = {"__main__.py": _MAIN, "inferfleet/__init__.py": ""}
    for name in CARRIED:
        members[f"inferfleet/prober/{name}.py"] = (package / f"{name}.py").read_text(encoding="utf-8")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in members.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, text, compresslevel=9)
    return packed.getvalue()
