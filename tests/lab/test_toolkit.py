"""The real toolkit and the real Docker on four doubles of A30: each container gets exactly its card."""

import json
import os
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest

from inferfleet.checks.cards import sees_exactly
from inferfleet.engines.toolkit_host import PACKAGES
from inferfleet.lab import HostSpec, Lab, LabHost
from inferfleet.lab.mirror.repositories import Repositories, prepare_repositories
from inferfleet.lab.mirror.serve import serve_mirror
from inferfleet.lab.mirror.toolkit import OLDER, TOOLKIT
from inferfleet.lab.paths import cache_dir
from inferfleet.remote import compact, script
from tests.lab.project import ENGINES, Project, Run

pytestmark = pytest.mark.lab

SPEC = "/var/run/cdi/nvidia.yaml"
OLD_SPEC = "/etc/cdi/nvidia.yaml"
DEPLOY = """
from inferfleet.current import my_node
from roles.nvidia_toolkit import nvidia_toolkit

nvidia_toolkit(my_node())
"""
# Docker as its role leaves it, and an image of one program, made without a registry.
DOCKER = r"""
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends docker.io docker-cli busybox-static >/dev/null
mkdir -p /tmp/image/bin && cp /bin/busybox /tmp/image/bin/ && ln -s busybox /tmp/image/bin/sleep
tar -C /tmp/image -c . | docker import --change 'CMD ["/bin/sleep", "100000"]' - lab/sleeper:1 >/dev/null
"""
# As a unit, and not by a restart policy: at its start Docker 26.1 looks for containers before it knows of CDI
# ("could not select device driver "cdi""), so that `--restart always` leaves those with cards dead after a reboot.
UNIT = """[Unit]
Requires=docker.service
After=docker.service nvidia-cdi-refresh.service

[Service]
ExecStartPre=-/usr/bin/docker rm -f {name}
ExecStart=/usr/bin/docker run --rm --init --name {name} --label inferfleet.instance={name} \\
    --device nvidia.com/gpu={card} lab/sleeper:1
Restart=always
RestartSec=0.2

[Install]
WantedBy=multi-user.target
"""
BOTH = {"ollama-gpu1": "", "ollama-gpu2": ""}


@pytest.fixture(scope="module")
def repositories() -> Repositories:
    return prepare_repositories(cache_dir() / "mirror", cache_dir(), print, suites=(), versions=(OLDER, TOOLKIT))


@pytest.fixture(scope="module")
def lab(repositories: Repositories) -> Iterator[Lab]:
    with Lab(f"k{os.getpid() % 10**6}", [HostSpec("gpu1", gpus=("A30",) * 4)]) as lab:
        serve_mirror(lab, repositories.root)
        lab.host("gpu1").run(DOCKER)
        yield lab


@pytest.fixture(scope="module")
def gpu1(lab: Lab) -> LabHost:
    return lab.host("gpu1")


@pytest.fixture(scope="module")
def project(lab: Lab, repositories: Repositories, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("project"), lab, {"gpu1": {}})
    made.data["engines"] = {"ollama": {**ENGINES["ollama"], "runtime": "docker"}}
    made.data["sources"] |= {
        "nvidia_toolkit": f"http://{lab.gateway}/libnvidia-container",
        "nvidia_toolkit_fingerprint": repositories.fingerprint,
    }
    declare_cards(made, uuids(lab.host("gpu1")))
    (made.directory / "deploy.py").write_text(DEPLOY)
    return made


def uuids(host: LabHost) -> list[str]:
    return host.run("nvidia-smi --query-gpu=uuid --format=csv,noheader").stdout.split()


def declare_cards(project: Project, cards: list[str]) -> None:
    project.hosts["gpu1"]["gpus"] = [{"model": "A30", "uuid": uuid} for uuid in cards]


def declare_version(project: Project, version: str) -> None:
    project.data["toolkit"] = {"version": version}


def ask(host: LabHost, tool: str, argument: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(host.run(shlex.join(["python3", "-c", script(tool), compact(argument)])).stdout)
    return answer


def start(host: LabHost, number: int, card: str) -> str:
    """A container with this card, under a unit; its name."""
    name = f"ollama-gpu{number}"
    unit = UNIT.format(name=name, card=card)
    host.run(f"cat >/etc/systemd/system/{name}.service && systemctl enable -q --now {name}", stdin=unit)
    return name


def cards_seen(host: LabHost) -> dict[str, str]:
    """Container -> why it does not see exactly the card that it was started with; empty where it does."""
    found = ask(host, "container_cards", {"names": None})
    given = {name: [d.partition("=")[2] for d in entry["cdi"]] for name, entry in found["containers"].items()}
    return {name: sees_exactly(name, devices, found) for name, devices in given.items()}


def soon(host: LabHost, wanted: dict[str, str]) -> bool:
    """The containers are so within 20 s: units start theirs after Docker."""
    end = time.monotonic() + 20
    while (seen := cards_seen(host)) != wanted:
        assert time.monotonic() < end, seen
        time.sleep(0.3)
    return True


def said(run: Run, words: str) -> str:
    """The one line that says so, without the host's prefix."""
    lines = [line.split("] ", 1)[-1] for line in run.text.splitlines() if words in line]
    assert len(set(lines)) == 1, run.text
    return lines[0]


def quiet(project: Project) -> None:
    run = project.apply()
    assert (run.rc, run.changes) == (0, {}), run.text


def changed(project: Project) -> Run:
    """An apply that changes something, and after it there is nothing left to do."""
    run = project.apply()
    assert run.rc == 0, run.text
    assert run.changed == {"gpu1"}, run.text
    quiet(project)
    return run


def installed(host: LabHost) -> set[str]:
    rows = host.run(f"dpkg-query -W -f '${{Version}} ${{db:Status-Want}}\\n' {' '.join(PACKAGES)}").stdout
    return set(rows.splitlines())


# --- bringing it --------------------------------------------------------------------------------


def test_a_key_of_another_is_refused(project: Project, gpu1: LabHost) -> None:
    right = project.data["sources"].pop("nvidia_toolkit_fingerprint")
    run = project.apply()
    project.data["sources"]["nvidia_toolkit_fingerprint"] = right
    assert run.rc == 1
    assert f"has fingerprint {right}, expected is C95B321B" in said(run, "nothing was changed")
    assert gpu1.run("ls /etc/apt/sources.list.d /etc/apt/keyrings").stdout.count("inferfleet") == 0


def test_a_version_that_the_source_lacks(project: Project) -> None:
    declare_version(project, "1.99.0")
    run = project.apply()
    declare_version(project, TOOLKIT)
    assert run.rc == 1
    line = said(run, "no source of this host has")
    assert " 1.99.0: there are " in line
    assert f"{TOOLKIT}-1" in line
    assert f"{OLDER}-1" in line


def test_killed_while_it_installs(project: Project, gpu1: LabHost) -> None:
    """All of the run on the host is killed while dpkg unpacks; the next run heals what that left."""
    started = project.start("-y")
    # [x]: else the shell that looks would find itself.
    gpu1.run(
        "until pgrep -f '[d]pkg-deb --fsys-tarfile' >/dev/null; do :; done;"
        " pkill -9 -f '[d]pkg.*--unpack|[a]pt-get|[i]nferfleet.lock'",
        timeout=60,
    )
    started.wait(60)
    assert started.returncode
    assert gpu1.run("dpkg --audit").stdout


def test_bare(project: Project, gpu1: LabHost) -> None:
    """Docker was there before, with CDI on and nothing in it: it need not be restarted."""
    set_daemon_json(gpu1, {"features": {"cdi": True}})
    before = gpu1.run("systemctl show -P MainPID docker").stdout
    changed(project)
    assert gpu1.run("systemctl show -P MainPID docker").stdout == before
    assert installed(gpu1) == {f"{TOOLKIT}-1 hold"}
    assert gpu1.run("systemctl is-enabled nvidia-cdi-refresh.path nvidia-cdi-refresh.service").stdout.split() == (
        ["enabled"] * 2
    )
    listed = gpu1.run("nvidia-ctk cdi list 2>/dev/null").stdout.split()
    assert {f"nvidia.com/gpu={uuid}" for uuid in uuids(gpu1)} <= set(listed)


def set_daemon_json(host: LabHost, settings: dict[str, Any], restart: bool = True) -> None:
    host.run("mkdir -p /etc/docker; cat >/etc/docker/daemon.json", stdin=json.dumps(settings))
    if restart:
        host.run("systemctl reset-failed docker; systemctl restart docker")


def test_each_container_gets_exactly_its_card(gpu1: LabHost) -> None:
    for number in (1, 2):
        start(gpu1, number, uuids(gpu1)[number])
    assert soon(gpu1, BOTH)
    found = ask(gpu1, "container_cards", {"names": ["ollama-gpu2"]})["containers"]["ollama-gpu2"]
    assert (found["sees"], found["opens"], found["runtime"]) == (["/dev/nvidia2"], ["/dev/nvidia2"], "runc")


def test_a_daemon_reload_takes_no_card_away(gpu1: LabHost) -> None:
    """With the old hook instead of CDI, systemd takes the devices away that it knows nothing of."""
    gpu1.run("systemctl daemon-reload")
    assert cards_seen(gpu1) == BOTH


def test_a_container_with_more_is_seen(gpu1: LabHost) -> None:
    """The check can fail: a node laid in afterwards is seen, and does not open; a privileged container opens all."""
    pid = gpu1.run("docker inspect -f '{{.State.Pid}}' ollama-gpu1").stdout.strip()
    gpu1.run(f"mknod /proc/{pid}/root/dev/nvidia3 c 195 3")
    assert cards_seen(gpu1)["ollama-gpu1"].startswith("it can see /dev/nvidia3")
    gpu1.run(f"rm /proc/{pid}/root/dev/nvidia3")
    gpu1.run("docker run -d --privileged --name mine --label inferfleet.instance=mine lab/sleeper:1")
    assert cards_seen(gpu1)["mine"] == "it is privileged and may open every card"
    opens = ask(gpu1, "container_cards", {"names": ["mine"]})["containers"]["mine"]["opens"]
    assert {f"/dev/nvidia{number}" for number in range(4)} <= set(opens)
    gpu1.run("docker rm -f mine")


# --- what changes under it ----------------------------------------------------------------------


def test_card_swapped(project: Project, gpu1: LabHost) -> None:
    """Another card is in the slot; nothing told the refresh unit."""
    before = uuids(gpu1)
    gpu1.gpus.switch("swapped", card=3)
    new = uuids(gpu1)
    assert (new[:3], new[3] == before[3]) == (before[:3], False)
    dry = project.dry()
    assert f"card {before[3]} is declared, nvidia-ctk finds" in said(dry, "correct the inventory")
    declare_cards(project, new)
    run = changed(project)
    assert f"names {before[3]}, which nvidia-ctk does not find now" in said(run, f"will write {SPEC}")
    assert new[3] in gpu1.run(f"cat {SPEC}").stdout
    assert cards_seen(gpu1) == BOTH, "nobody else was disturbed"


def test_slices(project: Project, gpu1: LabHost) -> None:
    """MIG is switched on: a container gets one slice, with the nodes of its capabilities."""
    gpu1.gpus.switch("mig", card=0)
    slices = [word.rstrip(")") for word in gpu1.run("nvidia-smi -L").stdout.split() if word.startswith("MIG-")]
    assert len(slices) == 2
    whole = uuids(gpu1)
    said(project.dry(), "correct the inventory, where a card in MIG mode goes by its slices")
    declare_cards(project, [*slices, *whole[1:]])
    assert "which nvidia-ctk does not find now" in said(changed(project), f"will write {SPEC}")
    name = start(gpu1, 0, slices[1])
    assert soon(gpu1, {**BOTH, name: ""})
    sees = ask(gpu1, "container_cards", {"names": [name]})["containers"][name]["sees"]
    assert "/dev/nvidia0" in sees
    assert len([node for node in sees if "nvidia-cap" in node]) == 2
    gpu1.run(f"systemctl disable -q --now {name}")
    gpu1.gpus.switch("mig", card=0, on=False)
    declare_cards(project, whole)
    assert "which nvidia-ctk does not find now" in said(changed(project), f"will write {SPEC}")


def test_driver_changed(project: Project, gpu1: LabHost) -> None:
    """Nothing told the refresh unit, since somebody had stopped what waits for that."""
    gpu1.run("systemctl stop nvidia-cdi-refresh.path")
    gpu1.gpus.switch("old-driver")
    run = changed(project)
    said(run, "will start nvidia-cdi-refresh.path: is inactive")
    assert "mounts driver 580.95.05, installed is 535.183.01" in said(run, f"will write {SPEC}")
    gpu1.gpus.switch("old-driver", on=False)
    run = project.apply()
    assert run.rc == 0, run.text
    quiet(project)
    assert "libcuda.so.580.95.05" in gpu1.run(f"cat {SPEC}").stdout


@pytest.mark.parametrize("wrong", ["library-newer", "lost"])
def test_cards_that_cannot_be_read(project: Project, gpu1: LabHost, wrong: str) -> None:
    """The host is refused in one line, and the specification stays as it was."""
    before = gpu1.run(f"cat {SPEC}").stdout
    gpu1.gpus.switch(wrong, card=3)
    run = project.apply()
    gpu1.gpus.switch(wrong, card=3, on=False)
    assert run.rc == 1
    said(run, "gpu1: nvidia-ctk cannot read the cards: ")
    assert gpu1.run(f"cat {SPEC}").stdout == before or wrong == "library-newer"
    run = project.apply()
    assert run.rc == 0, run.text


# --- files of others ----------------------------------------------------------------------------


def test_old_copies_are_put_away_and_those_of_people_are_not(project: Project, gpu1: LabHost) -> None:
    gpu1.run(f"mkdir -p /etc/cdi && nvidia-ctk cdi generate --output={OLD_SPEC} && sha256sum {OLD_SPEC} >/root/sum")
    run = changed(project)
    assert "is an old copy" in said(run, f"will remove {OLD_SPEC}")
    gpu1.run(f"sed 's|{OLD_SPEC}|/var/lib/inferfleet/removed/etc-cdi-nvidia.yaml|' /root/sum | sha256sum -c")
    gpu1.run(f"(echo '# of my own'; cat {SPEC}) >/etc/cdi/mine.yaml")
    run = project.apply()
    assert run.rc == 1
    line = said(run, "gpu1: /etc/cdi/mine.yaml")
    assert f"/etc/cdi/mine.yaml names nvidia.com/gpu={uuids(gpu1)[0]} too and was not written by nvidia-ctk" in line
    gpu1.run("rm /etc/cdi/mine.yaml")
    quiet(project)


def test_the_list_of_nvidia_s_own_instructions(project: Project, gpu1: LabHost, lab: Lab) -> None:
    """Its `signed-by` is another than ours, and apt would read no list at all."""
    path = "/etc/apt/sources.list.d/nvidia-container-toolkit.list"
    key = "/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg"
    line = f"deb [signed-by={key}] http://{lab.gateway}/libnvidia-container/stable/deb/$(ARCH) /\n"
    gpu1.run(f"cat >{path}", stdin=line)
    assert gpu1.run("apt-get update", check=False).returncode
    run = changed(project)
    assert "names NVIDIA's repository with another key" in said(run, f"will remove {path}")
    assert gpu1.run(f"cat {path}.disabled").stdout == line
    gpu1.run("apt-get -qq update")


# --- versions, Docker, reboot -------------------------------------------------------------------


def test_down_and_up_again(project: Project, gpu1: LabHost) -> None:
    declare_version(project, OLDER)
    changed(project)
    assert installed(gpu1) == {f"{OLDER}-1 hold"}
    declare_version(project, TOOLKIT)
    changed(project)
    assert installed(gpu1) == {f"{TOOLKIT}-1 hold"}
    assert cards_seen(gpu1) == BOTH


def test_docker_without_cdi_fails_the_host(project: Project, gpu1: LabHost) -> None:
    """Role docker turns it on before; without that role nothing is called done that is not."""
    gpu1.run("systemctl stop ollama-gpu1 ollama-gpu2")
    set_daemon_json(gpu1, {})
    gpu1.run(f"rm {SPEC}")
    run = project.apply()
    set_daemon_json(gpu1, {"features": {"cdi": True}})
    assert run.rc == 1
    said(run, "Docker has CDI switched off")
    quiet(project)
    gpu1.run("systemctl start ollama-gpu1 ollama-gpu2")
    assert soon(gpu1, BOTH)


def test_default_runtime_nvidia_is_warned_of(project: Project, gpu1: LabHost) -> None:
    runtime = {"nvidia": {"path": "nvidia-container-runtime", "args": []}}
    set_daemon_json(gpu1, {"features": {"cdi": True}, "runtimes": runtime, "default-runtime": "nvidia"})
    run = project.apply()
    set_daemon_json(gpu1, {"features": {"cdi": True}})
    assert (run.rc, run.changes) == (0, {})
    assert "every container may see every card" in said(run, "warning: ")


def test_units_that_somebody_switched_off(project: Project, gpu1: LabHost) -> None:
    gpu1.run("systemctl disable --now nvidia-cdi-refresh.path && systemctl mask nvidia-cdi-refresh.service")
    run = changed(project)
    said(run, "will enable nvidia-cdi-refresh.path")
    said(run, "will repair nvidia-cdi-refresh.service")


def test_reboot(project: Project, gpu1: LabHost) -> None:
    """/var/run is empty after it, and cards have other numbers; units write the file anew, and start containers."""
    before = [ask(gpu1, "container_cards", {"names": [name]})["containers"][name]["sees"] for name in BOTH]
    gpu1.gpus.switch("shuffled")
    gpu1.reboot()
    gpu1.run("systemctl is-system-running --wait", check=False)
    assert soon(gpu1, BOTH)
    after = [ask(gpu1, "container_cards", {"names": [name]})["containers"][name]["sees"] for name in BOTH]
    assert not [sees for sees, saw in zip(after, before, strict=True) if sees == saw], "other nodes, the same cards"
    quiet(project)


def test_nothing_but_ours_was_changed(gpu1: LabHost) -> None:
    done = gpu1.run("dpkg --verify nvidia-container-toolkit-base docker.io", check=False)
    assert (done.returncode, done.stdout) == (0, "")
