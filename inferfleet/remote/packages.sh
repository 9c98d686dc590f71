# Install Debian packages: sh -c TEXT packages NAME...
# Without needrestart's restarts (Ubuntu): it takes any service whose libraries changed at some time, engines too.
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l LC_ALL=C

fail() { # one line: the first error of what was said, or its end
    echo "$1: $(echo "$2" | grep -m 1 '^E:' || echo "$2" | tail -n 1)" >&2
    exit 1
}

# Somebody else's apt is waited for: DPkg::Lock::Timeout (apt 2.x, 3.0) is for dpkg's lock, not for that of the
# lists, which apt-daily holds for the first minutes of a fresh machine. Without Error-Mode a list that cannot be
# fetched is no error (apt 2.6). One that is none of ours is only told of where ours cannot be installed without.
tries=0
until stale=$(apt-get -qq -o APT::Update::Error-Mode=any update 2>&1) && stale=; do
    tries=$((tries + 1))
    case $stale in *"Could not get lock"*) [ $tries -lt 60 ] && sleep 5 && continue ;; esac
    break
done
# An installation that was cut off is ended first; apt refuses to go on without.
# dpkg has nobody to ask about a settings file that both the host and the new package have changed: the host's stays.
said=$(dpkg --force-confdef --force-confold --configure -a </dev/null 2>&1) || fail "dpkg --configure -a" "$said"
said=$(apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef \
    -o Dpkg::Options::=--force-confold --no-install-recommends install -y "$@" 2>&1) ||
    fail "apt-get" "${stale:-$said}"
