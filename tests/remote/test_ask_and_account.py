"""Asking a model, and making the account."""

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from inferfleet.remote import ollama_account, ollama_ask
from tests.remote.conftest import Answer, Run, Site, chunks_cut_short

ME = pwd.getpwuid(os.getuid())


@pytest.fixture
def ollama(site: Site) -> Site:
    site.routes |= {
        "/api/show": {"capabilities": ["completion"]},
        "/api/chat": {"message": {"role": "assistant", "content": "Hi."}, "eval_count": 3},
        "/api/embed": {"embeddings": [[0.1, 0.2]]},
        "/api/ps": {"models": [{"name": "tiny:latest", "size": 9, "size_vram": 9}]},
    }
    return site


def _ask(site: Site, tokens: int = 0) -> dict[str, Any]:
    return {"address": site.address, "model": "tiny:latest", "prompts": ["Hello", "Bye"], "tokens": tokens}


def test_greedy_answers(ollama: Site) -> None:
    found = ollama_ask.ask(_ask(ollama))
    assert found["answers"] == {prompt: {"text": "Hi.", "tokens": 3} for prompt in ("Hello", "Bye")}
    assert found["loaded"] == [["tiny:latest", 9, 9]]
    chats = [body for _, path, body in ollama.asked if path == "/api/chat"]
    assert [body["messages"][0]["content"] for body in chats] == ["Hello", "Bye"]
    assert all(body["options"] == {"temperature": 0} and body["stream"] is False for body in chats)


def test_a_few_tokens_are_enough(ollama: Site) -> None:
    ollama_ask.ask(_ask(ollama, tokens=8))
    assert ollama.asked[1][2]["options"] == {"temperature": 0, "num_predict": 8}


def test_a_model_that_only_embeds(ollama: Site) -> None:
    ollama.routes["/api/show"] = {"capabilities": ["embedding"]}
    assert ollama_ask.ask(_ask(ollama))["answers"] == {"ping": {"text": "", "tokens": 2}}


@pytest.mark.parametrize(
    ("capabilities", "path"),
    [(["completion"], "/api/generate"), (["embedding"], "/api/embed")],
    ids=["chats", "embeds"],
)
def test_a_model_that_goes_at_once_is_held_for_a_look(ollama: Site, capabilities: list[str], path: str) -> None:
    """With `keep_alive` 0 the memory is empty again before anybody can ask where the answer came from."""
    there = {"models": [{"name": "tiny:latest", "size": 9, "size_vram": 0}]}

    def memory(handler: Any) -> None:
        asked = [body for _, at, body in ollama.asked if at == path and "keep_alive" in body]
        ollama.say(handler, there if asked and asked[-1]["keep_alive"] else {"models": []})

    ollama.routes |= {"/api/show": {"capabilities": capabilities}, "/api/ps": memory, "/api/generate": {"done": True}}
    assert ollama_ask.ask(_ask(ollama))["loaded"] == [["tiny:latest", 9, 0]]
    assert (ollama.asked[-1][1], ollama.asked[-1][2]["keep_alive"]) == (path, 0)


def _refuses(handler: Any) -> None:
    handler.send_response(404)
    handler.end_headers()
    handler.wfile.write(b'{"error": "model not found"}')


BAD: dict[str, tuple[str, Answer, str]] = {
    "refused": ("/api/show", _refuses, '/api/show answers 404: {"error": "model not found"}'),
    "another web server": ("/api/show", 404, "something else listens there"),
    "no JSON": ("/api/chat", b"<html>", "something else listens there"),
    "no message": ("/api/chat", {"error": "x"}, "'message'"),
    "no vector": ("/api/show", b"[]", ""),
    "broken off": ("/api/chat", chunks_cut_short(b"{"), "IncompleteRead"),
}


@pytest.mark.parametrize(("path", "answer", "says"), BAD.values(), ids=BAD)
def test_errors_are_answers(run: Run, ollama: Site, path: str, answer: Answer, says: str) -> None:
    """Whoever asks gets one line of JSON in any case."""
    ollama.routes[path] = answer
    done = run("ollama_ask", _ask(ollama), http_proxy="http://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (0, "")
    if says:
        assert says in json.loads(done.stdout)["error"]


def test_nobody_there(run: Run, site: Site) -> None:
    done = run("ollama_ask", {"address": "127.0.0.1:9", "model": "m", "prompts": ["x"], "tokens": 1})
    assert "Connection refused" in json.loads(done.stdout)["error"]


def _work(home: Path, models: Path) -> dict[str, Any]:
    return {"user": ME.pw_name, "home": str(home), "models_dir": str(models)}


def test_directories(tmp_path: Path) -> None:
    home, models = tmp_path / "share/ollama", tmp_path / "share/ollama/.ollama/models"
    for _ in range(2):
        ollama_account.main(_work(home, models))
    for path in (home, models):
        assert path.stat().st_mode & 0o777 == 0o755


def test_a_store_that_is_there_is_given_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are given, not what they point at; a mode that is wider stays."""
    home, models = tmp_path / "home", tmp_path / "srv/models"
    (models / "blobs").mkdir(parents=True)
    models.chmod(0o775)
    (models / "blobs/one").write_bytes(b"x")
    (models / "link").symlink_to("/etc/passwd")
    given: dict[str, bool] = {}
    monkeypatch.setattr(os, "chown", lambda path, uid, gid, follow_symlinks: given.update({str(path): follow_symlinks}))
    ollama_account.main(_work(home, models))
    assert given == dict.fromkeys(
        map(str, (home, models, models / "blobs", models / "blobs/one", models / "link")), False
    )
    assert models.stat().st_mode & 0o777 == 0o775


def test_a_hardened_umask_shuts_nobody_out(tmp_path: Path) -> None:
    """CIS benchmarks ask for 027 or 077; sudo keeps it, and the service's user must pass through what root makes."""
    before = os.umask(0o077)
    try:
        ollama_account.main(_work(tmp_path / "home", tmp_path / "srv/ollama/models"))
    finally:
        os.umask(before)
    for path in (tmp_path / "home", tmp_path / "srv", tmp_path / "srv/ollama"):
        assert path.stat().st_mode & 0o777 == 0o755


def test_a_link_to_somebody_elses_directory(tmp_path: Path) -> None:
    """chown does not follow it, and must not: so it is said, and not called mended in every run."""
    (tmp_path / "models").symlink_to("/usr")
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    with pytest.raises(
        SystemExit, match=r"models is a link to /usr, which belongs to another user; declare /usr itself"
    ):
        ollama_account.refuse_link(f"{tmp_path}/models", other)
    ollama_account.refuse_link("/usr", other)


def _useradd(folder: Path, text: str) -> None:
    (folder / "useradd").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "useradd").chmod(0o755)


def test_the_user_as_upstream_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _useradd(tmp_path, f'echo "$@" >{tmp_path}/told')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(ollama_account, "group_exists", lambda name: name in ("video", "render"))
    ollama_account.make_user("nobody-of-that-name", "/usr/share/ollama")
    told = (tmp_path / "told").read_text().strip()
    assert told == "-r -s /bin/false -d /usr/share/ollama -U -G render,video nobody-of-that-name"


def test_useradd_s_own_words(tmp_path: Path, run: Run) -> None:
    _useradd(tmp_path, 'echo "useradd: /etc/passwd is locked" >&2; exit 1')
    work = {"user": "nobody-of-that-name", "home": f"{tmp_path}/h", "models_dir": f"{tmp_path}/h/m"}
    done = run("ollama_account", work, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1
    assert done.stderr == "ollama account: useradd nobody-of-that-name: useradd: /etc/passwd is locked\n"
