"""Small files take one round trip, large ones SFTP; both give the file that pyinfra's connector gives."""

import os
import subprocess
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from sshd_host import PASSWORD

from inferfleet.ssh import round_trips, transfer

pytestmark = [pytest.mark.lab, pytest.mark.alone]

ELEVATED = [
    {},
    {"_sudo": True},
    {"_sudo": True, "_sudo_user": "other"},
    {"_sudo": True, "_su_user": "other"},
    {"_su_user": "other", "_su_password": PASSWORD},
    {"_doas": True},
    {"_doas": True, "_doas_user": "other"},
]


def shell(host: Host, command: str) -> list[str]:
    ok, output = host.run_shell_command(StringCommand(command), _sudo=True)
    assert ok, output.stderr
    return list(output.stdout_lines)


def trips() -> int:
    return round_trips().get("node", {}).get("total", 0)


@pytest.fixture
def folder(both: tuple[Host, Host]) -> str:
    """An empty directory on the host that every user may write to."""
    (path,) = shell(both[0], "rm -rf /home/share && mkdir -m 777 /home/share && echo /home/share")
    return path


@pytest.mark.parametrize("size, expected", [(0, 1), (1, 1), (transfer.LARGEST, 1), (transfer.LARGEST + 1, 2)])
def test_content_comes_back_as_it_went(both: tuple[Host, Host], folder: str, size: int, expected: int) -> None:
    _, ours = both
    content, back = os.urandom(size), BytesIO()
    ours.run_shell_command(StringCommand("true"))
    before = trips()
    assert ours.put_file(BytesIO(content), f"{folder}/file")
    assert trips() - before == 1  # SFTP counts as one
    assert ours.get_file(f"{folder}/file", back)
    assert trips() - before == 1 + expected  # a large file is asked for, then fetched
    assert back.getvalue() == content


@pytest.mark.parametrize("arguments", ELEVATED, ids=str)
def test_owner_mode_and_content_are_those_of_stock(
    both: tuple[Host, Host], folder: str, arguments: dict[str, object]
) -> None:
    results = []
    for host in both:
        shell(host, f"rm -f {folder}/*; : > {folder}/old; chmod 666 {folder}/old; chown games {folder}/old")
        for name in ("new", "old"):
            assert host.put_file(StringIO("secret ü\n"), f"{folder}/{name}", **arguments)
        results.append(shell(host, f"cd {folder} && stat -c '%n %U %G %a %s' * && cat *"))
    assert results[0] == results[1]


def test_an_elevated_upload_is_one_round_trip_and_leaves_nothing(both: tuple[Host, Host], folder: str) -> None:
    _, ours = both
    temporary = shell(ours, "ls -A /tmp /home/deploy")
    before = trips()
    assert ours.put_file(StringIO("x"), f"{folder}/file", _sudo=True, _chdir="/", _env={"A": "b"})
    assert trips() - before == 1
    assert shell(ours, "ls -A /tmp /home/deploy") == temporary


@pytest.mark.parametrize("name", ["a b", "it's", "$HOME", "-n", "a;b", 'quote"d', "two\nlines"])
@pytest.mark.parametrize("arguments", [{}, {"_sudo": True}], ids=["plain", "sudo"])
def test_any_name(both: tuple[Host, Host], folder: str, name: str, arguments: dict[str, object]) -> None:
    _, ours = both
    back = BytesIO()
    before = trips()
    assert ours.put_file(StringIO("content"), f"{folder}/{name}", **arguments)
    assert ours.get_file(f"{folder}/{name}", back, **arguments)
    assert back.getvalue() == b"content"
    assert trips() - before == 2


def test_a_file_only_root_may_read(both: tuple[Host, Host], folder: str, tmp_path: Path) -> None:
    _, ours = both
    shell(ours, f"echo secret > {folder}/file; chmod 600 {folder}/file")
    target = tmp_path / "file"
    with pytest.raises(PermissionError):
        ours.get_file(f"{folder}/file", str(target))
    assert ours.get_file(f"{folder}/file", str(target), _sudo=True)
    assert target.read_text() == "secret\n"


def test_errors_are_those_of_stock(both: tuple[Host, Host], folder: str) -> None:
    for host in both:
        with pytest.raises(FileNotFoundError):
            host.put_file(StringIO("x"), f"{folder}/none/file")
        with pytest.raises(FileNotFoundError):
            host.get_file(f"{folder}/none", BytesIO())
        assert host.put_file(StringIO("x"), f"{folder}/none/file", _sudo=True) is False
        assert host.get_file(f"{folder}/none", BytesIO(), _sudo=True) is False


def test_a_host_without_base64_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    text = transfer.feeding(b"x" * 1000, f"/bin/cat > {target}")
    assert subprocess.run(["/bin/sh", "-c", f"( {text})"], env={"PATH": str(tmp_path)}).returncode == 127
    assert not target.exists()


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_an_upload_cut_off_on_the_way_writes_nothing(tmp_path: Path, kept: float) -> None:
    target = tmp_path / "file"
    text = f"( {transfer.feeding(os.urandom(100_000), f'cat > {target}')})\n"
    subprocess.run(["sh"], input=text[: int(len(text) * kept)].encode(), stderr=subprocess.DEVNULL)
    assert not target.exists()
    subprocess.run(["sh"], input=text.encode(), check=True)
    assert target.stat().st_size == 100_000
