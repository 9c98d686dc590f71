"""Images pulled, loaded, refused and removed by the script as hosts run it, against a double of Docker."""

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from inferfleet.engines.image import Image
from inferfleet.remote import compact, script
from inferfleet.remote.docker_api import Docker
from inferfleet.remote.images_state import images_state
from tests.remote.conftest import Site
from tests.remote.docker_double import DockerDouble, lines, reply

ID, USERS, OTHER = (f"sha256:{digit * 64}" for digit in "1a3")
DIGEST = f"sha256:{'d' * 64}"
TAG = "ollama/ollama:0.32.15"
PULLED = Image.declared(f"{TAG}@{DIGEST}", mirror="http://m:5000")


class Images(DockerDouble):
    """A Docker that has images: tags, digests, and what a pull or a load brings.

    Attributes:
        names: name -> ID of every tag and digest; an image without a name is under its ID.
        gives: name -> ID that a pull or a load brings.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names: dict[str, str] = {}
        self.gives: dict[str, str] = {}
        self.progress: list[dict[str, Any]] = []
        self.routes = {
            "GET /images/json": self._list,
            "POST /images/create": self._bring,
            "POST /images/load": self._bring,
            "GET /containers/json": [],
            "GET /info": {"DockerRootDir": "/"},
        }

    def answer_other(self, handler: BaseHTTPRequestHandler, method: str, path: str) -> None:
        """What names stand in the path for."""
        name, _, what = path.removeprefix("/images/").partition("?")[0].rpartition("/")
        if method == "DELETE":
            self._remove(handler, path.removeprefix("/images/"))
        elif what == "tag":
            query = {key: value[0] for key, value in parse_qs(urlsplit(path).query).items()}
            self.names[f"{query['repo']}:{query['tag']}"] = name
            reply(handler, 201, b"")
        elif (found := self.names.get(name, name if name in self.names.values() else None)) is not None:
            digests = [n for n, at in self.names.items() if at == found and "@" in n]
            reply(handler, 200, {"Id": found, "RepoDigests": digests})
        else:
            reply(handler, 404, {"message": f"No such image: {name}"})

    def _remove(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        known = self.names.get(name, name)
        gone = [n for n, at in self.names.items() if n == name or (name.startswith("sha256:") and at == name)]
        self.names = {n: at for n, at in self.names.items() if n not in gone}
        if not gone:
            reply(handler, 404, {"message": f"No such image: {name}"})
        else:
            reply(handler, 200, [{"Untagged": name}, {"Deleted": known}])

    def _list(self, handler: BaseHTTPRequestHandler, _: bytes) -> None:
        ids = sorted(set(self.names.values()))
        tags = {
            known: [n for n, at in self.names.items() if at == known and ":" in n and "@" not in n] for known in ids
        }
        reply(handler, 200, [{"Id": known, "RepoTags": [n for n in tags[known] if n != known]} for known in ids])

    def _bring(self, handler: BaseHTTPRequestHandler, _: bytes) -> None:
        self.names.update(self.gives)
        loaded = [{"stream": f"Loaded image: {name}\n"} for name in self.gives if not name.startswith("sha256:")]
        reply(handler, 200, lines(*self.progress, *loaded))


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Images]:
    double = Images(tmp_path / "docker.sock")
    yield double
    double.close()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "state" / "images.json"


Work = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def work(docker: Images, record: Path) -> Work:
    def work(bring: list[Image] | None = None, remove: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        text = script("docker_images").replace("/var/run/docker.sock", str(docker.path))
        text = text.replace("/var/lib/inferfleet/images.json", str(record)).replace("SHOW_S = 3", "SHOW_S = 0")
        orders = {"bring": [image.order for image in bring or []], "remove": remove or [], "proxy": {}}
        command = [sys.executable, "-I", "-c", text, compact(orders)]
        environment = {**os.environ, "DOCKER_CONFIG": str(docker.path.parent)}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)

    return work


def recorded(record: Path) -> dict[str, str | None]:
    return json.loads(record.read_text()) if record.exists() else {}


def archive(directory: Path) -> str:
    path = directory / "x.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = 3_000_000
        tar.addfile(member, io.BytesIO(b" " * member.size))
    return str(path)


# --- pulling -------------------------------------------------------------------------------------


def test_pulled_by_digest_with_progress(docker: Images, work: Work, record: Path) -> None:
    docker.gives = {PULLED.runs: ID}
    docker.progress = [
        {"status": "Pulling fs layer", "id": "a"},
        {"status": "Pulling fs layer", "id": "b"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 50_000_000, "total": 100_000_000}},
        {"status": "Download complete", "id": "a"},
        {"status": "Already exists", "id": "b"},
        {"status": "Extracting", "id": "a", "progressDetail": {"current": 10_000_000, "total": 100_000_000}},
    ]
    done = work([PULLED])
    assert done.returncode == 0, done.stderr
    assert (
        f"POST /images/create?fromImage=m%3A5000%2Follama%2Follama&tag={DIGEST.replace(':', '%3A')}" in docker.paths()
    )
    assert f"{TAG}@sha256:dddddddddddd: fetching, 50 %, 50 of 100 MB" in done.stdout
    assert f"{TAG}@sha256:dddddddddddd: unpacking, 1 of 2 layers, 10 %, 10 of 100 MB" in done.stdout
    assert recorded(record) == {PULLED.runs: ID}


def test_what_is_there_is_not_pulled_and_not_ours(docker: Images, work: Work, record: Path) -> None:
    docker.names = {PULLED.runs: ID}
    assert work([PULLED]).returncode == 0
    assert recorded(record) == {}
    assert not [path for path in docker.paths() if path.startswith("POST")]


def test_recorded_before_it_is_pulled(docker: Images, work: Work, record: Path) -> None:
    """A run that is killed while it pulls still knows that the image was not there before."""
    seen: dict[str, Any] = {}

    def look(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        seen.update(recorded(record))
        docker.names[PULLED.runs] = ID
        reply(handler, 200, lines({"status": "done"}))

    docker.routes["POST /images/create"] = look
    assert work([PULLED]).returncode == 0
    assert seen == {PULLED.runs: None}


@pytest.mark.parametrize(
    ("status", "said", "line"),
    [
        (500, "dial tcp 10.0.0.1:5000: connect: connection refused", "registry m:5000 cannot be reached: dial tcp"),
        (500, "write /var/x: no space left on device", "disk is full: /, where Docker keeps images, has "),
        (
            500,
            "http: server gave HTTP response to HTTPS client",
            "m:5000 speaks plain http; name it in docker.insecure",
        ),
        (404, "manifest unknown", "m:5000 has no such image: manifest unknown"),
        (500, f"manifest verification failed for digest {DIGEST}", "m:5000 gave another image than the declared one"),
        (500, "toomanyrequests: slow down", "toomanyrequests: slow down"),
    ],
)
def test_failures_are_one_line(docker: Images, work: Work, record: Path, status: int, said: str, line: str) -> None:
    docker.routes["POST /images/create"] = lambda handler, _: reply(handler, status, {"message": said})
    done = work([PULLED])
    assert done.returncode == 1
    assert done.stderr.startswith(f"images: {PULLED.name}: {line}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert recorded(record) == {}


def test_a_failure_among_the_progress_is_the_same_line(docker: Images, work: Work) -> None:
    said = "dial tcp 10.0.0.1:5000: connect: connection refused"
    docker.routes["POST /images/create"] = lines({"status": "Downloading"}, {"error": said})
    assert work([PULLED]).stderr == f"images: {PULLED.name}: registry m:5000 cannot be reached: {said}\n"


@pytest.mark.parametrize(
    ("image", "place"),
    [(PULLED, "m:5000"), (Image.declared(TAG), "https://index.docker.io/v1/"), (Image.declared("gh.io/x/y"), "gh.io")],
)
def test_pulled_with_what_docker_login_left(docker: Images, work: Work, image: Image, place: str) -> None:
    docker.gives = {image.runs: ID, f"{image.pulled.name}@{DIGEST}": ID}
    known = {"auth": base64.b64encode(b"me:se:cret").decode()}
    (docker.path.parent / "config.json").write_text(json.dumps({"auths": {place: known, "other": {}}}))
    assert work([image]).returncode == 0
    (told,) = [headers["X-Registry-Auth"] for headers in docker.headers if "X-Registry-Auth" in headers]
    assert json.loads(base64.urlsafe_b64decode(told)) == {
        "username": "me",
        "password": "se:cret",
        "serveraddress": place,
    }


@pytest.mark.parametrize("text", ["", "{}", '{"auths": {"m:5000": {}}}', '{"auths": {"m:5000": {"auth": 5}}}'])
def test_no_login_is_no_matter(docker: Images, work: Work, text: str) -> None:
    (docker.path.parent / "config.json").write_text(text)
    docker.gives = {PULLED.runs: ID}
    assert work([PULLED]).returncode == 0
    assert not [headers for headers in docker.headers if "X-Registry-Auth" in headers]


def test_no_docker_is_one_line(docker: Images, work: Work) -> None:
    docker.close()
    docker.path.unlink(missing_ok=True)
    done = work([PULLED])
    assert done.stderr == f"images: Docker at {docker.path} cannot be reached: No such file or directory\n"


# --- archives ------------------------------------------------------------------------------------


def test_loaded_from_a_path(docker: Images, work: Work, record: Path, tmp_path: Path) -> None:
    docker.gives = {TAG: ID}
    done = work([Image.declared(f"{TAG}@{ID}", archive=archive(tmp_path))])
    assert done.returncode == 0, done.stderr
    assert ": loading, 100 %, 3 of 3 MB" in done.stdout
    assert recorded(record) == {TAG: ID, ID: ID}
    sent = next(body for method, path, body in docker.asked if path == "/images/load")
    assert sent == (tmp_path / "x.tar").read_bytes()


def test_loaded_from_a_url(docker: Images, work: Work, record: Path, tmp_path: Path, site: Site) -> None:
    content = Path(archive(tmp_path)).read_bytes()
    site.routes["/x.tar"] = content
    docker.gives = {TAG: ID}
    done = work([Image.declared(TAG, archive=f"{site.url}/x.tar")])
    assert done.returncode == 0, done.stderr
    assert next(body for method, path, body in docker.asked if path == "/images/load") == content


def test_an_archive_that_is_not_the_declared_one_is_not_kept(
    docker: Images, work: Work, record: Path, tmp_path: Path
) -> None:
    """And its tag, which stood at an image of the user's, stands there again."""
    docker.names = {TAG: USERS, "user/tool:1": OTHER}
    docker.gives = {TAG: ID, "another/one:1": ID}
    path = archive(tmp_path)
    # Docker keeps an image that lost its tag under its ID.
    docker.names[USERS] = USERS
    done = work([Image.declared(f"{TAG}@{DIGEST}", archive=path)])
    assert done.returncode == 1
    assert f"{path} holds {TAG} ({ID}), another/one:1 ({ID}), not {DIGEST}; it was not kept" in done.stderr
    assert docker.names == {TAG: USERS, "user/tool:1": OTHER, USERS: USERS}
    assert recorded(record) == {}


def test_a_tag_that_an_archive_takes_is_given_back(docker: Images, work: Work, record: Path, tmp_path: Path) -> None:
    docker.names = {TAG: USERS, USERS: USERS}
    docker.gives = {TAG: ID, ID: ID}
    done = work([Image.declared(f"{TAG}@{ID}", archive=archive(tmp_path))])
    assert done.returncode == 0, done.stderr
    assert docker.names == {TAG: USERS, USERS: USERS, ID: ID}
    assert recorded(record) == {ID: ID}


def test_an_archive_without_the_declared_tag_is_not_kept(docker: Images, work: Work, tmp_path: Path) -> None:
    docker.gives = {"another/one:1": ID}
    done = work([Image.declared(TAG, archive=archive(tmp_path))])
    assert f"holds another/one:1 ({ID}), not {TAG}; it was not kept" in done.stderr
    assert docker.names == {}


def test_no_archive_is_one_line(work: Work, record: Path) -> None:
    done = work([Image.declared(TAG, archive="/nowhere/x.tar")])
    assert done.stderr == f"images: {TAG}: archive /nowhere/x.tar cannot be read: No such file or directory\n"
    assert recorded(record) == {}


def test_no_archive_at_the_url_is_one_line(work: Work, site: Site) -> None:
    done = work([Image.declared(TAG, archive=f"{site.url}/none.tar")])
    assert done.stderr == f"images: {TAG}: {site.url}/none.tar answers 404 Not Found\n"


def test_an_archive_that_breaks_off_is_not_loaded(docker: Images, work: Work, site: Site) -> None:
    def half(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "2000")
        handler.end_headers()
        handler.wfile.write(b"x" * 1000)

    site.routes["/x.tar"] = half
    docker.gives = {TAG: ID}
    done = work([Image.declared(TAG, archive=f"{site.url}/x.tar")])
    assert done.returncode == 1
    assert "broke off" in done.stderr or "cannot be read: IncompleteRead" in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1
    assert docker.names == {}


# --- removing ------------------------------------------------------------------------------------


def test_removed_and_forgotten(docker: Images, work: Work, record: Path) -> None:
    docker.names = {PULLED.runs: ID, "user/tool:1": USERS}
    record.parent.mkdir()
    record.write_text(json.dumps({PULLED.runs: ID}))
    done = work(remove=[PULLED.runs])
    assert done.returncode == 0, done.stderr
    assert docker.names == {"user/tool:1": USERS}
    assert recorded(record) == {}


def test_what_is_used_after_all_stays_without_a_failure(docker: Images, work: Work, record: Path) -> None:
    docker.names = {PULLED.runs: ID}
    conflict = {"message": "conflict: unable to remove repository reference (must force)"}
    docker.routes[f"DELETE /images/{PULLED.runs}"] = lambda handler, _: reply(handler, 409, conflict)
    record.parent.mkdir()
    record.write_text(json.dumps({PULLED.runs: ID}))
    done = work(remove=[PULLED.runs])
    assert done.returncode == 0
    assert "is still used, so it stays" in done.stdout
    assert recorded(record) == {PULLED.runs: ID}


# --- the question --------------------------------------------------------------------------------


def test_state(docker: Images, record: Path) -> None:
    """Ours is what we recorded and is still the image that we brought; containers of ours do not count as users."""
    docker.names = {PULLED.runs: ID, "ours/killed:1": OTHER, "ours/retagged:1": USERS}
    docker.routes["GET /containers/json"] = [
        {"ImageID": USERS, "Labels": {}},
        {"ImageID": ID, "Labels": {"inferfleet.instance": "ollama-gpu0"}},
    ]
    record.parent.mkdir()
    known = {PULLED.runs: ID, "ours/killed:1": None, "ours/retagged:1": ID, "ours/gone:1": ID}
    record.write_text(json.dumps(known))
    asked = [PULLED.question, {"runs": "none:1"}]
    assert images_state(Docker(str(docker.path)), asked, str(record)) == {
        "found": {PULLED.runs: {"id": ID, "digests": [DIGEST]}, "none:1": None},
        "ours": {PULLED.runs: ID, "ours/killed:1": OTHER},
        "used": [USERS],
    }


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 5}', "null"])
def test_a_broken_record_is_no_record(docker: Images, record: Path, text: str) -> None:
    record.parent.mkdir()
    record.write_text(text)
    assert images_state(Docker(str(docker.path)), [], str(record))["ours"] == {}
