"""Names that the gateway offers: models, their aliases, chains; each must mean one thing."""

from collections.abc import Container, Iterator, Sequence

from inferfleet.spec import wording
from inferfleet.spec.gateway import Gateway
from inferfleet.spec.model import Model, tagged

Models = Sequence[tuple[str, Model]]


def provider_of(tier: str, gateway: Gateway) -> tuple[str, str] | None:
    """Provider and its model, for `openai:gpt-4o`; None where the tier is no provider's."""
    provider, _, model = tier.partition(":")
    return (provider, model) if provider in gateway.providers and model else None


def flat(name: str, gateway: Gateway, names: Container[str]) -> tuple[str, ...]:
    """Who answers under a chain's name, in order, with the chains in it written out.

    In a chain, a name in `names` (those that engines serve) means the engine's model, also where a chain has it too.

    Raises:
        RecursionError: it is in itself through another chain.
    """

    def walk(chain: str, above: tuple[str, ...]) -> Iterator[str]:
        if chain in above:
            raise RecursionError(" -> ".join((*above, chain)))
        for tier in gateway.chains[chain]:
            if tier in gateway.chains and tier not in names:
                yield from walk(tier, (*above, chain))
            else:
                yield tier

    return tuple(walk(name, ()))


def names_wrong(models: Models, gateway: Gateway | None) -> list[str]:
    """One line for each name that means two things or nothing."""
    wrong = [*_aliases(models)]
    if gateway is not None:
        wrong += [*_providers(models, gateway), *_chains(models, gateway)]
    return wrong


def served(models: Models) -> dict[str, str]:
    """Every name that engines serve -> the model."""
    return {name: model for model, spec in models for name in (model, *spec.aliases)}


def _aliases(models: Models) -> Iterator[str]:
    declared = {tagged(name).lower(): name for name, _ in models}
    seen: dict[str, str] = {}
    for name, model in models:
        for alias in model.aliases:
            full = tagged(alias).lower()
            if full in declared:
                yield f"models.{name}: alias {alias!r} is the name of a model; choose another"
            elif full in seen:
                whose = f"also one of {seen[full]}" if seen[full] != name else "there twice"
                yield f"models.{name}: alias {alias!r} is {whose}; keep one of them"
            seen[full] = name


def _providers(models: Models, gateway: Gateway) -> Iterator[str]:
    names = served(models)
    for provider, spec in gateway.providers.items():
        if same := [name for name in names if name.partition(":")[0] == provider]:
            yield f"gateway.providers.{provider}: could be taken for {same[0]}; give the provider another name"
        for name in spec.models:
            where = f"gateway.providers.{provider}.models.{name}"
            if name in names or name in gateway.chains:
                yield f"{where}: is offered by the fleet already; put both into `chains`, in the order that you want"
            others = [one for one, other in gateway.providers.items() if one != provider and name in other.models]
            if others and list(gateway.providers).index(others[0]) < list(gateway.providers).index(provider):
                yield f"{where}: is offered by {others[0]} too; put both into `chains`, in the order that you want"


def _chains(models: Models, gateway: Gateway) -> Iterator[str]:
    names = served(models)
    for chain in gateway.chains:
        where = f"gateway.chains.{chain}"
        try:
            tiers = flat(chain, gateway, names)
        except RecursionError as circle:
            yield f"{where}: goes round in a circle ({circle}); take one of them out"
            continue
        yield from (line for tier in dict.fromkeys(tiers) for line in _tier(where, tier, names, gateway))
        answering = [names.get(tier, tier) for tier in tiers]
        if twice := [tier for tier in answering if answering.count(tier) > 1]:
            yield f"{where}: has {twice[0]} in it twice; keep one of them"
        if chain in names and names[chain] not in answering:
            yield f"{where}: has the name of {names[chain]}, which is not in it; choose another, or put it in"


def _tier(where: str, tier: str, names: dict[str, str], gateway: Gateway) -> Iterator[str]:
    if tier in names or provider_of(tier, gateway):
        return
    known = [*names, *gateway.chains]
    provider, colon, _ = tier.partition(":")
    if provider in gateway.providers:
        yield f"{where}: {tier!r} names no model of the provider; write it as in {provider}:gpt-4o"
    elif colon and not any(name.partition(":")[0] == provider for name in known):
        yield (
            f"{where}: {tier!r} is neither a model nor one of a provider; "
            f"declare it in models, or {provider} in gateway.providers with its key"
        )
    else:
        todo = wording.unknown_key(tier, known).replace("known keys:", "there are")
        yield f"{where}: {tier!r} is no model of the fleet; {todo}"
