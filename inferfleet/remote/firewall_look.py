"""What a host says of our table of the firewall; a part of scripts that ask."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import Any

from inferfleet.remote.apt_state import output, text_of

# A rule set that nobody knows is loaded where it can do nothing, and told back by the same nft.
APART = 'nft -f - && exec nft -j list table inet "$0"'


def systemctl_show(names: tuple[str, ...] | list[str], shown: str) -> dict[str, dict[str, str]]:
    """What systemd says of units, in one call."""
    blocks = output("systemctl", "show", "-p", shown, *names).split("\n\n")
    found = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    return {block.get("Id", name): block for name, block in zip(names, found)}  # noqa: B905  # no strict before 3.10


def rules(text: str) -> Any:
    """The JSON of nft without what differs from load to load."""
    try:
        listed = json.loads(text)["nftables"]
    except (ValueError, LookupError):
        return None
    found = []
    for entry in listed:
        for kind, value in entry.items():
            if kind != "metainfo":
                found.append({kind: {k: v for k, v in value.items() if k != "handle"}})
    return found


def firewall(ask: dict[str, Any]) -> dict[str, Any]:
    """The two files, the unit, and the table: `missing`, `altered` or `right`."""
    unit = systemctl_show([ask["unit"]], "Id,ActiveState,UnitFileState,NeedDaemonReload").get(ask["unit"], {})
    there = rules(output("nft", "-j", "list", "table", "inet", ask["table"]))
    table = "missing"
    if there is not None:
        table = "right" if there == expected_rules(ask) else "altered"
    return {
        "rules": text_of(ask["path"]),
        "unit": text_of(f"/etc/systemd/system/{ask['unit']}"),
        "active": unit.get("ActiveState", ""),
        "enabled": unit.get("UnitFileState", ""),
        "stale": unit.get("NeedDaemonReload") == "yes",
        "table": table,
    }


def expected_rules(ask: dict[str, Any]) -> Any:
    """What this host's nft makes of the declared rules, in a network namespace that ends at once."""
    with contextlib.suppress(OSError):
        command = ["unshare", "--net", "sh", "-c", APART, ask["table"]]
        done = subprocess.run(command, input=ask["rules"].encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return rules(done.stdout.decode("utf-8", "replace"))
    return None
