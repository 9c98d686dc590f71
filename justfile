# Recipes for people who work on inferfleet. `just --list` shows them; HACKING.md says when to use which.
# They use the tools on PATH: `uv sync --group test` or any environment with requirements/test.lock.

# lint, types, fast tests
default: lint types fast

# ruff, its formatter, codespell
lint:
    ruff check . && ruff format --check . && codespell

# rewrite what ruff can mend
fix:
    ruff check --fix . ; ruff format .

# mypy, strict
types:
    mypy -p inferfleet -p tools

# every test that needs no lab, in seconds
fast *ARGS:
    python -m pytest -q -m "not lab and not slow" -n auto {{ARGS}}

# everything, as CI does
test *ARGS:
    ./test {{ARGS}}

# two bare hosts become a fleet
demo *ARGS:
    ./demo {{ARGS}}

# make the locks again, with newer versions: no index address and no host name gets in
lock:
    uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --universal --python-version 3.11 pyproject.toml -o requirements/product.lock
    uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --universal --python-version 3.11 pyproject.toml --group demo -c requirements/product.lock -o requirements/demo.lock
    uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --universal --python-version 3.11 pyproject.toml --group test -c requirements/product.lock -c requirements/demo.lock -o requirements/test.lock

# the generated pages of docs/reference: inventory.md from the spec, cli.md from the commands, cards.md from the catalogue
reference:
    python -m tools.reference

# measure what the README promises
bench *ARGS:
    python -m tools.bench {{ARGS}}

# the README's picture, from a real run
picture:
    tools/run python -m tools.record_demo docs/demo.svg
