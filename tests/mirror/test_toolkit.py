"""The toolkit's packages follow what upstream's source says; those really built are looked at too."""

import subprocess
from pathlib import Path

import pytest

from inferfleet.errors import LabError
from inferfleet.lab.mirror import toolkit
from inferfleet.lab.mirror.deb import control_paragraphs, extract, write
from inferfleet.lab.mirror.repositories import missing_packages
from inferfleet.lab.mirror.toolkit import OLDER, TOOLKIT, kept_versions, toolkit_debs
from inferfleet.lab.paths import cache_dir

pytestmark = pytest.mark.skipif(bool(missing_packages()), reason=f"needs {' '.join(missing_packages())}")

BASE, MAIN = "nvidia-container-toolkit-base", "nvidia-container-toolkit"
CONTROL = f"""\
Source: {MAIN}
Section: @SECTION@utils

Package: {MAIN}
Architecture: any
Depends: ${{misc:Depends}}, {BASE} (= @VERSION@), other (<< 2)
Breaks: old (<= 3.5.0-1)
Description: main
 It does things.

Package: {BASE}
Architecture: any
Depends: ${{misc:Depends}}
Description: base
"""
POSTINST = "#!/bin/sh\nset -e\nnvidia-ctk config\n#DEBHELPER#\nexit 0\n"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Upstream's source as far as packaging looks at it, with Go programs that are scripts."""
    source = tmp_path / "source"
    debian = "packaging/debian"
    write(CONTROL, source, f"{debian}/control")
    write("nvidia-ctk /usr/bin\nr.service /lib/systemd/system/\nr.env /etc/nv/\n", source, f"{debian}/{BASE}.install")
    write("hook /usr/bin", source, f"{debian}/{MAIN}.install")
    write(POSTINST, source, f"{debian}/{BASE}.postinst")
    write(f"rm_conffile /etc/systemd/system/r.service @VERSION@~ {BASE}\n", source, f"{debian}/{BASE}.maintscript")
    for name in ("r.service", "r.env"):
        write(f"{name}\n", source, f"deployments/systemd/{name}")
    for name in ("nvidia-ctk", "hook"):
        write("package main\n", source, f"cmd/{name}/main.go")

    def build(package: str, into: Path, cache: Path, say: object, ldflags: str) -> None:
        write(f"{package} {ldflags}\n", into, package.rpartition("/")[2].partition("@")[0], run=True)

    monkeypatch.setattr(toolkit, "module_source", lambda module, version, cache, say: source)
    monkeypatch.setattr(toolkit, "go_install", build)
    return source


def fields(deb: Path) -> dict[str, str]:
    return control_paragraphs(info(deb, "--field"))[0]


def info(deb: Path, option: str, *words: str) -> str:
    done = subprocess.run(["dpkg-deb", option, deb, *words], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def by_name(debs: list[Path]) -> dict[str, Path]:
    return {deb.name.split("_")[0]: deb for deb in debs}


@pytest.mark.usefixtures("source")
def test_four_packages_of_one_version(tmp_path: Path) -> None:
    debs = by_name(toolkit_debs("1.20.1", tmp_path, lambda _: None))
    assert set(debs) == {BASE, MAIN, "libnvidia-container1", "libnvidia-container-tools"}
    assert {fields(deb)["Version"] for deb in debs.values()} == {"1.20.1-1"}
    assert "double" in fields(debs["libnvidia-container1"])["Description"]
    assert "double" in fields(debs["libnvidia-container-tools"])["Description"]
    assert kept_versions(tmp_path) == ["1.20.1"]
    assert list(by_name(toolkit_debs("1.20.1", tmp_path, pytest.fail))) == list(debs)


@pytest.mark.usefixtures("source")
def test_relations_are_upstreams(tmp_path: Path) -> None:
    debs = by_name(toolkit_debs("1.20.1", tmp_path, lambda _: None))
    assert fields(debs[MAIN])["Depends"] == f"{BASE} (= 1.20.1-1), other (<< 2)"
    assert fields(debs[MAIN])["Breaks"] == "old (<= 3.5.0-1)"
    assert "Depends" not in fields(debs[BASE])
    assert fields(debs[MAIN])["Description"] == "main\nIt does things.\nLab build of upstream's v1.20.1."


@pytest.mark.usefixtures("source")
def test_files_lie_where_upstream_puts_them(tmp_path: Path) -> None:
    deb = by_name(toolkit_debs("1.20.1", tmp_path, lambda _: None))[BASE]
    tree = extract(deb, tmp_path / "tree")
    assert (tree / "usr/bin/nvidia-ctk").stat().st_mode & 0o111
    assert "info.version=1.20.1" in (tree / "usr/bin/nvidia-ctk").read_text()
    assert (tree / "lib/systemd/system/r.service").read_text() == "r.service\n"
    assert info(deb, "--info", "conffiles") == "/etc/nv/r.env\n"
    postinst = info(deb, "--info", "postinst").splitlines()
    assert postinst[:3] == POSTINST.splitlines()[:3]
    assert postinst[3] == f'dpkg-maintscript-helper rm_conffile /etc/systemd/system/r.service 1.20.1-1~ {BASE} -- "$@"'
    assert "for unit in r.service; do" in "\n".join(postinst)
    assert postinst[-1] == "exit 0"


def test_a_file_that_upstream_no_longer_ships(tmp_path: Path, source: Path) -> None:
    (source / "deployments/systemd/r.env").unlink()
    with pytest.raises(LabError, match=r"wants a file that is not there .got r\.env"):
        toolkit_debs("1.20.1", tmp_path, lambda _: None)
    assert kept_versions(tmp_path) == []


@pytest.mark.parametrize("version", ["", "v1.20.1", "1.20", "latest", "1.20.1; id", "../../x", "1.20.1\n", "1.20.1-1"])
def test_what_is_no_version(tmp_path: Path, version: str) -> None:
    with pytest.raises(LabError, match="Toolkit: not a version"):
        toolkit_debs(version, tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_too_old(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"not built for the lab .got 1\.17\.8.*take 1\.18\.0 or later"):
        toolkit_debs("1.17.8", tmp_path, lambda _: None)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("version", "units"), [(TOOLKIT, "lib/systemd/system"), (OLDER, "etc/systemd/system")], ids=[TOOLKIT, OLDER]
)
def test_the_real_one(version: str, units: str, tmp_path: Path) -> None:
    debs = by_name(toolkit_debs(version, cache_dir(), print))
    for deb in debs.values():
        extract(deb, tmp_path)
    said = subprocess.run([tmp_path / "usr/bin/nvidia-ctk", "--version"], capture_output=True, text=True, check=True)
    assert f"version {version}" in said.stdout
    assert (tmp_path / units / "nvidia-cdi-refresh.service").exists()
    assert set(fields(debs[MAIN])["Depends"].split(", ")) == {
        f"{BASE} (= {version}-1)",
        f"libnvidia-container-tools (= {version}-1)",
        "libnvidia-container-tools (<< 2.0.0)",
    }
    for program in ("nvidia-cdi-hook", "nvidia-container-runtime", "nvidia-container-runtime-hook"):
        assert (tmp_path / "usr/bin" / program).stat().st_mode & 0o111
