"""How the name of an image is read, pulled and run."""

import pytest

from inferfleet.engines.image import Image
from inferfleet.spec.image import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ollama/ollama", ("docker.io", "ollama/ollama", None, None)),
        ("ollama/ollama:0.32.15", ("docker.io", "ollama/ollama", "0.32.15", None)),
        (f"ollama/ollama@{DIGEST}", ("docker.io", "ollama/ollama", None, DIGEST)),
        (f"host:5000/x/y:tag@{DIGEST}", ("host:5000", "x/y", "tag", DIGEST)),
        ("ghcr.io/ggml-org/llama.cpp:server-cuda", ("ghcr.io", "ggml-org/llama.cpp", "server-cuda", None)),
        ("localhost/x", ("localhost", "x", None, None)),
        ("Host/x", ("Host", "x", None, None)),
        ("busybox", ("docker.io", "library/busybox", None, None)),
        ("docker.io/busybox:1", ("docker.io", "library/busybox", "1", None)),
        ("index.docker.io/ollama/ollama", ("docker.io", "ollama/ollama", None, None)),
    ],
)
def test_parts(text: str, parts: tuple[str, ...]) -> None:
    found = Reference.parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == parts
    assert Reference.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ollama/ollama/",
        "OLLAMA",
        "ollama/Ollama",
        "ollama//ollama",
        "ollama/ollama:",
        "ollama/ollama:a b",
        "ollama/ollama:-x",
        "ollama/ollama@",
        "ollama/ollama@sha256:12",
        f"ollama/ollama@{DIGEST.upper()}",
        f"ollama/ollama@{DIGEST}0",
        "ollama/ollama@sha512:00",
        "host:port/x",
        "host:5000/",
        "http://host/x",
        "x; id",
        "--help",
        "ollama/ollama:0.32.15\n",
        "-host.x/y",
    ],
)
def test_what_is_no_image(text: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"^is not an image \(got .*\); (write repository\[:tag\]\[@sha256:|a digest is @sha256: and 64 lower)",
    ):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("reference", "archive", "mirror", "runs"),
    [
        ("ollama/ollama", None, None, "ollama/ollama:latest"),
        ("ollama/ollama:0.32.15", None, None, "ollama/ollama:0.32.15"),
        (f"ollama/ollama:0.32.15@{DIGEST}", None, None, f"ollama/ollama@{DIGEST}"),
        (f"ghcr.io/x/y:1@{DIGEST}", None, "http://m:5000", f"m:5000/x/y@{DIGEST}"),
        ("ollama/ollama:0.32.15", None, "https://m/", "m/ollama/ollama:0.32.15"),
        ("busybox", None, "http://m:5000", "m:5000/library/busybox:latest"),
        ("ollama/ollama", "/srv/x.tar", None, "ollama/ollama:latest"),
        (f"ollama/ollama:0.32.15@{DIGEST}", "http://m/x.tar", "http://m", DIGEST),
    ],
)
def test_what_docker_runs(reference: str, archive: str | None, mirror: str | None, runs: str) -> None:
    image = Image.declared(reference, archive, mirror)
    assert image.runs == runs
    assert image.name == str(Reference.parse(reference))


def test_what_is_pulled_is_what_runs() -> None:
    order = Image.declared(f"ollama/ollama:0.32.15@{DIGEST}", mirror="http://m:5000").order
    assert (order["from"], order["version"]) == ("m:5000/ollama/ollama", DIGEST)
    order = Image.declared("ollama/ollama").order
    assert (order["from"], order["version"]) == ("ollama/ollama", "latest")
