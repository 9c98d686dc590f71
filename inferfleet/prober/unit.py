"""The prober's systemd unit as text."""

from inferfleet.render import render

NAME = "inferfleet-prober.service"
USER = "inferfleet-prober"
PROGRAM = "/opt/inferfleet/prober/prober.pyz"
CONFIG = "/etc/inferfleet/prober.json"
STATE = "inferfleet-prober"  # below /var/lib
GROUP = "inferfleet-stats"  # of HAProxy's socket for it


def unit(*, program: str = PROGRAM, config: str = CONFIG, group: str = GROUP, spec: str = "") -> str:
    """The unit's text.

    Args:
        program: the zip of `pack.zipped` on the host.
        config: the file that `config.load` reads.
        group: who may open HAProxy's stats socket; the prober gets it as a further group.
        spec: a digest of what is declared, kept in the environment of the running process; empty for none.
    """
    return render("systemd/prober.service.j2", program=program, config=config, group=group, spec=spec, state=STATE)
