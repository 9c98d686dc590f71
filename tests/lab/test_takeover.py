"""An Ollama made by upstream's installer is taken over: its unit stays as it is, its models are kept, ours wins."""

import pytest

from tests.lab.project import GPU, Project

pytestmark = pytest.mark.lab

# As upstream's install.sh (0.32) leaves a host: binary in place, user, unit, enabled; and what people add to it.
INSTALLED = r"""
set -e
useradd -r -s /bin/false -U -m -d /usr/share/ollama ollama
python3 - <<'E'
import urllib.request
urllib.request.urlretrieve("http://%(gateway)s/ollama/v0.32.14/ollama-linux-amd64.tar.zst", "/tmp/o.tar.zst")
E
apt-get -qq update && apt-get -qq install -y zstd >/dev/null
tar --zstd -xf /tmp/o.tar.zst -C /usr/local
cat > /etc/systemd/system/ollama.service <<E
[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
RestartSec=3
Environment="PATH=$PATH"

[Install]
WantedBy=default.target
E
mkdir -p /etc/systemd/system/ollama.service.d
printf '[Service]\nEnvironment="OLLAMA_HOST=0.0.0.0"\n' > /etc/systemd/system/ollama.service.d/override.conf
systemctl daemon-reload
systemctl enable --now --quiet ollama
for i in $(seq 50); do curl -s 127.0.0.1:11434 >/dev/null 2>&1 && break; sleep 0.1; done
HOME=/root /usr/local/bin/ollama pull --insecure http://%(gateway)s/library/tiny:latest >/dev/null
HOME=/root /usr/local/bin/ollama cp %(gateway)s/library/tiny:latest theirs >/dev/null
sha256sum /etc/systemd/system/ollama.service
"""


@pytest.mark.parametrize(("per", "name"), [("node", "ollama"), ("card", "ollama-gpu0")])
def test_takeover(bare: Project, per: str, name: str) -> None:
    gpu1 = bare.host("gpu1")
    gpu1.reset()
    before = gpu1.run(INSTALLED % {"gateway": bare.lab.gateway}, timeout=180).stdout.strip()
    bare.hosts = {"gpu1": GPU}
    bare.data["engines"] = {"ollama": {"version": "0.32.15", "per": per}}
    run = bare.apply()
    assert run.rc == 0, run.text
    assert not {says: why for says, why in bare.verify().items() if why}
    assert f"gpu1: {name} answers as tiny from the GPU" in bare.verify()
    assert gpu1.run("sha256sum /etc/systemd/system/ollama.service").stdout.strip() == before
    assert gpu1.run("systemctl show -P MainPID ollama").stdout == gpu1.run(f"systemctl show -P MainPID {name}").stdout
    assert "theirs:latest" in gpu1.run("HOME=/root /opt/inferfleet/ollama/current/bin/ollama list").stdout
    assert bare.apply().changes == {}
    gpu1.reboot()
    assert not {says: why for says, why in bare.verify().items() if why}


def test_letting_go_gives_it_back(bare: Project) -> None:
    """After the test above gpu1 runs under the name ollama-gpu0; now the host is another's again."""
    bare.data["engines"] = {"ollama": {"version": "0.32.15", "per": "node"}}
    run = bare.apply()
    assert run.rc == 0, run.text
    assert bare.apply().changes == {}
    units = bare.host("gpu1").run("ls /etc/systemd/system").stdout
    assert "ollama-gpu0" not in units
