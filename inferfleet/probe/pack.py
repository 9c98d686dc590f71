"""NVIDIA's nvidia-ml-py and the questions, packed into one argument of one command."""

import base64
import io
import shlex
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

from inferfleet.errors import FleetError

# The kernel takes 128 KiB in one argument (MAX_ARG_STRLEN), and sudo makes all of this one argument of `sh -c`.
MAX_ZIP = 100 * 1024
# An import from memory: zipimport reads the file behind a descriptor (memfd_create: Linux 3.17, Python 3.8).
_LOADER = """\
import base64, os, sys
if sys.version_info >= (3, 8):
    zipped = os.memfd_create("probe")
    os.write(zipped, base64.b64decode(sys.argv[1]))
    sys.path.insert(0, "/proc/self/fd/%d" % zipped)
    import nvml
    nvml.main()
"""


@cache
def command() -> str:
    """What the host's `sh` is told; it alters nothing, leaves nothing and ends within two minutes.

    Raises:
        FleetError: nvidia-ml-py is not installed beside inferfleet.
    """
    gather = (files(__package__) / "gather.sh").read_text(encoding="utf-8")
    return f"sh -c {shlex.quote(gather)} probe {shlex.quote(_LOADER)} {zipped()}"


@cache
def zipped() -> str:
    """`pynvml.py` and `nvml.py` as a zip in base64; the same text for the same versions."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in (Path(str(files(__package__) / "nvml.py")), pynvml()):
            member = zipfile.ZipInfo(path.name)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, path.read_bytes(), compresslevel=9)
    return base64.b64encode(packed.getvalue()).decode()


def pynvml() -> Path:
    """The file `pynvml.py` of nvidia-ml-py, and not that of the deprecated package `pynvml`."""
    try:
        found = Path(str(distribution("nvidia-ml-py").locate_file("pynvml.py")))
    except PackageNotFoundError as error:
        raise FleetError("nvidia-ml-py: is not installed", "pip install nvidia-ml-py") from error
    return found
