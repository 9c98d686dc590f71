"""The conf file of a lab host's cards: sections `[host]` and, in the order of the bus, `[card]`.

It is always written in place: a container has the very file mounted, and would keep another's.
Also a program: `python gpuconf.py PATH` reads `{"host": {KEY: VALUE}, "cards": {SLOT: {KEY: VALUE}}}` and sets that.
"""

import fcntl
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

PATH = "/etc/gpu-double.conf"


class Conf:
    """What the file says.

    Args:
        host: keys of the section `[host]`.
        cards: keys of each `[card]`.
    """

    def __init__(self, host: "dict[str, str]", cards: "list[dict[str, str]]") -> None:
        self.host = host
        self.cards = cards

    @classmethod
    def parse(cls, text: str) -> "Conf":
        """The file's text as a Conf."""
        conf = cls({}, [])
        section = conf.host
        for line in (line.strip() for line in text.splitlines()):
            if line == "[card]":
                section = {}
                conf.cards.append(section)
            elif "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                section[key.strip()] = value.strip()
        return conf

    def text(self) -> str:
        """The file's text."""
        sections = [("host", self.host), *(("card", card) for card in self.cards)]
        parts = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for name, keys in sections]
        return "# The cards of this lab host: doubles. Read anew for every answer.\n" + "".join(parts)


def load(path: str = PATH) -> Conf:
    """What the file says."""
    return Conf.parse(Path(path).read_text())


@contextmanager
def changing(path: str = PATH):  # type: ignore[no-untyped-def]
    """Yields what the file says, and writes what was made of it; one at a time."""
    with open(path, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        conf = Conf.parse(file.read().decode())
        yield conf
        data = conf.text().encode()
        os.pwrite(file.fileno(), data, 0)
        os.ftruncate(file.fileno(), len(data))


def change(path: str, host: "dict[str, str]", cards: "dict[str, dict[str, str]]") -> None:
    """These keys have these values, of the host and of the cards by their slots."""
    with changing(path) as conf:
        conf.host.update(host)
        for card in conf.cards:
            card.update(cards.get(card["slot"], {}))


if __name__ == "__main__":
    change(sys.argv[1], **json.load(sys.stdin))
