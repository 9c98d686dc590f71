"""What an inventory file needs to reach lab hosts with pyinfra."""

import json
import os
from typing import Any

from inferfleet.errors import LabError
from inferfleet.lab.lab import Lab, attach

VARIABLE = "INFERFLEET_LAB"
DEFAULT = "lab"
OFFER = "offer.json"


def current_name(name: str | None = None) -> str:
    """The name given, else that in INFERFLEET_LAB, else `lab`."""
    return name or os.environ.get(VARIABLE) or DEFAULT


def current(name: str | None = None) -> Lab:
    """The running lab that is meant when none is named.

    Raises:
        LabError: it is not up; the message says how to start it.
    """
    return attach(current_name(name))


def offered(lab: Lab | str | None = None) -> dict[str, Any]:
    """What a lab's mirror offers: `sources` as an inventory says them, and `images`: tag of Ollama -> pinned name.

    Raises:
        LabError: no such lab is up, or nothing is served to it.
    """
    found = lab if isinstance(lab, Lab) else current(lab)
    try:
        offer: dict[str, Any] = json.loads((found.directory / OFFER).read_text())
    except FileNotFoundError as error:
        raise LabError(f"lab {found.name}: has no mirror", "make it with: sudo inferfleet lab up") from error
    return offer


def ssh_data(name: str, lab: Lab | str | None = None) -> dict[str, object]:
    """Host data for pyinfra (3.10, `connectors/ssh.py`) for a lab host: user deploy, sudo, strict host keys.

    Args:
        name: of the host.
        lab: the lab or its name; else `current()`.

    Raises:
        LabError: no such lab is up, or it has no such host.
    """
    found = lab if isinstance(lab, Lab) else current(lab)
    return {
        "ssh_hostname": found.host(name).address,
        "ssh_user": "deploy",
        "ssh_key": str(found.key),
        "ssh_known_hosts_file": str(found.known_hosts),
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "_sudo": True,
    }
