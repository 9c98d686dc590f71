"""The driver where it is managed: installed on a bare host from a signed repository, held, upgraded, not rebooted."""

from collections.abc import Iterator

import pytest

from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.lab.gpu.debs import driver_debs
from inferfleet.lab.gpu.driver import DRIVER
from inferfleet.lab.mirror.repositories import prepare_drivers
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.mirror.signing import STRANGER, signing_key
from inferfleet.lab.paths import cache_dir
from tests.lab.project import Project
from tests.lab.test_gpus import DEPLOY, ask, refusal

pytestmark = pytest.mark.lab

NEXT = "590.44.01"
CARDS = ["A30", "A30"]


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with one bare host that has cards, and NVIDIA's repository with two branches on the lab's mirror."""
    root, cache = tmp_path_factory.mktemp("mirror"), cache_dir()
    key = signing_key(cache, quiet)
    debs = [deb for version in (DRIVER, NEXT) for deb in driver_debs(cache, quiet, version)]
    prepare_drivers(root, key, debs, "trixie")
    with Lab("tdriver", [HostSpec("bare1", gpus=tuple(CARDS), driver=False)]) as lab:
        address = serve_mirror(lab, root)
        project = Project(tmp_path_factory.mktemp("driver"), lab, {"bare1": {"gpus": CARDS}})
        (project.directory / "deploy.py").write_text(DEPLOY)
        project.data["sources"] |= {
            "nvidia_driver": f"{address}/compute/cuda/repos",
            "nvidia_driver_fingerprint": key.fingerprint,
        }
        declare(project, "580")
        yield project


def declare(project: Project, branch: str) -> None:
    project.data["driver"] = {"manage": True, "branch": branch}


@pytest.fixture
def bare1(project: Project) -> LabHost:
    return project.host("bare1")


def held(host: LabHost) -> set[str]:
    return set(host.run("apt-mark showhold").stdout.split())


def test_a_stranger_s_key_changes_nothing(project: Project, bare1: LabHost) -> None:
    right = project.data["sources"]["nvidia_driver_fingerprint"]
    stranger = signing_key(cache_dir(), quiet, STRANGER).fingerprint
    project.data["sources"]["nvidia_driver_fingerprint"] = stranger
    try:
        run = project.apply()
    finally:
        project.data["sources"]["nvidia_driver_fingerprint"] = right
    assert run.rc == 1
    assert (
        bare1.run("ls /etc/apt/sources.list.d /usr/share/keyrings | grep inferfleet-nvidia", check=False).stdout == ""
    )
    assert "Traceback" not in run.text


def test_installed_loaded_and_held_in_one_run(project: Project, bare1: LabHost) -> None:
    plan = project.dry()
    assert "will install nvidia-open: is missing" in plan.text, plan.text
    assert bare1.run("command -v nvidia-smi", check=False).returncode != 0
    run = project.apply()
    assert run.rc == 0, run.text
    state = ask(bare1)
    assert (state["by"], state["driver"]["loaded"], state["driver"]["flavour"]) == ("nvml", DRIVER, "open")
    assert [card["name"] for card in state["cards"]] == ["NVIDIA A30", "NVIDIA A30"]
    assert {"nvidia-open", "libnvidia-ml1", "nvidia-driver-pinning-580", "nvidia-kernel-open-dkms"} <= held(bare1)
    again = project.apply()
    assert (again.rc, again.changed) == (0, set()), again.text


def test_a_hold_that_somebody_took_off(project: Project, bare1: LabHost) -> None:
    bare1.run("apt-mark unhold libnvidia-ml1")
    run = project.apply()
    assert run.rc == 0 and "repair holds: 1 packages of the driver are not held, libnvidia-ml1 first" in run.text
    assert "libnvidia-ml1" in held(bare1)


def test_an_upgrade_waits_for_the_reboot_and_says_so(project: Project, bare1: LabHost) -> None:
    """The plan says it before; the old module stays; every run until the reboot says the same; then all is well."""
    declare(project, "590")
    boot = bare1.boot_id()
    assert f"will await a reboot: {DRIVER} stays loaded until then" in project.dry().text
    first = project.apply()
    assert first.rc == 1
    assert f"NVIDIA driver {NEXT} is installed, {DRIVER} is loaded; reboot the host to go on" in first.text, first.text
    waits = f"its driver was updated and the old one is still loaded ({DRIVER} is loaded, {NEXT} installed)"
    for _ in range(2):
        assert refusal(project.apply(), "bare1") == f"{waits}; reboot the host"
    assert bare1.boot_id() == boot
    bare1.reboot()
    run = project.apply()
    assert (run.rc, run.changed) == (0, set()), run.text
    assert ask(bare1)["driver"]["loaded"] == NEXT
    assert "nvidia-driver-pinning-590" in held(bare1)


def test_modules_that_no_card_here_can_use(project: Project, bare1: LabHost) -> None:
    """Row 14 of the failure catalogue, on the bus of a real host: nothing is installed."""
    conf = "/etc/gpu-double.conf"
    project.data["driver"] = {"manage": True, "branch": "590", "modules": "proprietary"}
    bare1.run(f"cp {conf} /root/conf; sed -i 's/^device_id = .*/device_id = 0x290110DE/' {conf}")
    bare1.reboot()
    try:
        line = refusal(project.apply(), "bare1")
    finally:
        bare1.run(f"cp /root/conf {conf}")
    assert line == (
        "the card at 0000:17:00.0 is Blackwell, which needs open kernel modules, not proprietary; take that card out, "
        "or drive it on a host of its own"
    )
