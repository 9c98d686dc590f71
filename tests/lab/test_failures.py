"""What goes wrong on one host: one clear line, nothing half done, the other hosts go on, exit status 1."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.lab.mirror.serve import serve_mirror
from tests.lab.project import ENGINES, TINY, Project

pytestmark = pytest.mark.lab


@pytest.fixture
def fleet(bare: Project) -> Iterator[Project]:
    """Both hosts on the CPU, so that nothing waits for the software card."""
    bare.hosts = {"gpu1": {"instances": [{"engine": "ollama"}]}, "cpu1": {"instances": [{"engine": "ollama"}]}}
    run = bare.apply()
    assert run.rc == 0, run.text
    sources, data = dict(bare.data["sources"]), dict(bare.data)
    yield bare
    bare.data.update(data, sources=sources, engines=ENGINES, models=TINY)


def line_of(text: str, words: str) -> str:
    """The one line that says so, without the host's prefix."""
    lines = [line for line in text.splitlines() if words in line]
    assert len(lines) == 1, text
    return lines[0].split("] ", 1)[-1]


def live(project: Project, host: str = "cpu1") -> str:
    return project.host(host).run("readlink /opt/inferfleet/ollama/current; ls -A /opt/inferfleet/ollama").stdout


def of_one_host(project: Project, **data: object) -> None:
    """Let cpu1 alone differ, so that gpu1 shows that others go on."""
    project.hosts["cpu1"].update(data)


def test_unreachable_host(fleet: Project) -> None:
    address = fleet.lab.gateway.rpartition(".")[0] + ".250"
    fleet.hosts["gone"] = {"ssh_hostname": address, "instances": [{"engine": "ollama"}]}
    fleet.data["models"] = {**TINY, "tiny:second": {"engine": "ollama", "source": "tiny"}}
    try:
        run = fleet.apply()
    finally:
        del fleet.hosts["gone"]
    assert run.rc == 1
    line_of(run.text, "[gone]")
    assert "Traceback" not in run.text
    assert run.changed == {"gpu1", "cpu1"}, "the others go on"


def test_wrong_checksum_never_becomes_live(fleet: Project, mirror: Path, tmp_path: Path) -> None:
    before = live(fleet)
    release = tmp_path / "ollama" / "v0.32.14"
    shutil.copytree(mirror / "ollama" / "v0.32.14", release)
    archive = release / "ollama-linux-amd64.tar.zst"
    with archive.open("r+b") as file:
        file.seek(1000)
        file.write(b"altered")
    of_one_host(
        fleet, sources={"ollama": serve_mirror(fleet.lab, tmp_path, 8081) + "/ollama"}, engines=_version("0.32.14")
    )
    run = fleet.apply()
    assert run.rc == 1
    assert "nothing was installed" in line_of(run.text, "has SHA-256")
    assert run.failed == ["cpu1"]
    assert live(fleet) == before


def test_truncated_download_never_becomes_live(fleet: Project, mirror: Path, tmp_path: Path) -> None:
    before = live(fleet)
    release = tmp_path / "ollama" / "v0.32.14"
    shutil.copytree(mirror / "ollama" / "v0.32.14", release)
    archive = release / "ollama-linux-amd64.tar.zst"
    with archive.open("r+b") as file:
        file.truncate(archive.stat().st_size // 2)
    of_one_host(
        fleet, sources={"ollama": serve_mirror(fleet.lab, tmp_path, 8082) + "/ollama"}, engines=_version("0.32.14")
    )
    run = fleet.apply()
    assert run.rc == 1
    line_of(run.text, "has SHA-256")
    assert live(fleet) == before


def test_dead_mirror(fleet: Project) -> None:
    of_one_host(fleet, sources={"ollama": f"http://{fleet.lab.gateway}:9/ollama"}, engines=_version("0.32.14"))
    run = fleet.apply()
    assert run.rc == 1
    assert "check `sources`" in line_of(run.text, "cannot be reached")
    assert run.failed == ["cpu1"]


def test_version_that_does_not_exist(fleet: Project) -> None:
    of_one_host(fleet, engines=_version("0.99.0"))
    run = fleet.apply()
    assert run.rc == 1
    assert "check `sources` and `version`" in line_of(run.text, "answers 404")


def test_model_that_does_not_exist_stops_no_other(fleet: Project) -> None:
    later = {"tiny:later": {**TINY["tiny"], "source": "tiny"}}
    fleet.data["models"] = {"no-such-model": {"engine": "ollama", "vram_gib": 1}, **TINY, **later}
    run = fleet.apply()
    assert run.rc == 1
    assert len([line for line in run.text.splitlines() if "ollama models: no-such-model:latest" in line]) == 2
    assert not [why for says, why in fleet.verify().items() if why and "no-such-model" not in says]


def test_an_address_that_the_host_has_not_stops_nothing(fleet: Project) -> None:
    of_one_host(fleet, engines={"ollama": {**ENGINES["ollama"], "host": "192.0.2.9"}})
    says = "host 192.0.2.9 is declared, and no interface of it has that address"
    dry = fleet.dry()
    assert dry.rc == 1 and f"will refuse this host: {says}" in dry.text
    run = fleet.apply()
    assert run.rc == 1 and f"cpu1: {says}" in run.text
    assert run.failed == ["cpu1"]
    assert fleet.host("cpu1").run("systemctl is-active ollama-cpu0", check=False).stdout == "active\n"


def test_what_ends_at_each_start_is_not_waited_for(fleet: Project) -> None:
    cpu1, drop_in = fleet.host("cpu1"), "/etc/systemd/system/ollama-cpu0.service.d/zzz.conf"
    cpu1.run(f"printf '[Service]\nExecStart=\nExecStart=/bin/sh -c \"echo it is broken; exit 1\"\n' > {drop_in}")
    cpu1.run("systemctl stop ollama-cpu0")
    begun = time.monotonic()
    try:
        run = fleet.apply()
    finally:
        cpu1.run(f"rm {drop_in}")
    assert run.rc == 1
    assert "ollama-cpu0 ends at each start: it is broken" in run.text
    assert time.monotonic() - begun < 60


def test_full_disk(fleet: Project) -> None:
    cpu1 = fleet.host("cpu1")
    before = live(fleet)
    # A small disk of its own, filled to the brim by what is there already.
    cpu1.run(
        "mkdir /mnt/kept && cp -a /opt/inferfleet/. /mnt/kept && mount -t tmpfs -o size=600m tmpfs /opt/inferfleet"
    )
    try:
        cpu1.run(
            "cp -a /mnt/kept/. /opt/inferfleet && fallocate -l $(( $(stat -f -c '%a*%S' /opt/inferfleet) - 200000000 ))"
            " /opt/inferfleet/ballast"
        )
        of_one_host(fleet, engines=_version("0.32.14"))
        run = fleet.apply()
    finally:
        cpu1.run("umount -l /opt/inferfleet; rm -r /mnt/kept")
    assert run.rc == 1
    assert "MB are needed" in line_of(run.text, "disk is full")
    assert run.failed == ["cpu1"]
    assert live(fleet) == before


def test_no_sudo(fleet: Project) -> None:
    cpu1 = fleet.host("cpu1")
    cpu1.run("mv /etc/sudoers.d/deploy /root/sudoers-deploy")
    try:
        run = fleet.apply()
    finally:
        cpu1.run("mv /root/sudoers-deploy /etc/sudoers.d/deploy")
    assert run.rc == 1
    assert "Traceback" not in run.text
    assert run.failed == ["cpu1"]
    line_of(run.text, "sudo wants a password; let deploy use sudo without one")


def _version(version: str) -> dict[str, object]:
    return {"ollama": {**ENGINES["ollama"], "version": version}}


def test_mistakes_in_the_inventory_touch_no_host(fleet: Project) -> None:
    fleet.data["engines"] = {"ollama": {"version": "0.32.15", "flash_attention": "off"}}
    run = fleet.apply()
    assert run.rc == 1
    assert "engines.ollama.flash_attention: must be True or False (got 'off')" in run.text
    assert "Traceback" not in run.text
    assert run.changes == {}
