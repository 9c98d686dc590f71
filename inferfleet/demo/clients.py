"""A program: ask a model with the official Python clients, each as its own documentation shows.

Arguments: ADDRESS ADDRESS MODEL QUESTION. Both answers are on standard output, as JSON. It is run and not imported:
the demo alone has these clients (`requirements/demo.lock`), the product needs none of them.
"""

import json
import sys

import ollama
import openai

_S = 120


def main(first: str, second: str, model: str, question: str) -> None:
    """What was called -> its answer."""
    base = f"http://{first}/v1"
    with openai.OpenAI(base_url=base, api_key="not-needed", timeout=_S) as client:
        asked = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0
        )
    answers = {f'openai.OpenAI(base_url="{base}").chat.completions.create(...)': asked.choices[0].message.content}
    found = ollama.Client(f"http://{second}", timeout=_S).chat(
        model, [{"role": "user", "content": question}], options={"temperature": 0}
    )
    answers[f'ollama.Client("http://{second}").chat(...)'] = found.message.content
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:5])
