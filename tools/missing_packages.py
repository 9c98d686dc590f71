"""Print the Debian packages that the lab and its mirror still need on this machine, with `test` the tests too."""

import shutil
import sys

from inferfleet import lab
from inferfleet.lab.mirror import ollama, repositories

# Program -> package, for tests that use the real program on this machine (tests/ssh, tests/plan).
TESTED_WITH = {"sshd": "openssh-server", "doas": "opendoas", "setfacl": "acl", "chromium": "chromium"}


def main(for_tests: bool) -> str:
    """Names in one line; empty when all is there."""
    missing = {*lab.missing_packages(), *ollama.missing_packages(), *repositories.missing_packages()}
    if for_tests:
        path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
        missing |= {package for program, package in TESTED_WITH.items() if not shutil.which(program, path=path)}
    return " ".join(sorted(missing))


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:] == ["test"]))
