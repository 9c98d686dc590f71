"""What each gateway offers, and who answers: one backend for each model, chains, external providers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from inferfleet.placed import Instance
from inferfleet.plan.listen import reached
from inferfleet.spec import Fleet, Gateway, Model, Provider
from inferfleet.spec.chains import flat, provider_of, served


@dataclass(frozen=True)
class Upstream:
    """One instance that serves a model.

    Attributes:
        name: `gpu1/ollama-gpu0`.
        address: IP address at which the gateway reaches it.
        port: its TCP port.
        slots: requests for the model that it answers at once.
    """

    name: str
    address: str
    port: int
    slots: int

    @property
    def server(self) -> str:
        """Its name in HAProxy, which knows no slash in one: `gpu1::ollama-gpu0`."""
        return _in_haproxy(self.name)

    @property
    def url(self) -> str:
        """`http://10.0.0.11:11434`."""
        return f"http://{self.place}"

    @property
    def place(self) -> str:
        """`10.0.0.11:11434`, an IPv6 address in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Backend:
    """One model and who serves it.

    Attributes:
        aliases: further names that its engine serves.
        engine: which engine.
    """

    model: str
    aliases: tuple[str, ...]
    engine: str
    upstreams: tuple[Upstream, ...]

    @property
    def name(self) -> str:
        """Its name in HAProxy: `m_llama2:13b`."""
        return f"m_{_in_haproxy(self.model)}"

    @property
    def slots(self) -> int:
        """Requests that all of it answers at once."""
        return sum(upstream.slots for upstream in self.upstreams)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which it may be asked."""
        return (self.model, *self.aliases)


@dataclass(frozen=True)
class Tier:
    """One that may answer in a chain: a model of the fleet, or a provider's.

    Attributes:
        name: as declared, and as the response's header says it.
        model: what it is called there.
        provider: of an external one, its name; else None.
        backend: of one of the fleet, the backend's name in HAProxy; else None.
        renames: whether it knows the model by another name than the chain's.
    """

    name: str
    model: str
    provider: str | None
    backend: str | None
    renames: bool


@dataclass(frozen=True)
class Chain:
    """A name with those who answer under it, in order."""

    name: str
    tiers: tuple[Tier, ...]

    @property
    def backend(self) -> str:
        """Its name in HAProxy: `c_gpt-4o`."""
        return f"c_{_in_haproxy(self.name)}"


@dataclass(frozen=True)
class GatewayPlan:
    """What one gateway is.

    Attributes:
        node: its host.
        settings: what is declared of it. Secrets are references in it.
        backends: the models of the fleet, in the order of the inventory.
        chains: names with several who answer, and those that providers alone offer.
        version: Ollama's, which clients of its API ask for.
    """

    node: str
    settings: Gateway
    backends: tuple[Backend, ...]
    chains: tuple[Chain, ...]
    version: str = ""

    @property
    def offered(self) -> tuple[str, ...]:
        """Every name that clients may ask for: models, aliases, chains; each once."""
        own = (name for backend in self.backends for name in backend.names)
        return tuple(dict.fromkeys((*own, *(chain.name for chain in self.chains))))

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The providers that are in any chain."""
        used = {tier.provider for chain in self.chains for tier in chain.tiers}
        return {name: spec for name, spec in self.settings.providers.items() if name in used}


def gateways_of(
    fleet: Fleet, instances: Mapping[str, Sequence[Instance]]
) -> tuple[tuple[GatewayPlan, ...], tuple[str, ...]]:
    """Every gateway's plan, and a line for each port that it would take from an instance.

    Args:
        fleet: it.
        instances: each node's, with their models.
    """
    plans = tuple(_gateway(fleet, one.name, one.gateway, instances) for one in fleet.gateways)
    taken = [line for plan in plans for line in _ports(plan, instances.get(plan.node, ()))]
    return plans, tuple(taken)


def _gateway(fleet: Fleet, name: str, settings: Gateway, instances: Mapping[str, Sequence[Instance]]) -> GatewayPlan:
    backends = []
    for model, spec in fleet.models:
        upstreams = tuple(
            Upstream(f"{node.name}/{one.name}", reached(one, node, name), one.port, one.settings.parallel)
            for node in fleet.nodes
            for one in instances.get(node.name, ())
            if model in one.models
        )
        if upstreams:
            backends.append(Backend(model, spec.aliases, spec.engine, upstreams))
    version = next((node.engines.ollama.version for node in fleet.nodes if node.engines.ollama), "")
    return GatewayPlan(name, settings, tuple(backends), tuple(chains_of(fleet.models, settings)), version)


def chains_of(models: Sequence[tuple[str, Model]], settings: Gateway) -> Iterator[Chain]:
    """The declared chains, and one for each model that a provider alone offers."""
    names, specs = served(models), dict(models)
    for chain in settings.chains:
        tiers = []
        for tier in flat(chain, settings, names):
            outside = provider_of(tier, settings)
            if outside:
                tiers.append(Tier(tier, outside[1], outside[0], None, outside[1] != chain))
            else:
                model = names[tier]
                knows = chain in (model, *specs[model].aliases)
                tiers.append(Tier(tier, tier, None, f"m_{_in_haproxy(model)}", not knows))
        yield Chain(chain, tuple(tiers))
    for provider, spec in settings.providers.items():
        for here, there in spec.models.items():
            yield Chain(here, (Tier(f"{provider}:{there}", there, provider, None, here != there),))


def _ports(plan: GatewayPlan, instances: Sequence[Instance]) -> Iterator[str]:
    for setting in ("port", "http_port", "metrics_port", "prober_port"):
        port = getattr(plan.settings, setting)
        for instance in instances:
            if instance.port == port:
                yield (
                    f"{plan.node}: gateway.{setting} {port} is taken there by {instance.name}; "
                    f"give the gateway another {setting}"
                )


def _in_haproxy(name: str) -> str:
    """No name of a model, host or instance has two colons in a row, so no two of them become one."""
    return name.replace("/", "::")
