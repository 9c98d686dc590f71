"""What cannot be stops `pyinfra ... deploy.py` before any host is contacted."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[1]
PYINFRA = Path(sys.executable).parent / "pyinfra"
INVENTORY = """
from inferfleet import ssh as _ssh
_ssh.use()
gpu = (
    [("127.0.0.1", {{"gpus": ["A30"], "ssh_port": {port}, "ssh_connect_retries": 0}})],
    {{"engines": {{"ollama": {{"version": "0.32.15"}}}}, "models": {{"{model}": {{"engine": "ollama"}}}}}},
)
"""


@pytest.mark.parametrize(("model", "words", "contacted"), [
    ("llama3.1:70b", ("deploy.py", "-y"), False),
    ("llama3.1:8b", ("deploy.py", "-y"), True),
    ("llama3.1:70b", ("exec", "--", "true"), True),
])  # fmt: skip
def test_a_model_that_does_not_fit(model: str, words: tuple[str, ...], contacted: bool, tmp_path: Path) -> None:
    path = tmp_path / "prod.py"
    with socket.create_server(("127.0.0.1", 0)) as host:
        path.write_text(INVENTORY.format(port=host.getsockname()[1], model=model))
        host.settimeout(0.1)
        with subprocess.Popen(
            [PYINFRA, path, *words], cwd=CLONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as run:
            came = _came(host, run)
            text = run.communicate(timeout=30)[0]
    assert came is contacted, text
    assert run.returncode == 1
    line = "models.llama3.1:70b: with context 4096 x parallel 1 needs "
    assert (line in text) is not contacted
    assert "Traceback" not in text or contacted


def _came(host: socket.socket, run: "subprocess.Popen[str]") -> bool:
    """Whether anybody connects before the run ends; whoever does is sent away."""
    while True:
        try:
            host.accept()[0].close()
            return True
        except TimeoutError:
            if run.poll() is not None:
                return False
