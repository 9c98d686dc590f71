"""Each kind of drift is seen by the dry run, healed by one apply, and nothing else changes."""

import pytest

from tests.lab.api import call
from tests.lab.project import Project

pytestmark = pytest.mark.lab

DROP_IN = "/etc/systemd/system/ollama-cpu1.service.d/zz-inferfleet.conf"
UNIT = "/etc/systemd/system/ollama-cpu1.service"
STORE = "/usr/share/ollama/.ollama/models"
BLOB = f"$(ls -S {STORE}/blobs/sha256-* | head -1)"
CURRENT = "/opt/inferfleet/ollama/current"
RELOAD = "systemctl daemon-reload"
OVERRIDE = "/etc/systemd/system/ollama-cpu1.service.d/override.conf"
RUN = "/run/systemd/system/ollama-cpu1.service.d"


# what is done to cpu1 -> the words in which the dry run says it. ollama-cpu0 is never touched by the first group.
ONE_INSTANCE = {
    "drop-in edited, not restarted": (
        f"sed -i s/NUM_PARALLEL=4/NUM_PARALLEL=1/ {DROP_IN}",
        "differs from what is declared",
    ),
    "drop-in edited and restarted": (
        f"sed -i s/NUM_PARALLEL=4/NUM_PARALLEL=1/ {DROP_IN}; systemctl daemon-reload; systemctl restart ollama-cpu1",
        "was started with OLLAMA_NUM_PARALLEL=1, declared is 4",
    ),
    "restarted with an edited drop-in that was put back": (
        f"cp -a {DROP_IN} /tmp/d; sed -i s/4096/2048/ {DROP_IN}; {RELOAD}; systemctl restart ollama-cpu1;"
        f" cp -a /tmp/d {DROP_IN}; {RELOAD}",
        "was started with OLLAMA_CONTEXT_LENGTH=2048, declared is 4096",
    ),
    "drop-in removed": (f"rm {DROP_IN}; systemctl daemon-reload", "zz-inferfleet.conf: is missing"),
    "unit file edited": (f"echo '# by hand' >> {UNIT}; systemctl daemon-reload", "differs from what is declared"),
    "unit file removed": (f"rm {UNIT}; systemctl daemon-reload", "ollama-cpu1.service: is missing"),
    "unit file's mode opened": (f"chmod 666 {UNIT}", "owner or mode is wrong"),
    "drop-in's owner changed": (f"chown nobody {DROP_IN}", "owner or mode is wrong"),
    "unit stopped": ("systemctl stop ollama-cpu1", "start ollama-cpu1: is inactive"),
    "unit killed and failed": (
        rf"mkdir -p {RUN}; printf '[Service]\nRestart=no\n' > {RUN}/zzz.conf; {RELOAD};"
        f" systemctl kill -s KILL ollama-cpu1; sleep 1; rm -r {RUN}; {RELOAD}",
        "start ollama-cpu1: is failed",
    ),
    "unit disabled": ("systemctl disable --quiet ollama-cpu1", "does not start at boot"),
    "unit masked": (
        f"systemctl stop ollama-cpu1; rm {UNIT}; systemctl mask --quiet ollama-cpu1",
        "repair ollama-cpu1: is masked",
    ),
    "drop-in of somebody else on top": (
        rf"printf '[Service]\nEnvironment=OLLAMA_CONTEXT_LENGTH=99\n' > {OVERRIDE}; {RELOAD};"
        " systemctl stop ollama-cpu1",
        "start ollama-cpu1: is inactive",
    ),
    "process hangs": ("systemctl kill -s STOP ollama-cpu1", "does not answer at 127.0.0.1:11435"),
    "model unloaded": (
        call("generate", {"model": "tiny", "keep_alive": 0}, port=11435),
        "load tiny:latest on ollama-cpu1: is not in memory",
    ),
}
WHOLE_HOST = {
    "model removed": (call("delete", {"model": "tiny"}, "DELETE"), "fetch tiny:latest: is missing"),
    "blob corrupted": (
        f"printf X | dd of={BLOB} bs=1 seek=100000 conv=notrunc status=none",
        "is corrupt",
    ),
    "blob removed": (f"rm {BLOB}", "is missing"),
    "manifest emptied": (f": > {STORE}/manifests/registry.ollama.ai/library/tiny/latest", "is corrupt"),
    "store given to somebody else": (f"chown nobody {STORE}/blobs", "does not belong to ollama"),
    "home given to somebody else": ("chown nobody /usr/share/ollama", "belongs to nobody"),
    "another version live": (
        f"cp -a /opt/inferfleet/ollama/0.32.15 /opt/inferfleet/ollama/0.32.0; ln -sfn 0.32.0 {CURRENT};"
        " systemctl restart ollama-cpu1",
        "live is 0.32.0",
    ),
    "binary altered": (
        f"cd {CURRENT}/bin; cp -a ollama o; printf X >> o; mv o ollama",
        "bin/ollama was changed or removed",
    ),
    "library removed": (f"rm {CURRENT}/lib/ollama/llama-server", "llama-server was changed or removed"),
    "package removed": ("dpkg --force-depends -r zstd", "install zstd: is missing"),
}


@pytest.fixture(scope="module")
def fleet(bare: Project) -> Project:
    del bare.hosts["gpu1"]
    run = bare.apply()
    assert run.rc == 0, run.text
    return bare


def _pid(project: Project, name: str) -> str:
    return project.host("cpu1").run(f"systemctl show -P MainPID {name}").stdout.strip()


@pytest.mark.parametrize("kind", [*ONE_INSTANCE, *WHOLE_HOST])
def test_drift(fleet: Project, kind: str) -> None:
    command, seen = {**ONE_INSTANCE, **WHOLE_HOST}[kind]
    other = _pid(fleet, "ollama-cpu0")
    fleet.host("cpu1").run(command)
    dry = fleet.dry()
    assert dry.rc == 0, dry.text
    assert dry.changed == {"cpu1"}, dry.text
    assert seen in dry.text
    run = fleet.apply()
    assert run.rc == 0, run.text
    again = fleet.apply()
    assert again.rc == 0, again.text
    assert again.changes == {}, again.text
    assert not {says: why for says, why in fleet.verify().items() if why}
    if kind in ONE_INSTANCE:
        assert _pid(fleet, "ollama-cpu0") == other, "the other instance was restarted"
