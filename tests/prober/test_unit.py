"""The unit, byte for byte, and what it must and must not allow."""

import shutil
import subprocess
from pathlib import Path

import pytest

from inferfleet.prober.unit import GROUP, NAME, unit
from tests.render.systemd_syntax import settings_of

GOLDEN = Path(__file__).parent / "golden" / NAME


def test_the_unit_is_as_expected() -> None:
    assert unit(spec="0123456789abcdef") == GOLDEN.read_text()


def test_it_has_no_privilege_and_one_group() -> None:
    service = settings_of(unit())["Service"]
    assert service["DynamicUser"] == ["yes"]
    assert service["SupplementaryGroups"] == [GROUP]
    assert service["CapabilityBoundingSet"] == [""] and service["AmbientCapabilities"] == [""]
    assert service["ProtectSystem"] == ["strict"]
    assert service["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]
    assert "ReadWritePaths" not in service and "Environment" not in service


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_takes_it_and_calls_it_safe(tmp_path: Path) -> None:
    """Below 2.0 of 10 by systemd's own count."""
    path = tmp_path / NAME
    path.write_text(unit().replace("/usr/bin/python3", "/bin/true"))
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
