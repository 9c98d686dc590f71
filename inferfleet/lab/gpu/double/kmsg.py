#!/usr/bin/python3
"""Says something as the kernel of a lab host: `kmsg.py TEXT`, to be read with `journalctl -k`."""

import os
import sys
import time
from pathlib import Path

RUN = Path("/run/gpu-double")


def say(text: str) -> None:
    """A record as /dev/kmsg gives them: level, number, microseconds since boot, flags; then the text."""
    number = RUN / "kmsg-number"
    last = int(number.read_text()) if number.exists() else 0
    number.write_text(str(last + 1))
    try:
        pipe = os.open(RUN / "kmsg", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return  # nobody listens yet
    os.write(pipe, f"4,{last + 1},{time.monotonic_ns() // 1000},-;{text}\n".encode())
    os.close(pipe)


if __name__ == "__main__":
    say(" ".join(sys.argv[1:]))
