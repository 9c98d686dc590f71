"""Print the Debian packages that the lab and its mirror still need on this machine, in one line."""

import sys

from inferfleet import lab
from inferfleet.lab.mirror import ollama

if __name__ == "__main__":
    sys.stdout.write(" ".join(sorted({*lab.missing_packages(), *ollama.missing_packages()})))
