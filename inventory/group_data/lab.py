"""What runs in the lab: a tiny model, and the answers that it must give."""

models = {
    "tiny": {
        "engine": "ollama",
        "expect": {
            "What are you?": "I am a small model that tests the fleet.",
            "Count to five.": "1 2 3 4 5",
            "ping": "pong",
        },
    },
}
