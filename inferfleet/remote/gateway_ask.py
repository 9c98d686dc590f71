"""Ask the gateway of this host as its users do, and say what it answers, as one line of JSON.

Asked with {"etc", "socket", "address", "port", "tls", "models", "closed", "units"}. Users' keys are known nowhere but
to them, so for these questions there is one that nobody knows: made here, in memory alone, and taken away at the end.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import secrets
import ssl
import stat
import sys
from typing import Any

from inferfleet.remote.apt_state import output
from inferfleet.remote.haproxy import ask

WHO = "inferfleet-verify"
TOKENS_S = 120
MAPS = ("sets", "rpm", "concurrency")


class Gateway:
    """It, from the host itself."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told, self.socket = told, told["socket"]
        self.token = secrets.token_urlsafe(32)

    def map(self, name: str) -> str:
        """The path of one of its maps."""
        return f"{self.told['etc']}/maps/{name}.map"

    def entries(self, name: str) -> dict[str, str]:
        """A map as it is in memory."""
        rows = [line.split(" ", 2) for line in ask(self.socket, f"show map {self.map(name)}").splitlines() if line]
        return {row[1]: row[2] for row in rows if len(row) == 3}

    def let_in(self) -> None:
        """Our own key is known, and may ask what a key for everything may."""
        for name, value in (("sets", "all"), ("rpm", "100000"), ("concurrency", "100")):
            ask(self.socket, f"add map {self.map(name)} {WHO} {value}")
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        ask(self.socket, f"add map {self.map('keys')} {digest} {WHO}")

    def put_out(self) -> None:
        """It is no longer known, and neither is one that a killed run left."""
        for digest, who in self.entries("keys").items():
            if who == WHO:
                ask(self.socket, f"del map {self.map('keys')} {digest}")
        for name in MAPS:
            ask(self.socket, f"del map {self.map(name)} {WHO}")

    def connection(self) -> http.client.HTTPConnection:
        """A connection; the certificate is judged elsewhere."""
        where = (self.told["address"], self.told["port"])
        if not self.told["tls"]:
            return http.client.HTTPConnection(*where, timeout=TOKENS_S)
        return http.client.HTTPSConnection(*where, timeout=TOKENS_S, context=ssl._create_unverified_context())

    def request(self, path: str, body: Any = None, key: bool = True) -> tuple[int, str]:
        """Status and text of an answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if key else {}
        connection = self.connection()
        try:
            text = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, text, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def certificate(self) -> str:
        """The certificate that it shows, in DER and base64; empty without TLS."""
        if not self.told["tls"]:
            return ""
        connection = self.connection()
        connection.connect()
        der = connection.sock.getpeercert(binary_form=True)  # type: ignore[union-attr]
        connection.close()
        return base64.b64encode(der or b"").decode()


def tokens(gateway: Gateway, model: str) -> str:
    """Empty where the model gives tokens, whole and as a stream; else what came instead."""
    body = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}
    status, text = gateway.request("/v1/chat/completions", body)
    if status != 200:
        return f"answers {status}: {' '.join(text.split())[:200]}"
    if not json.loads(text)["choices"][0]["message"]["content"]:
        return "it generated no token"
    status, text = gateway.request("/v1/chat/completions", dict(body, stream=True))
    if status != 200:
        return f"answers {status} to a stream: {' '.join(text.split())[:200]}"
    return "" if text.rstrip().endswith("data: [DONE]") else "its stream broke off"


def listed(gateway: Gateway) -> dict[str, list[str]]:
    """For each set of models that any key has: what a key with it is shown."""
    found = {}
    for name in sorted(set(gateway.entries("sets").values())):
        ask(gateway.socket, f"set map {gateway.map('sets')} {WHO} {name}")
        status, text = gateway.request("/v1/models")
        found[name] = [model["id"] for model in json.loads(text)["data"]] if status == 200 else [f"({status})"]
    ask(gateway.socket, f"set map {gateway.map('sets')} {WHO} all")
    return found


def servers(gateway: Gateway) -> dict[str, str]:
    """`backend/server` -> what HAProxy takes it for."""
    rows = [line.split(",") for line in ask(gateway.socket, "show stat").splitlines() if not line.startswith("#")]
    return {f"{row[0]}/{row[1]}": row[17] for row in rows if len(row) > 17 and row[1] not in ("FRONTEND", "BACKEND")}


def units(names: list[str]) -> dict[str, list[str]]:
    """Whether each is active, and whether it starts at boot."""
    states = {}
    for name in names:
        shown = output("systemctl", "show", "-p", "ActiveState", "-p", "UnitFileState", name).splitlines()
        values = dict(line.split("=", 1) for line in shown if "=" in line)
        states[name] = [values.get("ActiveState", ""), values.get("UnitFileState", "")]
    return states


def main(told: dict[str, Any]) -> None:
    """Answer."""
    gateway = Gateway(told)
    state: dict[str, Any] = {"units": units(told["units"])}
    try:
        mode = stat.S_IMODE(os.stat(told["socket"]).st_mode)
        state["socket"] = f"{mode:o}"
        gateway.let_in()
        try:
            state["certificate"] = gateway.certificate()
            state["without_key"] = gateway.request("/v1/models", key=False)[0]
            # Without a model an open path would answer 400, and no engine would hear of it.
            state["closed"] = {path: gateway.request(path, {})[0] for path in told["closed"]}
            state["tokens"] = {model: tokens(gateway, model) for model in told["models"]}
            state["listed"] = listed(gateway)
        finally:
            gateway.put_out()
        state["keys"] = {who: name for who, name in gateway.entries("sets").items()}
        state["servers"] = servers(gateway)
    except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
        state["error"] = f"the gateway does not answer ({error or type(error).__name__})"
    sys.stdout.write(json.dumps(state, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
