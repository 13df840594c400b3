# firstfault. Two commands are all a newcomer needs: `make demo` and `make test`.
# Each sets up what it needs, from a fresh clone with Python 3.11 (or newer) and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages
STAMP := $(VENV)/.installed
NODE_STAMP := .tools/node/.installed
GO_PROGRAM := .tools/go/payment
DOCKERFILE_LINTER := .tools/go/dockerfile
OTELCOL := .tools/go/otelcol
JAVA_STAMP := .tools/java/.installed
DEBIAN_STAMP := .tools/debian/.installed
HELM_STAMP := .tools/bin/.kubernetes
PYTEST := $(BIN)/pytest -p no:cacheprovider
WORKERS ?= 2
SECONDS ?= 60

# Tests start servers and programs some hundred times: what they import is compiled to bytecode once, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

# What takes one core each runs beside another, and says what it has to say in one piece (where make can).
BESIDE := $(MAKE) --jobs $(WORKERS) $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

# The files whose tests start the real program: only they are read for that stage, and none of them for the others.
E2E_TESTS := tests/e2e tests/helm/test_started.py tests/collector/test_config_faults.py

# Kernels and all that is built of them run in three modes; each mode has a kernel cache of its own.
# What has no kernel of its own (it is numpy over facts, or whole cases) runs compiled only.
NO_KERNELS := simulator* evaluation* incident_ranking onset recent tracker detection detection_false_alarms \
  report* patterns five_whys engine new_normal planted
KERNEL_TESTS := tests/analyzer tests/collector/wire tests/collector/assembly tests/collector/test_needles.py tests/fuzz \
  --ignore=tests/analyzer/errors --ignore=tests/analyzer/reports \
  $(foreach name,$(NO_KERNELS),--ignore-glob='*test_$(name).py')
BOUNDS := NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=.tools/numba-bounds
INTERPRETED := NUMBA_DISABLE_JIT=1

.PHONY: help demo serve test test-deep bounds interpreted fuzz bench lint format proto helm-files sbom lock clean
help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(PACKAGES): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "firstfault needs Python 3.11 or newer; found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Kernels are compiled here, once: nothing compiles at run time.
$(STAMP): $(PACKAGES)
	$(BIN)/python -m collector.app.warming
	@touch $@

# The Node.js exporter is a test client; without Node.js its tests are skipped, except in CI.
$(NODE_STAMP): tests/node/package-lock.json
	@if command -v npm >/dev/null; then sh tests/node/install.sh; \
	else echo "npm not found: the Node.js exporter is not tried"; fi
	@mkdir -p $(dir $@) && touch $@

# A client in Go, built once; without Go its tests are skipped, except in CI.
$(GO_PROGRAM): $(wildcard tests/go/payment/*)
	@mkdir -p $(dir $@)
	@if command -v go >/dev/null; then cd tests/go/payment && go build -trimpath -o ../../../$@ .; \
	else echo "go not found: the Go client is not tried"; fi

# BuildKit's own parser and rules for the Dockerfile, without an engine.
$(DOCKERFILE_LINTER): $(wildcard tests/go/dockerfile/*)
	@mkdir -p $(dir $@)
	@if command -v go >/dev/null; then cd tests/go/dockerfile && go build -trimpath -o ../../../$@ .; \
	else echo "go not found: the Dockerfile is not linted"; fi

# The OpenTelemetry Collector and telemetrygen, as tests/otelcol/go.mod pins them: about five minutes of processor time
# the first time; Go keeps what it compiled.
$(OTELCOL): $(wildcard tests/otelcol/*)
	@mkdir -p $(dir $@)
	@if command -v go >/dev/null; then cd tests/otelcol && go build -trimpath -ldflags '-s -w' -o ../../$(dir $@) \
		. github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen && touch ../../$@; \
	else echo "go not found: the Collector is not tried"; fi

# The OpenTelemetry Java agent and a service for it to watch; see the script.
$(JAVA_STAMP): $(wildcard tests/java/* tests/java/shop/*)
	@sh tests/java/install.sh
	@mkdir -p $(dir $@) && touch $@

# Other people's programs that read what we write; see the script.
$(DEBIAN_STAMP): tests/tools/debian.sh
	@sh tests/tools/debian.sh
	@mkdir -p $(dir $@) && touch $@

# helm and a strict reader of objects, built as locked in go.sum; without Go the chart's tests are skipped, except in CI.
$(HELM_STAMP): $(wildcard tests/tools/kubetypes/*)
	@mkdir -p $(dir $@)
	@if command -v go >/dev/null; then echo "building helm: some minutes, once"; \
	cd tests/tools/kubetypes && go build -trimpath -o ../../../.tools/bin/ helm.sh/helm/v4/cmd/helm . && touch ../../../$@; \
	else echo "go not found: the Helm chart is not tried"; fi

demo: $(STAMP) ## play ten faults in a small shop and see what is answered (ARGS=--once ends by itself)
	$(BIN)/firstfault demo $(ARGS)

serve: $(STAMP) ## run the server on loopback (ARGS="--config FILE")
	$(BIN)/firstfault serve $(ARGS)

test: ## lint, types, every test but the deep ones; kernels in three modes (docs/development.md)
	$(BESIDE) lint $(STAMP) bounds $(GO_PROGRAM) $(DOCKERFILE_LINTER) $(OTELCOL) $(HELM_STAMP) $(NODE_STAMP) $(JAVA_STAMP) $(DEBIAN_STAMP) interpreted
	$(PYTEST) -n $(WORKERS) -m "not deep and not e2e" --ignore=tests/e2e
	$(PYTEST) -n 2 --dist loadfile -m "e2e and not deep" $(E2E_TESTS)

bounds: $(PACKAGES)
	$(BOUNDS) $(PYTEST) -q -m "not deep" $(KERNEL_TESTS)

interpreted: $(PACKAGES)
	$(INTERPRETED) $(PYTEST) -q -m "not deep" $(KERNEL_TESTS)

test-deep: $(STAMP) $(NODE_STAMP) $(GO_PROGRAM) $(OTELCOL) $(JAVA_STAMP) $(DEBIAN_STAMP) $(HELM_STAMP) ## what takes minutes: a million spans, long fuzzing, the demo
	$(PYTEST) -m deep --timeout 1800

fuzz: $(STAMP) ## fuzz every reader of hostile bytes (SECONDS=60 each; ARGS="text" one of them); needs Linux on x86-64
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

bench: $(STAMP) ## measure, beside the plain way to do the same work (ARGS=--quick)
	$(BIN)/python -m tests.benchmarks $(ARGS)

lint: $(PACKAGES) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(PACKAGES) ## write the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(STAMP) ## generate collector/pb from proto/
	$(BIN)/python proto/generate.py

helm-files: $(STAMP) $(HELM_STAMP) ## write the schema, the README and the golden files of the Helm chart
	$(BIN)/python -m tests.support.chart_files

sbom: $(STAMP) ## list what the server is made of: build/sbom.cdx.json (CycloneDX)
	$(BIN)/python -m tests.support.sbom build/sbom.cdx.json

lock: ## resolve the dependencies again, with hashes, without addresses
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile --python-version 3.11 --universal --generate-hashes --no-header --no-annotate --quiet \
		pyproject.toml -o requirements.lock
	$(PYTHON) -m uv pip compile --python-version 3.11 --universal --generate-hashes --no-header --no-annotate --quiet \
		--extra demo --extra evaluate --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock
	echo 'hatchling>=1.27' | $(PYTHON) -m uv pip compile --python-version 3.11 --universal --generate-hashes --no-header \
		--no-annotate --quiet --constraint requirements-dev.lock - -o requirements-build.lock

clean: ## remove what was built
	rm -rf $(VENV) .tools build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
