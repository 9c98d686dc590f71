"""The official clients, as users have them, through the gateway."""

import ollama
import openai
import pytest

from tests.gateway.conftest import Start
from tests.gateway.engine_double import Doubles, EngineDouble
from tests.gateway.running import Running, key, plan

HI = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def engine(doubles: Doubles) -> EngineDouble:
    return doubles.engine("one")


@pytest.fixture(scope="module")
def gateway(start: Start, engine: EngineDouble) -> Running:
    made = plan({"llama2:13b": ([engine], 4)}, {"llama2:13b": ("gpt-4o",)})
    return start(made, keys=(key("alice"), key("bob", models=["gpt-4o"])))


def test_openai(gateway: Running) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k-alice", max_retries=0)
    assert [model.id for model in client.models.list()] == ["llama2:13b", "gpt-4o"]
    answer = client.chat.completions.create(model="gpt-4o", messages=[HI])  # type: ignore[list-item]
    assert answer.choices[0].message.content == "t0 t1 t2 t3"
    stream = client.chat.completions.create(model="gpt-4o", messages=[HI], stream=True)  # type: ignore[list-item]
    assert "".join(part.choices[0].delta.content or "" for part in stream) == "t0t1t2t3"


def test_openais_errors(gateway: Running) -> None:
    """Each is the exception that its users catch, with a text that says what to do."""
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k-bob", max_retries=0)
    with pytest.raises(openai.NotFoundError, match="no model of this name"):
        client.chat.completions.create(model="nope", messages=[HI])  # type: ignore[list-item]
    with pytest.raises(openai.PermissionDeniedError, match="may not use this model"):
        client.chat.completions.create(model="llama2:13b", messages=[HI])  # type: ignore[list-item]
    with pytest.raises(openai.AuthenticationError, match="unknown key"):
        client.with_options(api_key="x").models.list()
    with pytest.raises(openai.NotFoundError, match="no such endpoint"):
        client.files.list()


def test_ollama(gateway: Running) -> None:
    client = ollama.Client(host=gateway.url, headers={"Authorization": "Bearer k-alice"})
    assert [model.model for model in client.list().models] == ["llama2:13b", "gpt-4o:latest"]
    assert client.chat(model="llama2:13b", messages=[HI]).message.content == "t0 t1 t2 t3"
    parts = client.chat(model="gpt-4o", messages=[HI], stream=True)
    assert "".join(part.message.content or "" for part in parts if part.message) == "t0t1t2t3"
    with pytest.raises(ollama.ResponseError, match="no model of this name") as error:
        client.chat(model="nope", messages=[HI])
    assert error.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="no such endpoint"):
        client.pull("llama2")
    with pytest.raises(ollama.ResponseError, match="no such endpoint"):
        client.delete("llama2:13b")
