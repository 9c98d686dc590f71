"""Docker's API over its socket, against a double of the daemon."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferfleet.remote.docker_api import Docker, DockerError, docker_path
from tests.remote.docker_double import DockerDouble, lines, reply


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DockerDouble]:
    double = DockerDouble(tmp_path / "docker.sock")
    yield double
    double.close()


@pytest.fixture
def docker(daemon: DockerDouble) -> Docker:
    return Docker(str(daemon.path), timeout=5)


def test_asks_and_tells(daemon: DockerDouble, docker: Docker) -> None:
    daemon.routes = {"GET /info": {"ID": "x"}, "POST /networks/create": {"Id": "n"}, "DELETE /networks/n": 204}
    assert docker.ask("/info") == {"ID": "x"}
    assert docker.ask("/networks/create", {"Name": "n"}) == {"Id": "n"}
    assert docker.ask("/networks/n", method="DELETE") is None
    assert daemon.asked[1] == ("POST", "/networks/create", b'{"Name": "n"}')


def test_what_is_not_there_is_none(docker: Docker) -> None:
    assert docker.found("/images/x/json") is None


def test_refused_in_its_own_words_on_one_line(daemon: DockerDouble, docker: Docker) -> None:
    daemon.routes = {"POST /images/create": lambda handler, _: reply(handler, 500, {"message": "no\nspace left"})}
    with pytest.raises(DockerError, match=r"^no space left$") as refused:
        list(docker.follow("/images/create"))
    assert refused.value.status == 500


def test_no_daemon_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    with pytest.raises(DockerError, match=f"^Docker at {path} cannot be reached: No such file or directory$"):
        Docker(str(path)).ask("/info")


def test_an_error_among_the_progress_ends_it(daemon: DockerDouble, docker: Docker) -> None:
    daemon.routes = {"POST /images/create": lines({"status": "Pulling"}, {"error": "toomanyrequests"})}
    seen = []
    with pytest.raises(DockerError, match=r"^toomanyrequests$"):
        for event in docker.follow("/images/create"):
            seen.append(event)
    assert seen == [{"status": "Pulling"}]


def test_broken_off_progress_is_one_line(daemon: DockerDouble, docker: Docker) -> None:
    daemon.routes = {"POST /images/create": b'{"status": "Pulling"}\r\n{"sta'}
    with pytest.raises(DockerError, match="broke off"):
        list(docker.follow("/images/create"))


def test_a_file_and_blocks_are_streamed(daemon: DockerDouble, docker: Docker) -> None:
    daemon.routes = {"POST /images/load": lines({"stream": "Loaded"})}
    assert list(docker.follow("/images/load", io.BytesIO(b"x" * 100_000))) == [{"stream": "Loaded"}]
    assert list(docker.follow("/images/load", iter([b"ab", b"cd"]))) == [{"stream": "Loaded"}]
    assert [body for _, _, body in daemon.asked] == [b"x" * 100_000, b"abcd"]


def test_an_answer_before_all_was_read_is_heard(daemon: DockerDouble, docker: Docker) -> None:
    daemon.early["POST /images/load"] = "no space left on device"
    with pytest.raises(DockerError, match="no space left on device"):
        list(docker.follow("/images/load", iter([b"x" * 65536] * 50)))


def test_what_goes_wrong_while_blocks_are_made_is_not_dockers_fault(daemon: DockerDouble, docker: Docker) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError("the mirror broke off")

    with pytest.raises(RuntimeError, match="the mirror broke off"):
        list(docker.follow("/images/load", blocks()))


def test_a_query_is_quoted() -> None:
    assert docker_path("/images/create", fromImage="h:5000/x", tag="sha256:a") == (
        "/images/create?fromImage=h%3A5000%2Fx&tag=sha256%3Aa"
    )
