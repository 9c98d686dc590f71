"""Docker: what each difference is told as, and what is done about it."""

import json
from typing import Any

import pytest

from inferfleet import changes
from inferfleet.changes import Changes
from inferfleet.engines.docker_host import DAEMON_JSON, KEYRING, SOURCE, Closed, DockerHost
from tests.changes.docker_states import FIREWALL, FULL, content, declared, state_of
from tests.changes.states import GONE, Spoil, spoiled

CE = declared()
IO = declared(package="docker.io")
FULL_SETTINGS: dict[str, Any] = {
    "address_pools": [{"base": "10.200.0.0/16", "size": 24}],
    "registry_mirrors": ["https://mirror.example"],
    "insecure_registries": ["10.0.0.1:5000"],
}
MORE = declared(sources={"images": "http://images.example:5000"}, **FULL_SETTINGS)
OTHER_BOOT = ("record.running.id", "boot 0")


def compare(host: DockerHost, *spoils: Spoil, theirs: dict[str, Any] | None = None) -> Changes:
    return changes.docker(host, FIREWALL, spoiled(state_of(host, theirs), *spoils))


def says(found: Changes) -> list[str]:
    return [str(effect) for effect in found.effects]


@pytest.mark.parametrize("host", [CE, IO, MORE, declared(needs_cdi=False), declared(live_restore=False)])
def test_as_declared(host: DockerHost) -> None:
    assert says(compare(host)) == []
    assert says(compare(host, theirs={"labels": ["a=b"], "debug": True})) == []


def test_a_host_without_python3_gets_all() -> None:
    found = changes.docker(CE, FIREWALL, {})
    assert {"install docker-ce: is missing", f"write {SOURCE}: is missing"} <= set(says(found))
    assert (found.work["action"], found.work["bring"], found.work["network"]["how"]) == ("restart", True, "create")
    assert found.work["daemon"]["found"] is None
    assert json.loads(found.work["daemon"]["text"]) == content(CE)


def test_of_daemon_json_no_other_key_is_shown() -> None:
    """A proxy's password and a log collector's token are in it."""
    theirs = {"proxies": {"https-proxy": "http://me:canary@proxy"}, "features": {"cdi": True, "other": "canary"}}
    logs = {"log-driver": "splunk", "log-opts": {"splunk-token": "canary"}}
    text = json.dumps({**content(CE), **theirs, **logs, "live-restore": False})
    (change,) = compare(CE, ("daemon.text", text)).files
    assert change.path == DAEMON_JSON and "canary" not in f"{change.before}{change.after}"
    assert json.loads(str(change.before)) == {"log-driver": "splunk", "live-restore": False}
    wanted = {key: CE.daemon[key] for key in ("log-driver", "log-opts", "live-restore")}
    assert json.loads(str(change.after)) == wanted


PACKAGES = [
    (CE, [("apt.installed.docker-ce", GONE)], ["install docker-ce: is missing"]),
    (
        CE,
        [("apt.installed.docker-ce-cli", GONE)],
        [f"install docker-ce-cli {FULL}: is missing"],
    ),
    (CE, [("apt|installed|containerd.io", GONE)], ["install containerd.io: is missing"]),
    (CE, [("apt.installed.nftables", GONE)], ["install nftables: is missing"]),
    (
        declared(version="28.2.2"),
        [],
        [
            f"install docker-ce 28.2.2: installed is {FULL}",
            f"install docker-ce-cli 28.2.2: installed is {FULL}",
        ],
    ),
    (declared(version="28.1.1"), [], []),
    (declared(version=FULL), [], []),
    (CE, [("apt.held", ["containerd.io", "docker-ce-cli"])],
     ["repair docker-ce: is not held, an upgrade would take it along"]),
    (CE, [("apt.source.key", None)], [f"write {KEYRING}: is missing"]),
    (CE, [("apt.source.key", ["A" * 40])], [f"write {KEYRING}: holds {'A' * 40}, declared is another key"]),
    (CE, [("apt.source.text", None)], [f"write {SOURCE}: is missing"]),
    (CE, [("apt.source.text", "Types: deb\n")], [f"write {SOURCE}: differs from what is declared"]),
    (
        IO,
        [("apt.source", {"text": "# Managed by inferfleet\n", "key": None, "conflicts": []})],
        [f"remove {SOURCE}: docker.io is the distribution's"],
    ),
    (IO, [("apt.source", {"text": "Types: deb\n", "key": None, "conflicts": []})], []),
    (IO, [("apt.installed.docker-cli", GONE), ("apt.held", ["containerd", "docker.io"])],
     ["install docker-cli 26.1.5+dfsg1-9: is missing"]),
    (declared(package="docker.io", needs_cdi=False),
     [("apt.installed.docker-cli", GONE), ("apt.held", ["containerd", "docker.io"]), ("host.suite", "bookworm")], []),
]  # fmt: skip


@pytest.mark.parametrize(("host", "spoils", "expected"), PACKAGES)
def test_packages(host: DockerHost, spoils: list[Spoil], expected: list[str]) -> None:
    assert says(compare(host, *spoils)) == expected


def test_an_upgrade_says_what_it_ends() -> None:
    running = ("docker.running", 2)
    patch = compare(declared(version="28.1.2"), running).effects[0]
    assert (patch.why, patch.interrupts) == (f"installed is {FULL}", False)
    minor = compare(declared(version="28.2.2"), running).effects[0]
    assert (minor.why, minor.interrupts) == (f"installed is {FULL} (ends 2 running containers)", True)
    without = compare(declared(version="28.1.2", live_restore=False), running).effects[0]
    assert without.interrupts


def test_what_stands_in_the_way_is_replaced_only_where_told() -> None:
    spoils: list[Spoil] = [("apt|installed|docker.io", "26.1"), ("apt.installed.runc", "1.1"), ("docker.running", 3)]
    gone: Spoil = ("apt.installed.docker-ce", GONE)
    refused = compare(CE, *spoils, gone)
    assert says(refused) == [
        "refuse this host: docker.io, runc stands in the way of docker-ce; remove it, or set docker.replace"
    ]
    found = compare(declared(replace=True), *spoils, gone)
    removed = [effect for effect in found.effects if effect.kind == "remove"]
    assert [effect.what for effect in removed] == ["docker.io", "runc"]
    assert all(effect.interrupts and "ends 3 running containers" in effect.why for effect in removed)
    assert found.work["remove"] == ["docker.io", "runc"]


REFUSED = [
    (CE, [("root", False)], "pyinfra is not root there"),
    (CE, [("snap", True)], "snap remove docker"),
    (CE, [("rootless", ["ann"])], "ann runs a rootless Docker there"),
    (CE, [("apt.installed.podman-docker", "1")], "podman-docker stands in the way of docker-ce"),
    (CE, [("apt.source.conflicts", ["/etc/apt/sources.list.d/d.list"])],
     "d.list names Docker's repository with another key"),
    (CE, [("daemon.text", "{nonsense")], f"{DAEMON_JSON} is not JSON"),
    (CE, [("daemon.text", "[]")], f"{DAEMON_JSON} is not a JSON object; it was left as it is"),
    (CE, [("daemon.text", '{"features": []}')], "has `features` that is not an object"),
    (CE, [("process.flags", ["log-driver", "debug"])], "dockerd is started with --log-driver, which is declared too"),
    (CE, [("docker.swarm", True)], "the host is in a Docker swarm, which excludes live-restore"),
    (CE, [("docker.network.labels", {})], "Docker's network inferfleet is somebody else's"),
    (CE, [("host.distribution", "fedora")], "Docker's repository has nothing for fedora"),
    (IO, [("host.suite", "bookworm")], "docker.io of bookworm knows no CDI"),
    (IO, [("apt|installed|docker.io", "24.0.7-0ubuntu4"), ("host.suite", "noble")], "docker.io of noble knows no CDI"),
    (CE, [("disk.free", 10**6), ("apt.installed.nftables", GONE)],
     "the disk of Docker's data is full (/var/lib/docker has 1 MB free)"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "spoils", "words"), REFUSED)
def test_refused_in_one_line_and_untouched(host: DockerHost, spoils: list[Spoil], words: str) -> None:
    found = compare(host, *spoils)
    (effect,) = found.effects
    assert (effect.kind, found.work, found.files) == ("refuse", {}, ())
    assert words in effect.why
    assert "\n" not in effect.why


def test_a_full_disk_is_no_reason_where_nothing_is_to_be_done() -> None:
    assert says(compare(CE, ("disk.free", 0))) == []


# --- the daemon -------------------------------------------------------------------------------------

DAEMON = [
    ("log-driver", "json-file", "restart", "log-driver is json-file, declared is local"),
    ("live-restore", False, "reload", "live-restore is false, declared is true (a reload is enough)"),
    ("features.cdi", False, "restart", "features.cdi is false, declared is true"),
    ("default-address-pools", [], "restart", "default-address-pools is [], declared is [{"),
    ("registry-mirrors", [], "reload", "registry-mirrors lacks https://mirror.example/"),
    ("insecure-registries", ["10.0.0.1:5000"], "reload", "insecure-registries lacks images.example:5000"),
]


@pytest.mark.parametrize(("key", "there", "action", "words"), DAEMON)
def test_what_the_daemon_runs_with_decides(key: str, there: Any, action: str, words: str) -> None:
    """The file is right: a run that died between writing and restarting is healed by the next one."""
    found = compare(MORE, (f"docker|in_force|{key}", there))
    (effect,) = found.effects
    assert words in effect.why
    assert (effect.kind, found.work["action"]) == ("restart" if action == "restart" else "repair", action)
    assert found.work["daemon"]["text"] is None


def test_mirrors_are_the_same_with_and_without_a_slash() -> None:
    assert says(compare(MORE, ("docker.in_force.registry-mirrors", ["https://mirror.example"]))) == []


@pytest.mark.parametrize(
    ("settings", "running", "ours", "why", "interrupts"),
    [
        ({}, 0, 0, "(no container runs)", False),
        ({}, 2, 0, "(2 running containers outlive it: live-restore)", False),
        (
            {}, 5, 4,
            "(ends 4 running containers, 4 of them ours; 1 running container outlives it: live-restore)", True,
        ),
        ({"live_restore": False}, 1, 1, "(ends 1 running container, 1 of them ours)", True),
    ],
)  # fmt: skip
def test_a_restart_is_never_silent(
    settings: dict[str, Any], running: int, ours: int, why: str, interrupts: bool
) -> None:
    """Live-restore keeps other people's containers; the units of ours require Docker's and end with it."""
    host = declared(**settings)
    spoils: list[Spoil] = [("docker.in_force.log-driver", "json-file"), ("docker.running", running)]
    spoils.append(("docker.ours", ours))
    (effect,) = compare(host, *spoils).effects
    assert effect.why.endswith(why)
    assert effect.interrupts == interrupts


def test_log_options_by_the_note_of_the_last_run() -> None:
    old = {"max-size": "1m", "max-file": "3"}
    found = compare(CE, ("record.running.values.log-opts", old))
    assert "log-opts is {" in found.effects[0].why
    assert found.work["action"] == "restart"


def test_log_options_by_the_clock_where_docker_was_restarted_since() -> None:
    assert says(compare(CE, OTHER_BOOT, ("daemon.written", 99.0))) == []
    (effect,) = compare(CE, OTHER_BOOT, ("daemon.written", 500.0)).effects
    assert "daemon.json was written after Docker started" in effect.why


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (("service|docker.service|ActiveState", "failed"), "start Docker: is failed"),
        (("service|docker.service|UnitFileState", "disabled"), "enable Docker: does not start at boot"),
        (("service|docker.service|LoadState", "masked"), "repair Docker: is masked"),
        (("docker", {"error": "Docker at /x cannot be reached"}), "restart Docker: Docker at /x cannot be reached"),
        (("docker.network", None), "create network inferfleet: is missing"),
        (("docker.network.options", {}), "differs in name, enable_icc, host_binding_ipv4"),
        (("bridge", False), "repair network inferfleet: its bridge inferfleet0 is gone"),
    ],
)
def test_daemon_and_network(spoil: Spoil, words: str) -> None:
    found = compare(CE, spoil)
    assert words in says(found)[0]
    assert len(found.effects) == 1


FIREWALLS = [
    (("firewall.rules", None), ["write /etc/inferfleet/firewall.nft: is missing"]),
    (("firewall.rules", "x"), ["write /etc/inferfleet/firewall.nft: is not as declared"]),
    (("firewall.unit", "x"), ["write /etc/systemd/system/inferfleet-firewall.service: is not as declared"]),
    (("firewall.table", "missing"), ["repair table inet inferfleet: is missing"]),
    (("firewall.table", "altered"), ["repair table inet inferfleet: was altered"]),
    (("firewall.active", "failed"), ["start inferfleet-firewall.service: is failed"]),
    (("firewall.enabled", "disabled"), ["enable inferfleet-firewall.service: does not start at boot"]),
    (("firewall.stale", True), ["repair inferfleet-firewall.service: systemd has not read its file since it changed"]),
]


@pytest.mark.parametrize(("spoil", "expected"), FIREWALLS)
def test_firewall(spoil: Spoil, expected: list[str]) -> None:
    found = compare(CE, spoil)
    assert says(found) == expected
    assert found.work["firewall"]["apply"]
    assert (found.work["action"], found.work["daemon"]["text"]) == (None, None)


def test_published() -> None:
    ports = [("0.0.0.0", 11434), ("10.0.0.1", 11435), ("127.0.0.1", 1), ("localhost", 2), ("::1", 3), ("::", 4)]
    host = DockerHost(CE.settings, CE.sources, published=(*ports, ("fd00::1", 5)))
    assert list(host.accepted()) == [
        ("ip", "!= 127.0.0.0/8", 11434, ""),
        ("ip", "10.0.0.1", 11435, ""),
        ("ip", "!= 127.0.0.0/8", 4, ""),
        ("ip6", "!= ::1", 4, ""),
        ("ip6", "fd00::1", 5, ""),
    ]


def test_published_to_gateways_alone() -> None:
    closed = Closed("10.0.0.1", ("10.0.0.9", "fd00::9", "10.0.0.8"))
    ports = (("0.0.0.0", 11434), ("10.0.0.1", 11435))
    host = DockerHost(CE.settings, CE.sources, published=ports, closed=closed)
    assert list(host.accepted()) == [
        ("ip", "!= 127.0.0.0/8", 11434, ""),
        ("ip", "10.0.0.1", 11435, "{ 10.0.0.9, 10.0.0.8 }"),
    ]
