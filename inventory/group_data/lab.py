"""What runs in the lab: a tiny model, and the answers that it must give."""

from inferfleet.lab.model import GGUF as _GGUF

models = {
    "tiny": {
        "engine": "ollama",
        "shape": str(_GGUF),
        "expect": {
            "What are you?": "I am a small model that tests the fleet.",
            "Count to five.": "1 2 3 4 5",
            "ping": "pong",
        },
    },
}
