"""Write the units, remove those no longer declared, start or restart what must be, wait until each answers.

Told {"mark", "unit_dir", "files", "links", "enable", "names", "restart", "remove", "version"}.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request

DROP_IN = "zz-inferfleet.conf"
READY_S = 90


def fail(text):
    sys.exit(text)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def systemctl(*words):
    done = subprocess.run(
        ("systemctl",) + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True
    )
    if done.returncode:
        fail("systemctl %s: %s" % (" ".join(words), (done.stderr or done.stdout).strip().replace("\n", " ")))


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def write(path, text):
    """Whole or not at all, also after a power cut."""
    if os.path.islink(path):
        os.remove(path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    partial = "%s/.%s.inferfleet" % (os.path.dirname(path), os.path.basename(path))
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(partial, 0o644)
    os.chown(partial, 0, 0)
    os.replace(partial, path)


def link(path, target):
    if not os.path.islink(path) or os.readlink(path) != target:
        if os.path.lexists(path):
            os.remove(path)
        os.symlink(target, path)


def remove(name, work):
    """A unit of ours goes whole; from one that is not ours only our drop-in goes, and it runs on as its own."""
    path = "%s/%s.service" % (work["unit_dir"], name)
    drop_in = "%s.d/%s" % (path, DROP_IN)
    if os.path.islink(path) or not read(path).startswith(work["mark"]):
        if os.path.islink(path):
            os.remove(path)
        os.remove(drop_in)
        systemctl("daemon-reload")
        if not os.path.exists(path):
            return
        systemctl("try-restart", name)
    else:
        systemctl("disable", "--now", name)
        os.remove(path)
        os.remove(drop_in)
    try:
        os.rmdir(os.path.dirname(drop_in))
    except OSError:
        pass
    say("%s is removed" % name)


def version_at(address):
    try:
        with urllib.request.urlopen("http://%s/api/version" % address, timeout=2) as answer:
            return json.load(answer)["version"]
    except (OSError, ValueError, KeyError):
        return None


def journal(name):
    command = ["journalctl", "-q", "-n", "3", "-o", "cat", "-u", name]
    text = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True).stdout
    return " | ".join(text.strip().splitlines())


def restart(name, address, version):
    systemctl("restart", name)
    end = time.time() + READY_S
    while version_at(address) != version:
        if time.time() > end:
            fail("%s does not answer as %s at %s after %d s: %s" % (name, version, address, READY_S, journal(name)))
        time.sleep(0.1)
    say("%s answers at %s" % (name, address))


def main(work):
    for name in work["remove"]:
        remove(name, work)
    units = work["names"]
    for name in units:
        path = "%s/%s.service" % (work["unit_dir"], name)
        if os.path.islink(path) and os.readlink(path) == "/dev/null":
            os.remove(path)
    for path, text in sorted(work["files"].items()):
        write(path, text)
    for path, target in work["links"].items():
        link(path, target)
    systemctl("daemon-reload")
    if work["enable"]:
        systemctl("unmask", "--quiet", *work["enable"])
        systemctl("enable", "--quiet", *work["enable"])
    for name, address in work["restart"].items():
        restart(name, address, work["version"])


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        fail(str(error))
