"""Installing the driver: which packages at which versions, in which order, and when only a reboot is left to do."""

from typing import Any

import pytest

from inferfleet.remote import nvidia_driver

WORK: dict[str, Any] = {
    "proxy": {}, "source": {}, "branch": "580", "pinning": "nvidia-driver-pinning-580", "other_pinning": [],
    "packages": ["nvidia-open"], "headers": None, "remove": [], "services": ["nvidia-persistenced"],
    "blacklist": ["/nowhere/nouveau.conf", "blacklist nouveau\n"],
}  # fmt: skip
HAVE = {
    "nvidia-open": ["590.44.01-1", "580.105.08-1", "580.95.05-1"],
    "nvidia-fabricmanager-580": ["580.105.08-1"],
    "linux-headers-6.12": ["6.12"],
}


class Host:
    """What the script asks and does, and what the kernel has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.loaded: str | None = None
        self.on_disk: str | None = "580.105.08"
        self.loads = True
        self.nouveau = False
        for name in ("bring_source", "install", "hold", "write_file"):
            monkeypatch.setattr(nvidia_driver, name, self._does(name))
        monkeypatch.setattr(nvidia_driver, "versions_of", lambda name: HAVE.get(name, []))
        monkeypatch.setattr(nvidia_driver, "apt", lambda *words: None)
        monkeypatch.setattr(nvidia_driver, "driver_packages", lambda: ["libnvidia-compute", "nvidia-open"])
        monkeypatch.setattr(nvidia_driver, "run", self.run)
        monkeypatch.setattr(nvidia_driver, "output", lambda *words: f"{self.on_disk or ''}\n")
        monkeypatch.setattr(nvidia_driver, "loaded", lambda: self.loaded)
        monkeypatch.setattr(nvidia_driver.os.path, "isdir", lambda path: self.nouveau and path.endswith("nouveau"))

    def _does(self, name: str) -> Any:
        def does(first: Any, *rest: Any, **more: Any) -> None:
            shown = (
                " ".join(f"{k}={v}" if v else k for k, v in first.items()) if isinstance(first, dict) else str(first)
            )
            gone = " ".join(f"-{gone}" for gone in rest[0]) if rest and isinstance(rest[0], list) else ""
            self.done.append(" ".join(f"{name} {shown} {gone}".split()))

        return does

    def run(self, *words: str) -> str:
        self.done.append(" ".join(words))
        if words[0] == "modprobe" and self.loads:
            self.loaded = self.on_disk
        return "" if self.loads or words[0] != "modprobe" else "modprobe: ERROR: Key was rejected by service"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_the_order_of_things(host: Host) -> None:
    """The pin before what it pins; the newest of the branch, not the newest; then held, and loaded."""
    nvidia_driver.main({**WORK, "headers": "linux-headers-6.12", "remove": ["cuda-drivers"]})
    assert host.done == [
        "bring_source",
        "write_file /nowhere/nouveau.conf",
        "apt-mark unhold libnvidia-compute nvidia-open",
        "install nvidia-driver-pinning-580",
        "install nvidia-open=580.105.08-1 linux-headers-6.12 -cuda-drivers",
        "hold ['libnvidia-compute', 'nvidia-open']",
        "modprobe nvidia",
        "modprobe nvidia-uvm",
        "systemctl enable --now nvidia-persistenced",
    ]


def test_names_with_the_branch_in_them(host: Host) -> None:
    assert nvidia_driver.in_branch(["nvidia-open", "nvidia-fabricmanager"], "580") == {
        "nvidia-open": "580.105.08-1",
        "nvidia-fabricmanager-580": "580.105.08-1",
    }


def test_a_branch_that_no_source_has(host: Host) -> None:
    there = (
        "no source of this host has nvidia-open of driver branch 570: there are 590.44.01-1, 580.105.08-1, 580.95.05-1"
    )
    with pytest.raises(SystemExit, match=there):
        nvidia_driver.in_branch(["nvidia-open"], "570")


def test_headers_of_a_kernel_of_one_s_own(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert nvidia_driver.headers("linux-headers-6.18-own") == {}
    assert capsys.readouterr().out.startswith("no source of this host has linux-headers-6.18-own; ")


REBOOT: dict[str, tuple[dict[str, Any], str]] = {
    "another is loaded": (
        {"loaded": "570.172.08"},
        "NVIDIA driver 580.105.08 is installed, 570.172.08 is loaded; reboot the host to go on"),
    "nouveau": (
        {"nouveau": True},
        "NVIDIA driver 580.105.08 is installed, nouveau holds the cards; reboot the host to go on"),
    "not signed": (
        {"loads": False},
        "NVIDIA driver 580.105.08 is installed and cannot be loaded: modprobe: ERROR: Key was rejected by service; "
        "reboot the host"),
    "never built": (
        {"on_disk": None, "loads": False},
        "the NVIDIA driver is installed, and no module was built for this kernel; see `dkms status` on the host"),
}  # fmt: skip


@pytest.mark.parametrize(("kernel", "line"), REBOOT.values(), ids=REBOOT)
def test_when_a_reboot_is_left_to_do(host: Host, kernel: dict[str, Any], line: str) -> None:
    """The packages are held by then; nothing after it is done, and nothing is unloaded or rebooted."""
    for name, value in kernel.items():
        setattr(host, name, value)
    with pytest.raises(SystemExit) as ended:
        nvidia_driver.main(WORK)
    assert str(ended.value) == line
    assert host.done[5] == "hold ['libnvidia-compute', 'nvidia-open']"
    assert not [done for done in host.done if done.startswith(("systemctl", "rmmod", "reboot"))]


def test_holds_alone(host: Host) -> None:
    """What is installed as declared stays as it is."""
    host.loaded = "580.105.08"
    nvidia_driver.main({**WORK, "packages": []})
    assert [done.split()[0] for done in host.done] == ["bring_source", "hold", "systemctl"]
