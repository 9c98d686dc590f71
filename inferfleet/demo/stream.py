"""Runs on a host: ask a model of Ollama (0.32.15, `/api/chat`) and write its answer as it comes.

Arguments: ADDRESS MODEL QUESTION. Standard library only.
"""

import json
import sys
import urllib.request


def main(address: str, model: str, question: str) -> None:
    """The answer is on standard output, token by token."""
    body = {"model": model, "messages": [{"role": "user", "content": question}], "options": {"temperature": 0}}
    request = urllib.request.Request(f"http://{address}/api/chat", json.dumps(body).encode())
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=60) as answer:
        for line in answer:
            sys.stdout.write(json.loads(line)["message"]["content"])
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
