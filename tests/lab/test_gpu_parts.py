"""Doubles of cards, as far as they need no root: declared cards, the conf file, the compiled library."""

import ctypes
import re
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from inferfleet.errors import LabError
from inferfleet.lab import HostSpec, state
from inferfleet.lab.cli import host_spec
from inferfleet.lab.cli import lab as command
from inferfleet.lab.gpu import conf, driver
from inferfleet.lab.gpu.catalogue import MODELS, card_model
from inferfleet.lab.gpu.double.gpuconf import Conf, change, load
from inferfleet.lab.gpu.place import delivered
from inferfleet.lab.gpu.switches import SWITCHES
from inferfleet.lab.state import LabState, Process


@pytest.mark.parametrize("name", ["A30", "nvidia a30", "NVIDIA A30"])
def test_a_card_has_its_usual_names(name: str) -> None:
    assert card_model(name).memory_mib == 24576


@pytest.mark.parametrize("name", MODELS)
def test_the_usual_name_is_in_the_driver_s(name: str) -> None:
    assert set(name.split()) <= set(re.split(r"[ -]", card_model(name).name))


def test_an_unknown_card_is_one_line() -> None:
    with pytest.raises(LabError, match=r"^card: not one that the lab knows \(got 'A31'\); use one of A30, A100, H100"):
        card_model("A31")


def test_cards_are_the_same_in_every_lab() -> None:
    cards = conf.declared("gpu1", ["A30"] * 4).cards
    assert cards[0]["uuid"] == conf.card_uuid("gpu1", 0) == "GPU-73729a10-c0d6-532e-a8f4-b28f2eb54a6d"
    assert len({card["uuid"] for card in cards} | {conf.card_uuid("gpu2", 0)}) == 5
    assert [card["pci"] for card in cards] == sorted({card["pci"] for card in cards})


def test_the_conf_file_is_changed_in_place(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text(conf.declared("gpu1", ["A30", "P40"]).text())
    inode = path.stat().st_ino
    change(str(path), {"loaded": "580.95.05"}, {"1": {"lost": "1"}})
    found = load(str(path))
    assert (found.host["loaded"], [card["lost"] for card in found.cards]) == ("580.95.05", ["0", "1"])
    change(str(path), {"loaded": ""}, {})
    assert Conf.parse(path.read_text()).text() == path.read_text()
    assert path.stat().st_ino == inode


def test_hosts_are_written_as_words() -> None:
    assert host_spec("gpu1") == HostSpec("gpu1")
    assert host_spec("gpu1:bookworm:4xA30") == HostSpec("gpu1", "bookworm", ("A30",) * 4)
    assert host_spec("gpu1::RTX 4090,RTX 3090:bare") == HostSpec("gpu1", "trixie", ("RTX 4090", "RTX 3090"), False)


def test_a_lab_remembers_its_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERFLEET_CACHE", str(tmp_path))
    spec = HostSpec("gpu1", gpus=("A30", "P40"), driver=False)
    made = LabState("one", "1-ab", 7, Process.own(), bound=True, hosts=[spec])
    made.directory.mkdir(parents=True)
    made.save()
    found = state.load("one")
    assert found is not None and asdict(found) == asdict(made) and found.hosts == [spec]


def test_the_module_fits_the_cards() -> None:
    def is_open(*gpus: str) -> bool:
        return delivered(HostSpec("gpu1", gpus=gpus))[1]

    assert (is_open("A30"), is_open("P40", "T4"), is_open("B200"), is_open("H100", "V100")) == (
        True,
        False,
        True,
        False,
    )


def test_twelve_switches_are_shown() -> None:
    assert len(SWITCHES) == 12
    shown = CliRunner().invoke(command, ["gpu", "gpu1", "shoes"])
    assert shown.exit_code == 2 and "library-newer" in shown.output


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return driver.programs(tmp_path_factory.mktemp("cache"))


def test_the_library_needs_no_newer_libc_than_bookworm_s(compiled: Path) -> None:
    names = subprocess.run(["objdump", "-T", compiled / "libnvidia-ml.so"], capture_output=True, text=True, check=True)
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", names.stdout)}
    assert (2, 2, 5) in versions and max(versions) <= (2, 36)


def test_without_cards_there_is_no_driver(compiled: Path) -> None:
    library = ctypes.CDLL(str(compiled / "libnvidia-ml.so"))
    library.nvmlErrorString.restype = ctypes.c_char_p
    assert library.nvmlErrorString(library.nvmlInit_v2()) == b"Driver Not Loaded"
    assert library.nvmlErrorString(15) == b"GPU is lost"
