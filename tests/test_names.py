"""Names: operations take no parameter that pyinfra keeps for itself, and each is made by `converging`."""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from pyinfra.api.arguments import AllArguments
from pyinfra.api.operation import operation

from inferfleet import operations
from inferfleet.operations.effects import converging

RESERVED = {*AllArguments.__annotations__, *inspect.get_annotations(AllArguments), "name", "state", "host"}
MODULES = [
    importlib.import_module(f"inferfleet.operations.{module.name}")
    for module in pkgutil.iter_modules(operations.__path__)
]
OPERATIONS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": made
    for module in MODULES
    for name, made in vars(module).items()
    if hasattr(made, "_inner") and getattr(made, "__module__", "") == module.__name__
}


def test_there_are_operations() -> None:
    assert {"ollama.account", "ollama.release", "ollama.services", "ollama.models", "packages.present"} <= set(
        OPERATIONS
    )


@pytest.mark.parametrize("made", OPERATIONS.values(), ids=OPERATIONS)
def test_made_by_converging(made: Any) -> None:
    """Then it announces what it does before it does it, and it does nothing unannounced."""
    assert callable(getattr(made, "decides", None))


@pytest.mark.parametrize("made", OPERATIONS.values(), ids=OPERATIONS)
def test_parameters(made: Any) -> None:
    """`name`, `_sudo` and the like are taken away by pyinfra before the operation sees them."""
    parameters = inspect.signature(made.decides).parameters
    assert parameters
    assert not set(parameters) & RESERVED
    assert not [name for name in parameters if name.startswith("_")]


def test_reserved_names_are_known() -> None:
    """The check above can fail: pyinfra 3.10 keeps these."""
    assert {"name", "_sudo", "_env", "_retries", "_if", "_serial"} <= RESERVED


def test_what_is_not_made_by_converging_is_seen() -> None:
    """The checks above can fail: an operation of pyinfra's own making decides nothing."""

    def act(packages: list[str]) -> Any:
        yield "true"

    plain = operation()(act)
    assert hasattr(plain, "_inner") and not hasattr(plain, "decides")
    ours: Any = converging(act)  # type: ignore[arg-type]
    assert hasattr(ours, "_inner") and ours.decides is act
