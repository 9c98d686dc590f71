"""Which engines run on which cards, in exact lines."""

import pytest

from inferfleet.catalogue import cards, engines, find, unable

LINES = [
    ("vllm", "0.32", "P40", {},
     "vLLM 0.32 needs compute capability 7.5, the P40 has 6.1; Ollama and llama.cpp run on it"),
    ("vllm", "v0.32.0-cu129", "V100 32GB", {},
     "vLLM v0.32.0-cu129 needs compute capability 7.5, the V100 32GB has 7.0; "
     "Ollama, llama.cpp, LMDeploy and vLLM before 0.20 run on it"),
    ("vllm", "v0.8.5", "B200", {},
     "vLLM v0.8.5 is built with CUDA 12.4, the B200 needs CUDA 12.8 or newer; "
     "Ollama, llama.cpp, SGLang and vLLM from 0.9 on run on it"),
    ("vllm", None, "RX 7900 XTX", {},
     "vLLM needs an NVIDIA card, the RX 7900 XTX is by AMD; Ollama and llama.cpp run on it"),
    ("sglang", None, "T4", {},
     "SGLang needs compute capability 8.0, the T4 has 7.5; Ollama, llama.cpp and vLLM run on it"),
    ("triton", "26.07-py3", "P40", {},
     "Triton 26.07-py3 needs compute capability 7.5, the P40 has 6.1; "
     "Ollama, llama.cpp and Triton before 25.08 run on it"),
    ("fastertransformer", None, "B200", {},
     "FasterTransformer is built with CUDA 12.1, the B200 needs CUDA 12.8 or newer; "
     "Ollama, llama.cpp and vLLM run on it"),
    ("turbotransformers", None, "A30", {},
     "TurboTransformers is built with CUDA 10.1, the A30 needs CUDA 11.0 or newer; "
     "Ollama, llama.cpp and vLLM run on it"),
    ("llama.cpp", "server-cuda13-b10488", "P40", {},
     "llama.cpp server-cuda13-b10488 needs compute capability 7.5, the P40 has 6.1; Ollama runs on it"),
    ("lmdeploy", "v0.16.0-cu13.0", "T4", {},
     "LMDeploy v0.16.0-cu13.0 needs compute capability 8.0, the T4 has 7.5; Ollama, llama.cpp and vLLM run on it"),
    ("tgi", "3.3.7", "A30", {"weights": "marlin"}, None),
    ("tgi", "3.3.7", "T4", {"weights": "marlin"},
     "marlin weights on TGI need compute capability 8.0, the T4 has 7.5; use another format"),
    ("vllm", "v0.15.1", "T4", {"weights": "FP8"},
     "FP8 weights on vLLM need compute capability 8.0, the T4 has 7.5; use another format"),
    ("vllm", "v0.32.0", "T4", {"weights": "fp8"}, None),
    ("vllm", "v0.32.0", "A30", {"weights": "fp8"}, None),
    ("tensorrt-llm", None, "A30", {"weights": "fp8"},
     "fp8 weights on TensorRT-LLM need compute capability 8.9, the A30 has 8.0; use another format"),
    ("vllm", None, "T4", {"weights": "bf16"},
     "bf16 weights on vLLM need compute capability 8.0, the T4 has 7.5; use f16"),
    ("vllm", "0.11.0", "V100 16GB", {"weights": "awq"},
     "awq weights on vLLM need compute capability 7.5, the V100 16GB has 7.0; use another format"),
    ("lmdeploy", None, "V100 16GB", {"weights": "awq"}, None),
    ("vllm", None, "A30", {"kv": "fp8"},
     "a cache in fp8 on vLLM needs compute capability 8.9, the A30 has 8.0; use f16"),
    ("ollama", None, "M40 24GB", {"kv": "q8_0"},
     "a cache in q8_0 on Ollama needs flash attention, so compute capability 6.0, the M40 24GB has 5.2; use f16"),
    ("ollama", None, "P40", {"kv": "q8_0", "weights": "q4_K_M"}, None),
    ("ollama", None, "RX 7900 XTX", {"kv": "q8_0"}, None),
    ("llama.cpp", "server-cuda-b10488", "P40", {}, None),
    ("lmdeploy", "v0.16.0-cu12.8", "T4", {}, None),
    ("vllm", "latest", "T4", {}, None),
    ("vllm", "0.19.2", "V100 16GB", {}, None),
    ("xinference", "v2.9.0", "P40", {}, None),
    ("vllm", "v0.32.0", "A30 1g.6gb", {"kv": "f16"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "release", "name", "what", "line"), LINES)
def test_lines(engine: str, release: str | None, name: str, what: dict[str, str], line: str | None) -> None:
    card = find(name)
    assert card is not None
    refusal = unable(engine, release, card, **what)
    assert (None if refusal is None else str(refusal)) == line


def test_an_unknown_engine_is_no_answer() -> None:
    with pytest.raises(KeyError):
        unable("vlm", None, cards()[0])


@pytest.mark.parametrize("engine", engines())
def test_a_refusal_always_offers_what_runs(engine: str) -> None:
    """Ollama runs on every card of the table, so nobody is left without a way."""
    for card in cards():
        assert unable("ollama", None, card) is None
        refusal = unable(engine, None, card)
        assert refusal is None or "Ollama" in refusal.instead


@pytest.mark.parametrize("engine", engines())
def test_a_newer_release_needs_no_less(engine: str) -> None:
    """Of CUDA's cards older than Blackwell, which newer builds alone know."""
    releases = ["0", "0.5.10", "0.8.5", "0.9.0", "0.19.9", "0.20.0", "3.0", "25.07", "25.08", "26.07"]
    for card in (card for card in cards() if card.compute and card.compute < (8, 9)):
        refused = [unable(engine, release, card) is not None for release in releases]
        assert refused == sorted(refused), card.name
