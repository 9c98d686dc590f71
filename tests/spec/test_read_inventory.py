"""An inventory file, read outside the `pyinfra` command."""

from pathlib import Path

from inferfleet.inventory import read_inventory


def test_an_inventory_that_prints(tmp_path: Path) -> None:
    """It is a program; what it says is no answer."""
    (tmp_path / "site.py").write_text('print("asking the CMDB", end="")\ngpu = [("gpu1", {"gpus": ["A30"]})]\n')
    hosts = read_inventory(str(tmp_path / "site.py"))
    assert list(hosts) == ["gpu1"]
    assert hosts["gpu1"]["gpus"] == ["A30"]
