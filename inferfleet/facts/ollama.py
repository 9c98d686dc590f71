"""One question to a host about its Ollama."""

from inferfleet.facts.answer import Answer


class OllamaState(Answer):
    """Release, units, running processes, store and memory, as `remote/ollama_state.py` says them."""

    asks = "ollama_state"
    about = "Ollama"
