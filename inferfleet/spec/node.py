"""A node: one host that serves models, its cards, and (rarely) its instances one by one."""

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from inferfleet.spec.base import Listed, Noun, Port, ip_address, mistake
from inferfleet.spec.engine import Runtime

_UUID = re.compile(r"(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# `4xA30`, `4 x A30`.
CARDS = re.compile(r"(\d+) ?[x*] ?(\w[\w -]*)")


class Gpu(Noun):
    """One card as the inventory declares it."""

    model: str = Field(description="The card's usual name, such as `A30`.", min_length=1)
    uuid: str | None = Field(
        None, description="The card's UUID from `nvidia-smi -L`; with it the card is found whatever its index."
    )
    backend: Literal["cuda", "vulkan"] = Field(
        "cuda", description="What drives the card: `cuda` (NVIDIA) or `vulkan` (any other card, by index)."
    )
    vram_gib: float | None = Field(
        None,
        description="The card's memory in GiB. By default what is known of a card of that name.",
        gt=0,
        le=1e12,  # whoever writes bytes for GiB is told by the card what is wrong
    )

    @field_validator("uuid")
    @classmethod
    def _uuid_form(cls, value: str | None) -> str | None:
        if value is not None and not _UUID.fullmatch(value):
            raise mistake("is not a card's UUID", "copy it from `nvidia-smi -L`, as in GPU-8f1c2d3e-...")
        return value

    @model_validator(mode="after")
    def _uuid_needs_cuda(self) -> "Gpu":
        if self.uuid is not None and self.backend != "cuda":
            raise mistake("a vulkan card has no UUID", "leave `uuid` out; vulkan cards are found by their index")
        return self


def _gpu_from_name(value: Any) -> Any:
    """`"A30"` is short for `{"model": "A30"}`."""
    if isinstance(value, str):
        if several := CARDS.fullmatch(value):
            raise mistake("is not a card's name", f'write ["{several[2]}"] * {several[1]} for several')
        return {"model": value}
    if not isinstance(value, dict | Gpu):
        raise mistake("is not a card", 'write its name, as in "A30", or {"model": "A30", ...}')
    return value


GpuEntry = Annotated[Gpu, BeforeValidator(_gpu_from_name)]


class DeclaredInstance(Noun):
    """One instance written out by hand, where the engine's `per` rule does not give what is wanted."""

    engine: Literal["ollama"] = Field(description="The engine that runs.")
    gpus: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Listed] = Field(
        (), description="Positions in the node's `gpus`, from 0; none means that it runs on the CPU."
    )
    runtime: Runtime | None = Field(None, description="`native` or `docker`; by default the engine's.")
    port: Port | None = Field(None, description="TCP port; by default the engine's port plus the instance's position.")
    name: str | None = Field(
        None,
        description="Name of the instance and its systemd unit; by default made from the engine and its cards.",
    )

    @field_validator("name")
    @classmethod
    def _unit_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", value):
            raise mistake(
                "is not an instance's name",
                "write up to 41 lower-case letters, digits and dashes, beginning with a letter",
            )
        if value is not None and value.startswith("inferfleet"):
            raise mistake("is the name of a unit of inferfleet itself", "choose one that does not begin with it")
        return value

    @field_validator("gpus")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise mistake("names a card twice", "name each card of the instance once")
        return value


class Node(Noun):
    """One host: what its own data in the inventory says."""

    gpus: Annotated[tuple[GpuEntry, ...], Listed] = Field((), description="The host's cards, in the driver's order.")
    instances: Annotated[tuple[DeclaredInstance, ...], Listed] | None = Field(
        None, description="The host's instances one by one; by default each engine's `per` rule makes them."
    )
    ram_gib: float | None = Field(
        None, description="The host's memory in GiB; without it, it is not planned.", gt=0, le=65536
    )
    disk_gib: float | None = Field(
        None, description="Disk for models in GiB; without it, it is not planned.", gt=0, le=1048576
    )
    address: str | None = Field(
        None, description="IP address at which gateways on other hosts reach its instances; they then listen there."
    )
    nvlink: Annotated[tuple[Annotated[tuple[int, ...], Listed], ...], Listed] = Field(
        (), description="Groups of cards with NVLink among them, by position in `gpus`, as in `[[0, 1], [2, 3]]`."
    )

    @field_validator("address")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is None:
            return value
        short = ip_address(value)
        if ipaddress.ip_address(short).is_unspecified or ipaddress.ip_address(short).is_loopback:
            raise mistake("is no address that other hosts reach", "write the host's own in the fleet's network")
        return short

    @model_validator(mode="after")
    def _cards_and_ports_once(self) -> "Node":
        uuids = [gpu.uuid for gpu in self.gpus if gpu.uuid]
        for uuid in uuids:
            if uuids.count(uuid) > 1:
                raise mistake(
                    f"the UUID {uuid} is declared twice", "each card has a UUID of its own: see `nvidia-smi -L`"
                )
        for position, instance in enumerate(self.instances or ()):
            self._check_instance(position, instance)
        self._check_nvlink()
        return self

    def _check_nvlink(self) -> None:
        cards = [card for group in self.nvlink for card in group]
        if wrong := [card for card in cards if not 0 <= card < len(self.gpus)]:
            raise mistake(
                f"nvlink names card {wrong[0]}, the host declares {len(self.gpus)}",
                "cards count from 0: see `nvidia-smi topo -m`",
            )
        if twice := [card for card in cards if cards.count(card) > 1]:
            raise mistake(
                f"nvlink names card {twice[0]} twice", "name each card in one group: see `nvidia-smi topo -m`"
            )

    def _check_instance(self, position: int, instance: DeclaredInstance) -> None:
        missing = [card for card in instance.gpus if card >= len(self.gpus)]
        if missing:
            raise mistake(
                f"instances[{position}] wants card {missing[0]}, the host declares {len(self.gpus)}",
                "cards count from 0: declare the card under `gpus` or name another",
            )
        for other in (self.instances or ())[:position]:
            shared = set(instance.gpus) & set(other.gpus)
            if shared:
                raise mistake(
                    f"instances[{position}] wants card {min(shared)}, which another instance has",
                    "give each instance cards of its own",
                )
            if instance.port is not None and instance.port == other.port:
                raise mistake(f"port {instance.port} is taken twice", "give each instance a port of its own")
            if instance.name is not None and instance.name == other.name:
                raise mistake(f"the name {instance.name!r} is taken twice", "give each instance a name of its own")
