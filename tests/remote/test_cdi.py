"""Reading CDI specifications: nvidia-ctk's own, older ones, and those of people."""

import json
from pathlib import Path

import pytest
import yaml

from inferfleet.remote import cdi
from inferfleet.remote.cdi import cdi_told, simple_yaml
from tests.remote.cdi_specs import DRIVER, A, B, json_of, old_yaml_of, yaml_of

OTHERS = """# by hand
cdiVersion: "0.6.0"
kind: 'nvidia.com/gpu'

devices:
  - name: mine   
    containerEdits:
      deviceNodes: [{"path": "/dev/nvidia0"}]
  -
    name: 'it''s'
    containerEdits: {}
containerEdits:
"""


@pytest.mark.parametrize("text", [yaml_of(A, B), old_yaml_of(A, B), OTHERS], ids=["new", "old", "by hand"])
def test_yaml_is_read_as_yaml_reads_it(text: str) -> None:
    assert simple_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["a: &x 1", "a: |\n  b", "a: [b", "a: 1\n  b: 2", "- a\nb: 1", "a: {b: c}"])
def test_yaml_that_is_not_understood_is_said(text: str) -> None:
    with pytest.raises(ValueError):  # json's or ours
        simple_yaml(text)


def test_forms_of_one_specification_are_equal() -> None:
    told = cdi_told(yaml_of(A, B))
    assert told == cdi_told(json_of(A, B)) == cdi_told(old_yaml_of(A, B))
    assert told is not None
    assert told["devices"][B]["nodes"] == ["/dev/nvidia1"]
    assert (told["driver"], told["generated"], told["ours"]) == (DRIVER, True, False)
    assert list(told["devices"]) == ["0", "1", A, B]


def test_cards_that_changed_places_differ() -> None:
    """The same lines in all, and yet another card behind each name."""
    before, now = cdi_told(yaml_of(A, B)), cdi_told(yaml_of(B, A))
    assert before is not None
    assert now is not None
    assert before["common"] == now["common"]
    assert before["devices"][A] != now["devices"][A]


def test_order_is_no_difference() -> None:
    spec = json.loads(json_of(A, B))
    spec["devices"].reverse()
    spec["containerEdits"]["mounts"][0]["options"].reverse()
    assert cdi_told(json.dumps(spec)) == cdi_told(json_of(A, B))


@pytest.mark.parametrize(
    "text",
    [
        yaml_of(A).replace(f"name: {A}", "name: chat"),
        yaml_of(A).replace("path: /usr/bin/nvidia-cdi-hook", "path: /opt/own-hook", 1),
        yaml_of(A).replace("NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=all"),
        yaml_of(A).replace("- NVIDIA_VISIBLE_DEVICES=void", "- NVIDIA_VISIBLE_DEVICES=void\n        - TZ=UTC"),
        yaml_of(A).replace("containerEdits:\n    env", "# for the lab\ncontainerEdits:\n    env"),
        OTHERS,
    ],
)
def test_what_people_wrote_is_not_taken_for_generated(text: str) -> None:
    told = cdi_told(text)
    assert told is not None
    assert not told["generated"]


@pytest.mark.parametrize("text", ["kind: nvidia.com/mig\ndevices: []\n", "", "{}", '{"kind": "amd.com/gpu"}'])
def test_other_kinds_are_passed_over(text: str) -> None:
    assert cdi_told(text) is None


@pytest.mark.parametrize("text", ["kind: nvidia.com/gpu\n", "kind: nvidia.com/gpu\ndevices:\n  - path: x\n"])
def test_no_specification_at_all(text: str) -> None:
    with pytest.raises(ValueError, match="has not the form of a CDI specification"):
        cdi_told(text)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc, run = tmp_path / "etc", tmp_path / "run"
    etc.mkdir()
    monkeypatch.setattr(cdi, "CDI_DIRS", (str(etc), str(run)))
    (etc / "amd.json").write_text('{"kind": "amd.com/gpu"}')
    (etc / "nvidia.yaml").write_text(yaml_of(A))
    (etc / "broken.yaml").write_text("kind: nvidia.com/gpu\n&")
    (etc / "nvidia.yaml.save").write_text(yaml_of(B))
    found = cdi.cdi_files()
    assert list(found) == [f"{etc}/broken.yaml", f"{etc}/nvidia.yaml"]
    assert "error" in found[f"{etc}/broken.yaml"]


def _ctk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = tmp_path / "nvidia-ctk"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(cdi, "CDI_SETTINGS", str(tmp_path / "refresh.env"))


def test_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the refresh unit would write it, settings of its environment file included, but into no file."""
    (tmp_path / "spec.json").write_text(json_of(A))
    (tmp_path / "refresh.env").write_text(
        "# settings\nNVIDIA_CTK_CDI_OUTPUT_FILE_PATH=/etc/cdi/x.yaml\nNVIDIA_CTK_DEV_ROOT='/r'\nPATH=/nowhere\n"
    )
    told = f'echo "$@ [$NVIDIA_CTK_CDI_OUTPUT_FILE_PATH] $NVIDIA_CTK_DEV_ROOT" >{tmp_path}/told'
    _ctk(tmp_path, monkeypatch, f"{told}; echo warning >&2; cat {tmp_path}/spec.json")
    assert cdi.cdi_fresh() == cdi_told(yaml_of(A))
    assert (tmp_path / "told").read_text() == "cdi generate --format=json [] /r\n"


def test_the_cards_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As 1.20.1 says it when library and module of the driver differ."""
    error = 'time="2026-11-25T03:56:40Z" level=error msg="failed to generate CDI spec: Driver/library version mismatch"'
    _ctk(tmp_path, monkeypatch, f"echo '{error}' >&2; exit 1")
    assert cdi.cdi_fresh() == {"error": "failed to generate CDI spec: Driver/library version mismatch"}


def test_nvidia_ctk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _ctk(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(cdi, "CTK_HANGS_S", 0.1)
    assert "hangs" in (cdi.cdi_fresh() or {})["error"]


def test_no_nvidia_ctk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert cdi.cdi_fresh() is None
