"""Print the Debian packages that the lab and its mirror still need on this machine, in one line."""

from inferfleet.lab import missing_packages

if __name__ == "__main__":
    print(*missing_packages())
