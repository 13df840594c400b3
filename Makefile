# firstfault. Two commands are all a newcomer needs: `make demo` and `make test`.
# Each sets up what it needs, from a fresh clone with Python 3.11 (or newer) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo serve test test-deep bench lint format proto lock clean
help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "firstfault needs Python 3.11 or newer; found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(STAMP) ## play ten faults in a small shop and see what is answered (ARGS=--once ends by itself)
	$(BIN)/firstfault demo $(ARGS)

serve: $(STAMP) ## run the server on loopback (ARGS="--config FILE")
	$(BIN)/firstfault serve $(ARGS)

test: $(STAMP) ## lint, types, tests (compiled, bounds-checked, interpreted)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not deep"
