"""Mistakes about gateways, providers, chains, aliases and addresses, and the exact lines that each gives."""
# ruff: noqa: E501  # a table: each line as the user sees it
# fmt: off

from typing import Any

from tests.spec.inventories import LLAMA, OLLAMA, Hosts, fleet, host, models

OPENAI: dict[str, Any] = {"url": "https://api.openai.com", "key": "env:OPENAI_API_KEY"}


def gateway(models: dict[str, Any] | None = None, **settings: Any) -> Hosts:
    """A fleet with a gateway of these settings on a host of its own."""
    return {
        "gpu1": host(address="10.0.0.11", **({"models": models} if models else {})),
        "gw1": {"address": "10.0.0.10", "gateway": {"keys": "file:secrets/keys.toml", **settings}},
    }


def chains(**named: list[str]) -> Hosts:
    return gateway(providers={"openai": OPENAI}, chains={name.replace("_", "-"): tiers for name, tiers in named.items()})


def provider(**settings: Any) -> Hosts:
    return gateway(providers={"openai": {**OPENAI, **settings}})


def alias(*names: str) -> Hosts:
    return models(m={"aliases": list(names)}, n={"aliases": ["spare"]})


SECRET = "sk-very-secret"
CASES: list[tuple[Any, ...]] = [
    ("gateway is a port", {"gpu1": host(), "gw1": {"gateway": 443}},
     'gateway: must be a dict of settings (got 443); write {"setting": value, ...}'),
    ("gateway without keys", {"gpu1": host(address="10.0.0.11"), "gw1": {"gateway": {}}},
     "gateway.keys: is missing; add it: where the users' keys are, `file:secrets/keys.toml`, only their hashes"),
    ("unknown setting of the gateway", gateway(chain={}),
     "gateway: unknown key 'chain'; did you mean 'chains'?"),
    ("keys written out", gateway(keys=SECRET),
     'gateway.keys: is no reference to a secret; write "env:VARIABLE" or "file:secrets/name", never the secret itself'),
    ("keys written out in a list", gateway(keys=[SECRET]),
     'gateway.keys: is no reference to a secret; write "env:VARIABLE" or "file:secrets/name", never the secret itself'),
    ("gateway listens on a name", gateway(listen="gw1.example.net"),
     "gateway.listen: is not an IP address (got 'gw1.example.net'); write an address of the host, such as 10.0.0.1"),
    ("port of the gateway in quotes", gateway(port="443"),
     "gateway.port: must be a whole number (got '443'); write it without quotes or unit"),
    ("port of the gateway taken by itself", gateway(port=80),
     "gateway: port 80 is taken twice; give each a port of its own"),
    ("port of the gateway taken by an instance", {"gpu1": {**host(), "gateway": {"keys": "file:k", "port": 11434}}},
     "gpu1: gateway.port 11434 is taken there by ollama-gpu0; give the gateway another port"),
    ("port of the metrics taken by an instance", {"gpu1": {**host(engines={"ollama": {**OLLAMA, "port": 8404}}), "gateway": {"keys": "file:k"}}},
     "gpu1: gateway.metrics_port 8404 is taken there by ollama-gpu0; give the gateway another metrics_port"),
    ("keys in clear on all addresses", gateway(tls=False),
     'gateway: without TLS, keys travel in clear to 0.0.0.0; leave `tls` out, or listen on one private address, as in "listen": "127.0.0.1"'),
    ("keys in clear to the internet", gateway(tls=False, listen="8.8.8.8"),
     'gateway: without TLS, keys travel in clear to 8.8.8.8; leave `tls` out, or listen on one private address, as in "listen": "127.0.0.1"'),
    ("certificate without key", gateway(certificate={"certificate": "file:gw.pem"}),
     "gateway.certificate.key: is missing; add it: where its private key is: `file:...` or `env:...`"),
    ("TLS in words", gateway(tls="off"),
     "gateway.tls: must be True or False (got 'off'); write True or False, without quotes"),
    ("certificate without TLS", gateway(certificate={"certificate": "file:gw.pem", "key": "file:gw.key"}, tls=False, listen="10.0.0.1"),
     "gateway: has a certificate and no TLS; leave `tls` out, or the certificate"),
    ("name of the certificate", gateway(names=["https://gw"]),
     "gateway.names: 'https://gw' is no name of a host; write names and addresses, as in llm.example.net"),
    ("limit in words", gateway(first_token="a minute"),
     "gateway.first_token: is not a limit of time (got 'a minute'); write a whole number of seconds, or \"500ms\", \"30s\" or \"10m\""),
    ("limit without end", gateway(answer="forever"),
     "gateway.answer: is not a limit of time (got 'forever'); write a whole number of seconds, or \"500ms\", \"30s\" or \"10m\""),
    ("limit of nothing", gateway(queue_timeout=0),
     "gateway.queue_timeout: is not a limit of time (got 0); write a whole number of seconds, or \"500ms\", \"30s\" or \"10m\""),
    ("body without unit", gateway(max_body="8"),
     "gateway.max_body: is not a size that is served (got '8'); write whole MiB from 1m to 64m, as in 8m"),
    ("body too large", gateway(max_body="65m"),
     "gateway.max_body: is not a size that is served (got '65m'); write whole MiB from 1m to 64m, as in 8m"),
    ("takeover in percent", gateway(takeover=50),
     "gateway.takeover: is too large (got 50); write at most 1: share of a model's slots that chains may take where it stands in for another"),
    ("share of nothing", gateway(key_share=0),
     "gateway.key_share: is too small (got 0); write more than 0: share of a model's queue that one key may fill"),
    ("queue negative", gateway(queue=-1),
     "gateway.queue: is too small (got -1); write at least 0: requests that may wait for each model, more get 429"),
    ("two gateways", {**gateway(), "gw2": {"address": "10.0.0.9", "gateway": {"keys": "file:secrets/keys.toml"}}},
     "gateway: gw1 and gw2 have no address that moves between them, and this version sets none up; keep one of them"),
    ("two gateways that differ", {**gateway(), "gw2": {"gateway": {"keys": "file:secrets/keys.toml", "queue": 1}}},
     "gateway: gw1 and gw2 differ in more than `listen`; keep it in group_data/gateways.py, so that each answers as the other"),
    # addresses
    ("no address for the gateway", {"gpu1": host(), "gw1": gateway()["gw1"]},
     'gpu1: the gateway gw1 does not know where to reach it; write its address in the fleet\'s network, as in {"address": "10.0.0.11"}'),
    ("everywhere, and no address", {"gpu1": host(engines={"ollama": {**OLLAMA, "host": "0.0.0.0"}}), "gw1": gateway()["gw1"]},
     'gpu1: the gateway gw1 does not know where to reach it; write its address in the fleet\'s network, as in {"address": "10.0.0.11"}'),
    ("loopback is out of reach", {"gpu1": host(engines={"ollama": {**OLLAMA, "host": "127.0.0.1"}}), "gw1": gateway()["gw1"]},
     "gpu1: engines.ollama.host 127.0.0.1 is out of reach of the gateway gw1; leave it out and write the host's `address`"),
    ("no address of the gateway", {**gateway(), "gw1": {"gateway": {"keys": "file:secrets/keys.toml"}}},
     "gw1: instances on other hosts are open to the gateway's address alone, which is not known; "
     'write it, as in {"address": "10.0.0.10"}'),
    ("address of the gateway is a name", {**gateway(), "gw1": {**gateway()["gw1"], "address": "gw1.example.net"}},
     "gw1.address: is not an IP address (got 'gw1.example.net'); write an address of the host, such as 10.0.0.1"),
    ("address is a name", fleet(address="gpu1.example.net"),
     "gpu1.address: is not an IP address (got 'gpu1.example.net'); write an address of the host, such as 10.0.0.1"),
    ("address is loopback", fleet(address="127.0.0.1"),
     "gpu1.address: is no address that other hosts reach (got '127.0.0.1'); write the host's own in the fleet's network"),
    # providers
    ("provider without key", gateway(providers={"openai": {"url": "https://api.openai.com"}}),
     "gateway.providers.openai.key: is missing; add it: where its key is: `env:VARIABLE` or `file:secrets/name`"),
    ("provider's key written out", provider(key=SECRET),
     'gateway.providers.openai.key: is no reference to a secret; write "env:VARIABLE" or "file:secrets/name", never the secret itself'),
    ("provider in clear", provider(url="http://api.openai.com"),
     "gateway.providers.openai.url: sends the provider's key in clear (got 'http://api.openai.com'); write https://"),
    ("provider by its address", provider(url="https://10.0.0.1"),
     "gateway.providers.openai.url: is an address, which no certificate is compared with (got 'https://10.0.0.1'); write the provider's name"),
    ("provider without scheme", provider(url="api.openai.com"),
     "gateway.providers.openai.url: is not a provider's address (got 'api.openai.com'); write https://host[:port], as in https://api.openai.com"),
    ("provider with a key in its address", provider(url="https://x:y@api.openai.com"),
     "gateway.providers.openai.url: is not a provider's address (got 'https://x:y@api.openai.com'); write https://host[:port], as in https://api.openai.com"),
    ("provider's name", gateway(providers={"Open AI": OPENAI}),
     "gateway.providers: 'Open AI' is no name of a provider; write lower-case letters, digits and dashes"),
    ("provider called as a model", gateway(providers={"llama2": OPENAI}),
     "gateway.providers.llama2: could be taken for llama2:13b; give the provider another name"),
    ("provider offers a model of the fleet", provider(models={"llama2:13b": "gpt-4o"}),
     "gateway.providers.openai.models.llama2:13b: is offered by the fleet already; put both into `chains`, in the order that you want"),
    ("two providers offer a model", gateway(providers={"a": {**OPENAI, "models": {"x": "x"}}, "b": {**OPENAI, "models": {"x": "y"}}}),
     "gateway.providers.b.models.x: is offered by a too; put both into `chains`, in the order that you want"),
    # chains
    ("chain is a name", gateway(chains={"gpt-4o": "llama2:13b"}),
     "gateway.chains.gpt-4o: must be a list (got 'llama2:13b'); write [...], also around a single entry"),
    ("chain of nobody", chains(gpt_4o=[]),
     'gateway.chains: \'gpt-4o\' has nobody in it; write who answers, as in ["openai:gpt-4o", "llama2:13b"]'),
    ("chain's name", gateway(chains={"gpt 4o": ["llama2:13b"]}),
     "gateway.chains: 'gpt 4o' is no name of a model; write it as clients will, as in gpt-4o"),
    ("chain to an unknown model", chains(gpt_4o=["llama2:7b"]),
     "gateway.chains.gpt-4o: 'llama2:7b' is no model of the fleet; did you mean 'llama2:13b'?"),
    ("chain to an unknown provider", chains(gpt_4o=["azure:gpt-4o", "llama2:13b"]),
     "gateway.chains.gpt-4o: 'azure:gpt-4o' is neither a model nor one of a provider; declare it in models, or azure in gateway.providers with its key"),
    ("chain to a provider alone", chains(gpt_4o=["openai", "llama2:13b"]),
     "gateway.chains.gpt-4o: 'openai' names no model of the provider; write it as in openai:gpt-4o"),
    ("chain to itself", chains(a=["a", "llama2:13b"]),
     "gateway.chains.a: goes round in a circle (a -> a); take one of them out"),
    ("chains to each other", chains(a=["b"], b=["openai:gpt-4o", "a"]),
     "gateway.chains.a: goes round in a circle (a -> b -> a); take one of them out",
     "gateway.chains.b: goes round in a circle (b -> a -> b); take one of them out"),
    ("chain with a model twice", chains(a=["llama2:13b", "openai:gpt-4o", "llama2:13b"]),
     "gateway.chains.a: has llama2:13b in it twice; keep one of them"),
    ("chain with the name of another model", gateway(chains={"llama2:13b": ["openai:gpt-4o"]}, providers={"openai": OPENAI}),
     "gateway.chains.llama2:13b: has the name of llama2:13b, which is not in it; choose another, or put it in"),
    # aliases
    ("alias is a name alone", models(m={"aliases": "gpt-4o"}),
     "models.m.aliases: must be a list (got 'gpt-4o'); write [...], also around a single entry"),
    ("alias with a space", alias("gpt 4o"),
     "models.m.aliases: 'gpt 4o' is not a model's name; write it as clients will, as in gpt-4o-mini"),
    ("alias is a model", alias("n"),
     "models.m: alias 'n' is the name of a model; choose another"),
    ("alias is a model in other words", alias("N:latest"),
     "models.m: alias 'N:latest' is the name of a model; choose another"),
    ("alias is itself", alias("m"),
     "models.m: alias 'm' is the name of a model; choose another"),
    ("alias of two models", alias("spare"),
     "models.n: alias 'spare' is also one of m; keep one of them"),
    ("alias twice", alias("x", "x"),
     "models.m: alias 'x' is there twice; keep one of them"),
    ("address in a group of its own words", {"gpu1": {**host(), "models": LLAMA}, "gw1": {"gateway": {"keys": "file:"}}},
     'gateway.keys: is no reference to a secret; write "env:VARIABLE" or "file:secrets/name", never the secret itself'),
]
