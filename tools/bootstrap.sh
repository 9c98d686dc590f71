# shellcheck shell=bash
# What ./demo, ./test and tools/run share: from a bare Debian or Ubuntu machine to a Python that has
# what a lock file names. Source it, then call `begin`, `become_root` where needed, and `bootstrap LOCK`.
#
# Run by an ordinary user it asks for sudo once, at the start, and goes on as root; what belongs to the
# user (virtual environments, caches of linters) is made by `as_user`, so that it stays the user's.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
MIN_PYTHON=3.11
SPACE_FIRST_GIB=6  # environments, base roots, compiled mirror; measured 4
SPACE_AGAIN_GIB=2
SECONDS=0

# --- what is said -------------------------------------------------------------------------------

if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then TTY=1; else TTY=""; fi
if [ -n "$TTY" ] && [ -z "${NO_COLOR:-}" ]; then
    GREEN=$'\e[32m' RED=$'\e[31m' DIM=$'\e[2m' PLAIN=$'\e[0m'
else
    GREEN="" RED="" DIM="" PLAIN=""
fi

# die MESSAGE: one line that says what to do, and the end.
die() {
    printf '%s%s: %s%s\n' "$RED" "$COMMAND" "$1" "$PLAIN" >&2
    exit 1
}

# A running count of seconds for a step, until it is killed: rewritten on a terminal, else a line every 20 s.
tick() {
    local name=$1 begun=$SECONDS
    while sleep 1 && kill -0 "$$" 2>/dev/null; do
        if [ -n "$TTY" ]; then
            printf '\r\e[2K%s· %s %s s%s' "$DIM" "$name" $((SECONDS - begun)) "$PLAIN"
        elif [ $(((SECONDS - begun) % 20)) -eq 0 ]; then
            printf '· %s: %s s so far\n' "$name" $((SECONDS - begun))
        fi
    done
}

# step NAME COMMAND...: run it with its output in the log; say what runs, for how long, and how it ended.
# Gives the command's exit status.
step() {
    local name=$1 begun=$SECONDS status=0 ticker
    shift
    printf '\n== %s: %s\n' "$name" "$*" >>"$LOG"
    if [ -n "$TTY" ]; then printf '%s· %s%s' "$DIM" "$name" "$PLAIN"; else printf '· %s\n' "$name"; fi
    tick "$name" &
    ticker=$!
    "$@" >>"$LOG" 2>&1 </dev/null || status=$?
    kill "$ticker" 2>/dev/null
    wait "$ticker" 2>/dev/null || true
    said "$name" $((SECONDS - begun)) "$status"
    return "$status"
}

# said NAME SECONDS STATUS: the closing line of a step.
said() {
    [ -z "$TTY" ] || printf '\r\e[2K'
    if [ "$3" -eq 0 ]; then printf '%s✓%s %-44s %4s s\n' "$GREEN" "$PLAIN" "$1" "$2"
    else printf '%s✗%s %-44s %4s s\n' "$RED" "$PLAIN" "$1" "$2"; fi
}

# --- who we are, and where ----------------------------------------------------------------------

# begin COMMAND ARGUMENTS...: name ourselves, check the machine, find the cache. Nothing is written yet.
begin() {
    COMMAND=$1 ARGUMENTS=("${@:2}")
    if [[ " ${ARGUMENTS[*]-} " =~ \ (-h|--help)\  ]]; then
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit 0
    fi
    [ "$(uname -s)" = Linux ] || die "needs Linux (got $(uname -s)); use a Debian or Ubuntu machine, real or virtual"
    command -v apt-get >/dev/null || die "needs apt (got no apt-get); use a Debian or Ubuntu machine"
    [ -n "${INFERFLEET_CACHE:-}${XDG_CACHE_HOME:-}${HOME:-}" ] ||
        die "has no place for its cache (got no HOME); set INFERFLEET_CACHE to a directory"
    CACHE=$(realpath -m -- "${INFERFLEET_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/inferfleet}")
    export INFERFLEET_CACHE=$CACHE
    set_as_user
}

# check_space: the cache's file system has room for what is still to be made.
check_space() {
    local place=$CACHE need=$SPACE_FIRST_GIB free_kib
    [ ! -e "$CACHE/.whole" ] || need=$SPACE_AGAIN_GIB
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    free_kib=$(df -Pk -- "$place" | awk 'NR == 2 {print $4}')
    [ "$free_kib" -ge $((need * 1024 * 1024)) ] ||
        die "needs $need GiB in $CACHE (got $((free_kib / 1024)) MiB free); make room or set INFERFLEET_CACHE to a larger disk"
}

# What crosses to root: by name, so that no value (a proxy's password) shows in the list of processes.
preserved_names() {
    compgen -e | grep -xE '[A-Za-z_][A-Za-z0-9_]*' |
        grep -vxE 'PATH|HOME|SHELL|USER|LOGNAME|MAIL|PWD|OLDPWD|SHLVL|_|TMPDIR|(LD|PYTHON|SUDO|XDG)_?[A-Z0-9_]*' | paste -sd, -
}

# become_root [WHAT_FOR]: start ourselves again under sudo where we are not root. It is asked once.
become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    local reason="root for: ${1:-apt packages, network namespaces, mounts}"
    command -v sudo >/dev/null || die "needs $reason (got user $(id -un), no sudo); run it as root"
    if ! sudo -n true 2>/dev/null; then
        [ -t 0 ] || die "needs $reason (got user $(id -un), no terminal for sudo's password); run it as root"
        echo "$COMMAND needs $reason"
    fi
    INFERFLEET_USER="$(id -u) $(id -g) $(id -un)"
    export INFERFLEET_USER INFERFLEET_USER_PATH=$PATH INFERFLEET_USER_HOME=${HOME:-/}
    # Clients of root's side are configured as the user's are.
    local settings=${XDG_CONFIG_HOME:-${HOME:-/}/.config}
    export PIP_CONFIG_FILE=${PIP_CONFIG_FILE:-$settings/pip/pip.conf} GOENV=${GOENV:-$settings/go/env}
    exec sudo "--preserve-env=$(preserved_names)" -- "$BASH" "$0" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
}

# AS_USER: words before a command that must run as the user who called us, in that user's environment.
set_as_user() {
    local uid gid name
    AS_USER=()
    if [ "$(id -u)" -ne 0 ] || [ -z "${INFERFLEET_USER:-}" ]; then return 0; fi
    read -r uid gid name <<<"$INFERFLEET_USER"
    AS_USER=(setpriv "--reuid=$uid" "--regid=$gid" --init-groups -- env "HOME=$INFERFLEET_USER_HOME"
        "PATH=$INFERFLEET_USER_PATH" "USER=$name" "LOGNAME=$name")
}

as_user() { ${AS_USER[@]+"${AS_USER[@]}"} "$@"; }

# open_log: a log of this run, its path in LOG; those of past weeks go.
open_log() {
    { as_user mkdir -p "$CACHE/logs" "$CACHE/venv" && as_user test -w "$CACHE/logs"; } 2>/dev/null ||
        die "may not write to $CACHE (got user $(as_user id -un)); set INFERFLEET_CACHE to a directory of yours"
    LOG=$(as_user mktemp "$CACHE/logs/${COMMAND##*/}-$(date +%Y%m%d-%H%M%S)-XXXX.log")
    export INFERFLEET_LOG=$LOG
    as_user find "$CACHE/logs" -name '*.log' -mtime +14 -delete 2>/dev/null || true
}

# --- packages and Python ------------------------------------------------------------------------

# apt_install PACKAGES...: they are installed. One at a time on this machine.
apt_install() {
    become_root "apt packages ($*)"
    step "apt packages: $*" flock /run/lock/inferfleet-apt sh -ec '
        export DEBIAN_FRONTEND=noninteractive
        apt-get -o DPkg::Lock::Timeout=600 update
        apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends "$@"' apt_install "$@" ||
        die "apt could not install $*; read $LOG"
}

# usable PYTHON: print the path of that interpreter, if it is new enough and can make environments.
usable() {
    as_user "$1" -c "
import ensurepip, sys, venv
if sys.version_info < tuple(map(int, '$MIN_PYTHON'.split('.'))):
    sys.exit(1)
print(sys.executable)" 2>/dev/null
}

# find_python: print the first usable interpreter on the user's PATH.
find_python() {
    local name
    for name in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        usable "$name" && return
    done
    return 1
}

# new_enough PYTHON: it is, whether or not it can make environments.
new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < tuple(map(int, '$MIN_PYTHON'.split('.'))))" 2>/dev/null
}

# need_python: INTERPRETER is a Python that can make environments.
need_python() {
    local own=/usr/bin/python3
    INTERPRETER=$(find_python) && return
    if [ ! -e $own ] || new_enough $own; then
        apt_install python3 python3-venv
        INTERPRETER=$(find_python) && return
    fi
    die "needs Python $MIN_PYTHON or newer (got $($own --version 2>&1)); put one on PATH, or use Debian 12, Ubuntu 24.04 or later"
}

# environment_for LOCK: make the virtual environment, unless it is there and whole. Its name says what is
# in it. Environments cannot be moved, so it is made in place, and a marker says that it is complete.
environment_for() {
    local lock=$ROOT/requirements/$1.lock key
    key=$( (cat "$lock" && "$INTERPRETER" -c 'import sys; print(sys.version, sys.executable)') | sha256sum | cut -c1-12)
    VENV=$CACHE/venv/$1-$key
    [ ! -e "$VENV/complete" ] || return 0
    # shellcheck disable=SC2016  # the inner shell expands it
    step "Python environment ($1)" as_user flock "$VENV.lock" bash -ec '
        [ ! -e "$1/complete" ] || exit 0
        "$3" -m venv --clear "$1"
        "$1/bin/python" -m pip install --no-input --disable-pip-version-check --only-binary :all: --require-hashes -r "$2"
        printf "#!%s/bin/python\nfrom inferfleet.cli import main\n\nmain()\n" "$1" >"$1/bin/inferfleet"
        chmod +x "$1/bin/inferfleet"
        touch "$1/complete"' environment_for "$VENV" "$lock" "$INTERPRETER" ||
        die "pip could not install requirements/$1.lock: $(tail -n 1 "$LOG"); read $LOG"
}

# need_packages lab|test: what the lab and its mirror run on this machine is installed; what tests run, too.
need_packages() {
    local missing
    missing=$("$VENV/bin/python" "$ROOT/tools/missing_packages.py" "$1") || die "cannot tell what is missing; read $LOG"
    # shellcheck disable=SC2086  # a list of words
    [ -z "$missing" ] || apt_install $missing
}

# bootstrap LOCK: VENV is a virtual environment with what the lock names, in which this clone is importable.
bootstrap() {
    open_log
    need_python
    environment_for "$1"
    export PYTHONPATH=$ROOT PYTHONNOUSERSITE=1
    # Root leaves no compiled files in a clone that is not its own.
    [ -z "${INFERFLEET_USER:-}" ] || export PYTHONPYCACHEPREFIX=$CACHE/pycache
    unset PYTHONHOME
}
