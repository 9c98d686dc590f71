# Install Debian packages: sh -c TEXT packages NAME...
# Somebody else's apt is waited for, and an installation that was cut off is ended first. apt's own waiting
# (DPkg::Lock::Timeout, apt 2.x) covers dpkg's lock but not the one of the package lists.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

fail() { # one line: the first error of what was said, or its end
    echo "$1: $(echo "$said" | grep -m 1 '^E:' || echo "$said" | tail -n 1)" >&2
    exit 1
}

tries=0
# Without Error-Mode a list that cannot be fetched is no error (apt 2.6), and the install then speaks of a
# package that does not exist.
until said=$(apt-get -qq -o APT::Update::Error-Mode=any update 2>&1); do
    tries=$((tries + 1))
    case $said in *"Could not get lock"*) [ $tries -lt 60 ] && sleep 5 && continue ;; esac
    fail "apt-get update"
done
said=$(dpkg --configure -a 2>&1) || fail "dpkg --configure -a"
options="-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 --no-install-recommends"
# shellcheck disable=SC2086
said=$(apt-get -qq $options install -y "$@" 2>&1) || fail "apt-get install"
