"""Fetch a release, check it, unpack it beside the others, make it live by one rename, remove older ones.

Told {"root", "version", "base", "archive", "sha256", "unpack", "keep"}. Killed at any point it leaves the live version
as it was, and the next run begins anew.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def fail(text):
    sys.exit("ollama: " + text)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fetch(url):
    try:
        return urllib.request.urlopen(url, timeout=60)
    except urllib.error.HTTPError as error:
        fail("%s answers %s %s; check `sources` and `version`" % (url, error.code, error.reason))
    except OSError as error:
        fail("%s cannot be reached: %s; check `sources`" % (url, getattr(error, "reason", error)))


def wanted_sha256(work, archive):
    if work["sha256"]:
        return work["sha256"]
    url = work["base"] + "/sha256sum.txt"
    with fetch(url) as answer:
        for line in answer.read().decode("utf-8", "replace").splitlines():
            parts = line.split()
            if len(parts) == 2 and parts[1].lstrip("*./") == archive:
                return parts[0]
    fail("%s does not list %s; set `sha256` or check the source" % (url, archive))


def check_space(root, size):
    """Packed and unpacked lie beside each other; a release unpacks to about three times its size."""
    need, free = 4 * size, shutil.disk_usage(root).free
    if free < need:
        fail("disk is full: %s has %d MB free, %d MB are needed" % (root, free // 10**6, need // 10**6))


def download(url, path, wanted):
    digest, done, shown = hashlib.sha256(), 0, time.time()
    with fetch(url) as answer, open(path, "wb") as file:
        size = int(answer.headers.get("Content-Length") or 0)
        check_space(os.path.dirname(path), size)
        while True:
            try:
                block = answer.read(1 << 20)
            except OSError as error:
                fail("%s broke off after %d MB: %s" % (url, done // 10**6, error))
            if not block:
                break
            file.write(block)
            digest.update(block)
            done += len(block)
            if time.time() - shown > 3:
                shown = time.time()
                say("fetching %s: %d of %d MB" % (os.path.basename(url), done // 10**6, size // 10**6))
    if digest.hexdigest() != wanted:
        os.remove(path)
        fail("%s has SHA-256 %s, wanted is %s; nothing was installed" % (url, digest.hexdigest(), wanted))


def listing(directory):
    """Size and time of every file, to see later whether one was changed."""
    found = {}
    for parent, _, files in os.walk(directory):
        for name in files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            found[os.path.relpath(path, directory)] = [status.st_size, int(status.st_mtime)]
    return found


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def unpack(work):
    root, version = work["root"], work["version"]
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        fail("there is no release for %s" % machine)
    archive = work["archive"].replace("{arch}", ARCHITECTURES[machine])
    packed, directory = "%s/.fetch-%s" % (root, version), "%s/.unpack-%s" % (root, version)
    download("%s/%s" % (work["base"], archive), packed, wanted_sha256(work, archive))
    os.makedirs(directory)
    tar = subprocess.run(["tar", "--zstd", "--no-same-owner", "-xf", packed, "-C", directory], stderr=subprocess.PIPE)
    if tar.returncode:
        fail("%s does not unpack: %s" % (archive, tar.stderr.decode("utf-8", "replace").strip().splitlines()[-1]))
    os.remove(packed)
    marker = {"files": listing(directory), "binary": sha256(directory + "/bin/ollama")}
    with open(directory + "/.inferfleet.json", "w") as file:
        json.dump(marker, file)
    os.sync()
    replace(directory, "%s/%s" % (root, version))


def replace(directory, place):
    """A process that still runs from the old directory keeps its open files."""
    if os.path.exists(place):
        os.rename(place, "%s/.old-%d" % (os.path.dirname(place), time.time()))
    os.rename(directory, place)


def make_live(root, version):
    link = root + "/.current"
    if os.path.lexists(link):
        os.remove(link)
    os.symlink(version, link)
    os.replace(link, root + "/current")


def leftovers(root):
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if name.startswith((".fetch-", ".unpack-", ".old-")):
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def remove_older(root, keep):
    """Only what we unpacked: it carries our list of files."""
    for name in set(os.listdir(root)) - set(keep) - {"current"}:
        if os.path.exists("%s/%s/.inferfleet.json" % (root, name)):
            shutil.rmtree(os.path.join(root, name))


def main(work):
    root = work["root"]
    os.makedirs(root, exist_ok=True)
    leftovers(root)
    try:
        if work["unpack"]:
            unpack(work)
        make_live(root, work["version"])
        remove_older(root, work["keep"])
    finally:
        leftovers(root)
    say("Ollama %s is live" % work["version"])


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        fail(str(error))
