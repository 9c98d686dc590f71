"""The real llama-server loads a model on the software GPU, and says in its log what it took.

llvmpipe takes no tensor above 128 MiB: llama.cpp leaves weights and work beyond that to the host, so models and
batches here stay below (the logits of a whole batch too: 65,536 tokens of vocabulary).
"""

import re
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from inferfleet.memory import Serving

_BUFFER = re.compile(r"(\w+): +(\S+) +(model|KV|RS|compute|output) +buffer size += +([\d.]+) MiB")
"""As Ollama 0.32.15 reads it (llm/llama_server.go, bufferSizeRegex)."""

_TOLD = "reserve took"
"""All buffers are there and told of; what follows takes long on a GPU in software (its shaders are compiled)."""
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Buffer:
    """One line of the log: where (`Vulkan0`, `CPU_Mapped`, `Vulkan_Host`), what for, and how much of it."""

    where: str
    kind: str
    mib: float

    @property
    def on_host(self) -> bool:
        return self.where.startswith("CPU") or self.where.endswith("_Host")


def measure(program: Path, model: Path, serving: Serving, batch: int) -> list[Buffer]:
    """Load a model as Ollama does (0.32.15, llm/llama_server.go, startLlamaServer), and stop again."""
    tokens = str(serving.context * serving.parallel)
    flash = "on" if serving.flash_attention else "off"
    options = ["-c", tokens, "-np", str(serving.parallel), "-b", str(batch), "-ub", str(batch), "--flash-attn", flash]
    options += ["--cache-type-k", serving.kv_type, "--cache-type-v", serving.kv_type]
    options += ["-ngl", "99" if serving.cards else "0", "-fit", "off", "--no-warmup", "-t", "1", "-lv", "4"]
    command = [program, "--model", model, "--host", "127.0.0.1", "--port", "0", "--offline", "--no-webui", *options]
    cards = ",".join(["0"] * serving.cards) or "none"
    return _read(_log(list(map(str, command)), {"PATH": "/usr/bin:/bin", "GGML_VK_VISIBLE_DEVICES": cards}))


def _log(command: list[str], env: dict[str, str]) -> str:
    server = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(_TIMEOUT_S, server.kill)
    watchdog.start()
    lines: list[str] = []
    try:
        for line in server.stdout or ():
            lines.append(line)
            if _TOLD in line:
                return "".join(lines)
    finally:
        watchdog.cancel()
        server.kill()
        server.wait()
    raise AssertionError("llama-server did not load the model:\n" + "".join(lines[-20:]))


def _read(log: str) -> list[Buffer]:
    return [Buffer(where, kind, float(mib)) for _, where, kind, mib in _BUFFER.findall(log)]
