"""A lab: hosts, their network and the services on its side, from `up` to nothing left."""

import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from inferfleet.errors import LabError
from inferfleet.lab import apt, namespaces, network, preflight, register, seed, ssh, state
from inferfleet.lab.aptsource import date_settings, machine_mirror
from inferfleet.lab.base import base_root
from inferfleet.lab.gpu.catalogue import card_model
from inferfleet.lab.gpu.conf import MOST_CARDS
from inferfleet.lab.gpu.place import place
from inferfleet.lab.host import LabHost
from inferfleet.lab.paths import cache_dir
from inferfleet.lab.ports import wait_port
from inferfleet.lab.say import Say, quiet
from inferfleet.lab.state import HostSpec, LabState, Process
from inferfleet.lab.system import run

LAB_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")  # "vb-" and the name must fit in an interface name


class Lab:
    """A lab of bare hosts, used with `with` or by `up` and `down`.

    Args:
        name: lower case letters, digits and hyphens.
        hosts: in the order of their addresses.
        keep: it outlives this process, until `down`; else it dies with it, even on kill -9.
        say: told what is being done.
    """

    def __init__(self, name: str, hosts: Sequence[HostSpec] = (), keep: bool = False, say: Say = quiet) -> None:
        self.name = name
        self.specs = list(hosts)
        self.keep = keep
        self.hosts: dict[str, LabHost] = {}
        self._say = say
        self._state: LabState | None = None
        self._pipe: int | None = None

    def __enter__(self) -> "Lab":
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep:
            self.down()

    @property
    def state(self) -> LabState:
        """What is recorded of it.

        Raises:
            LabError: it is not up.
        """
        if self._state is None:
            raise LabError(f"lab {self.name}: is not up", f"inferfleet lab up {self.name}")
        return self._state

    @property
    def directory(self) -> Path:
        """Its directory; gone after `down`."""
        return self.state.directory

    @property
    def gateway(self) -> str:
        """The address of this machine in the lab; its services listen there."""
        return network.gateway(self.state.net)

    @property
    def key(self) -> Path:
        """The private SSH key for root and deploy of every host."""
        return ssh.key(self.directory)

    @property
    def known_hosts(self) -> Path:
        """The known_hosts file with the real host keys."""
        return ssh.known_hosts(self.directory)

    def up(self) -> "Lab":
        """It is up and every host lets us in.

        Labs whose owner is dead are swept first.

        Raises:
            LabError: it cannot be made here, or a lab of that name is up.
        """
        begun = time.monotonic()
        suites = self._check()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda suite: base_root(suite, self._say), suites))
        self._state = register.register(self.name, self.keep, self._say)
        try:
            self._start()
            self._add(self.specs)
            self._check_way_back()
            self._state.ready = True
            self._state.save()
        except BaseException:
            self.down()
            raise
        self._say(f"lab {self.name}: {len(self.hosts)} hosts up in {time.monotonic() - begun:.1f} s")
        return self

    def down(self) -> None:
        """Nothing of it is left; does nothing if it is not up."""
        if self._state is not None:
            register.remove(self._state)
        if self._pipe is not None:
            os.close(self._pipe)
        self._state, self._pipe = None, None
        self.hosts.clear()

    def host(self, name: str) -> LabHost:
        """The host of that name.

        Raises:
            LabError: it has none.
        """
        if name not in self.hosts:
            have = ", ".join(self.hosts) or "none"
            raise LabError(f"lab {self.name}: no such host (got {name!r})", f"it has {have}")
        return self.hosts[name]

    def add(self, spec: HostSpec) -> LabHost:
        """One more host is up; the others know its name.

        Raises:
            LabError: the name is taken or not a host name, or the suite is not known.
        """
        _check_specs([*self.state.hosts, spec])
        base_root(spec.suite, self._say)
        self._add([spec])
        return self.hosts[spec.name]

    def serve(self, argv: Sequence[str | Path], name: str, port: int | None = None) -> None:
        """A process of the lab side runs: on this machine's network, dying with the lab.

        One of the same name that runs already is killed first.

        Args:
            argv: the command line; it should bind `gateway` only.
            name: of its log, `logs/NAME.log` in the lab's directory.
            port: wait until it listens there, at most 15 s.

        Raises:
            LabError: it ends, or does not listen in time; the message ends with the end of its log.
        """
        log = self.directory / "logs" / f"{name}.log"
        cgroup = register.lab_cgroup(self.state).child(f"service-{name}")
        cgroup.renew()
        cgroup.spawn(namespaces.inside(self._init(), argv, ["pid"]), log)
        if port is not None:
            wait_port(self.gateway, port, name, log, lambda: bool(cgroup.pids()))

    def _init(self) -> Process:
        if self.state.init is None:
            raise LabError(f"lab {self.name}: is still being made", "wait a moment")
        return self.state.init

    def _check(self) -> list[str]:
        if not LAB_NAME.fullmatch(self.name):
            raise LabError(f"lab: not a name (got {self.name!r})", "use lower case letters, digits and hyphens")
        _check_specs(self.specs)
        register.check_absent(state.load(self.name))
        suites = sorted({spec.suite for spec in self.specs})
        preflight.check(suites)
        return suites

    def _start(self) -> None:
        """Its namespaces, its network and its apt proxy are there."""
        lab = self.state
        cgroup = register.lab_cgroup(lab)
        cgroup.create()
        reading = None
        if not self.keep:
            reading, self._pipe = os.pipe()
        lab.init = namespaces.start(cgroup, lab.directory / "logs" / "init.log", reading)
        if reading is not None:
            os.close(reading)
        lab.save()
        # nspawn keeps its state in /run/systemd; with a /run of its own it looks and leaves the same
        # whether systemd runs this machine or not.
        run(namespaces.inside(lab.init, ["mount", "-t", "tmpfs", "tmpfs", "/run"], namespaces.DISKS))
        network.connect(lab, lab.init)
        seed.write_key(self.key, f"inferfleet-{self.name}")
        self.serve(apt.proxy_command(self.gateway, apt.PROXY_PORT, machine_mirror()), "apt", apt.PROXY_PORT)

    def _check_way_back(self) -> None:
        """Hosts reach the services on this machine; a firewall here is what usually hinders them."""
        for host in list(self.hosts.values())[:1]:
            knock = f"timeout 5 bash -c '</dev/tcp/{self.gateway}/{apt.PROXY_PORT}'"
            if host.run(knock, check=False).returncode != 0:
                link = network.link_name(self.state.tag)
                where = f"{self.gateway}:{apt.PROXY_PORT}"
                raise LabError(
                    f"network: {host.name} cannot reach this machine at {where}",
                    f"let this machine's firewall accept input from interfaces like {link}",
                )

    def _add(self, specs: Sequence[HostSpec]) -> None:
        """These hosts are up as well."""
        lab, dates = self.state, date_settings()
        login_key = " ".join(self.key.with_name(f"{self.key.name}.pub").read_text().split()[:2])
        lab.hosts.extend(specs)
        old, new = list(self.hosts.values()), [LabHost(lab, spec) for spec in specs]
        everyone = {host.name: host.address for host in (*old, *new)}
        with self.known_hosts.open("a") as known:
            for host in new:
                target = host.directory / "seed"
                public = seed.write_seed(target, host.name, host.address, lab.net, login_key, dates)
                place(target, host.spec, cache_dir(), self._say)
                known.write(f"{host.address} {public}\n")
        for host in new:
            seed.write_hosts(host.directory / "seed", lab.net, everyone)
        lab.save()
        for host in old:
            host.append("/etc/hosts", "".join(f"{other.address} {other.name}\n" for other in new))
        with ThreadPoolExecutor(max_workers=max(len(new), 1)) as pool:
            list(pool.map(LabHost.on, new))
        self.hosts.update({host.name: host for host in new})


def attach(name: str) -> Lab:
    """The lab of that name, which is up already.

    Raises:
        LabError: it is not up.
    """
    found = state.load(name)
    if found is None or found.phase() != "up":
        raise LabError(f"lab {name}: is not up", f"start it with: sudo inferfleet lab up {name}")
    lab = Lab(name, found.hosts, keep=True)
    lab._state = found
    lab.hosts = {spec.name: LabHost(found, spec) for spec in found.hosts}
    return lab


def _check_specs(specs: Sequence[HostSpec]) -> None:
    for number, spec in enumerate(specs):
        if not HOST_NAME.fullmatch(spec.name):
            raise LabError(f"host: not a name (got {spec.name!r})", "use up to 12 lower case letters, digits, hyphens")
        if spec.name in (other.name for other in specs[:number]):
            raise LabError(f"host {spec.name}: there twice", "give every host a name of its own")
        if len(spec.gpus) > MOST_CARDS:
            raise LabError(f"host {spec.name}: too many cards (got {len(spec.gpus)})", f"at most {MOST_CARDS}")
        for name in spec.gpus:
            card_model(name)
