"""Formats of weights: their names as users write them, and how many bytes a row of each ggml type takes. Pure.

Block layouts are ggml's (`ggml-common.h`); a test holds them against the `gguf` package's own table.
"""

from inferfleet.errors import FleetError

# ggml type -> (elements of a block, bytes of a block)
BLOCKS = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
    "MXFP4": (32, 17),
}
# A format as we write it, which is how Ollama's tags do -> the type of most of its tensors.
GGML = {
    "f32": "F32",
    "f16": "F16",
    "bf16": "BF16",
    "q8_0": "Q8_0",
    "q6_K": "Q6_K",
    "q5_K_M": "Q5_K",
    "q5_K_S": "Q5_K",
    "q5_1": "Q5_1",
    "q5_0": "Q5_0",
    "q4_K_M": "Q4_K",
    "q4_K_S": "Q4_K",
    "q4_1": "Q4_1",
    "q4_0": "Q4_0",
    "iq4_NL": "IQ4_NL",
    "iq4_XS": "IQ4_XS",
    "q3_K_L": "Q3_K",
    "q3_K_M": "Q3_K",
    "q3_K_S": "Q3_K",
    "q2_K": "Q2_K",
}
# Formats of Hugging Face's directories.
OTHER = ("mxfp4", "fp8", "int8", "awq", "gptq", "gptq-int8", "bnb4", "bnb8")
_ALIASES = {
    "fp32": "f32",
    "float32": "f32",
    "fp16": "f16",
    "float16": "f16",
    "half": "f16",
    "bfloat16": "bf16",
    "q4": "q4_0",
    "q8": "q8_0",
    "awq-int4": "awq",
    "int4-awq": "awq",
    "gptq-int4": "gptq",
    "w8a8": "int8",
    "bnb-4bit": "bnb4",
    "nf4": "bnb4",
}
_BY_LOWER = {name.lower(): name for name in (*GGML, *OTHER)} | _ALIASES


def canonical(name: str) -> str | None:
    """A format as we write it, whatever its case or its older name; None where it is none that we know."""
    return _BY_LOWER.get(name.lower())


def parse_format(name: str, where: str) -> str:
    """A format as we write it.

    Raises:
        FleetError: no format of that name.
    """
    found = canonical(name)
    if found is None:
        known = ", ".join((*GGML, *OTHER))
        raise FleetError(f"{where}: is no known format of weights (got {name!r})", f"write one of {known}")
    return found


def ggml_bytes(kind: str, columns: int, rows: int) -> int:
    """Bytes of a tensor of a ggml type."""
    block, size = BLOCKS[kind]
    return -(-columns // block) * size * rows
