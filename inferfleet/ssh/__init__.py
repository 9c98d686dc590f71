"""pyinfra's SSH connector in fewer round trips, for ordinary host names.

Two lines at the top of an inventory file:

    from inferfleet import ssh as _ssh
    _ssh.use()

    frame       commands and answers in one shell, split by a random marker
    shell       the remote `sh`, and as many as a host needs at once
    cache       answers of facts, kept until the run changes something
    transfer    small files over the shell
    trips       round trips, counted
    connector   FleetSSH: all of it behind pyinfra's interface

Facts about pyinfra are about version 3.10.0.
"""

from pyinfra.connectors import dockerssh, ssh

from inferfleet.current import check_before_connecting

from .connector import FleetSSH
from .trips import round_trips

__all__ = ["FleetSSH", "round_trips", "use"]

_KEEP_STOCK = (dockerssh.SSHConnector,)  # imported first, so that what builds on the stock connector keeps it


def use() -> None:
    """Plain host names (and `@ssh/NAME`) of inventories made from now on take `FleetSSH`. Idempotent.

    What cannot be stops a run of `deploy.py` before any of them is contacted.

    pyinfra resolves its `ssh` entry point to the attribute `SSHConnector` of its module each time an inventory
    is made, so the attribute is what is set. Host data `ssh_stock: true` goes back, for a host or for a run.
    """
    FleetSSH.before_connecting = staticmethod(check_before_connecting)
    ssh.SSHConnector = FleetSSH  # type: ignore[misc]  # the one place where a class of pyinfra is replaced
