# The whole interface for contributors. Every target sets up what it needs by itself: a machine with git, make,
# Python >= 3.11 and Go is enough, and a browser for browser-test. Nothing here needs root, a container runtime or a
# cloud account.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
KEEP ?=
DEMO_FLAGS ?=
SANDBOX_FLAGS ?= --with-operator
PYTEST_FLAGS ?=
# Three workers, each with a control plane of its own: most of a cluster test is waiting, also on two cores. A file stays with one of them.
# In the order in which they are named: the long files are among those with few tests, and must not come last.
PARALLEL ?= --numprocesses=3 --dist=loadfile --no-loadscope-reorder
BENCH_FLAGS ?=
EXAMPLE ?=

# What the operator used of its rights in each sandbox of a test run; compared with its roles at the end.
USED_RIGHTS := $(CURDIR)/.sandbox/used-rights
SOURCES := operator tests tools docker
DOCKERFILES := Dockerfile $(wildcard docker/*.Dockerfile)

VENV := .venv
RUN := $(VENV)/bin/python
PYTEST := $(RUN) -m pytest
HADOLINT := $(VENV)/bin/hadolint
# Named after what it was made from, so that a changed lock installs again and a checkout that only touches files doesn't.
STAMP := $(VENV)/.installed-$(firstword $(shell cat requirements.lock pyproject.toml | cksum))

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit browser-test chaos bench lint format golden crds keep-release image-check sandbox plan lock clean
.PHONY: binaries neighbours

help: ## list the targets
	@echo "Usage: make TARGET"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s  %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Variables: PYTHON=python3.12 (any target), KEEP=1 and DEMO_FLAGS='--speed 10' (demo), SANDBOX_FLAGS='--with lws' (sandbox),"
	@echo "           EXAMPLE=examples/….yaml (demo, plan), PYTEST_FLAGS='-k claim' (test, test-unit), BENCH_FLAGS=planning (bench),"
	@echo "           CHAOS_FLAGS='--runs 20 --seed 7' (chaos)"

demo: $(STAMP) binaries ## serve a model on a GPU and one on a TPU of a simulated GKE, scale, delete (KEEP=1 stays)
	@$(RUN) -m mistral_operator demo $(if $(EXAMPLE),--example $(EXAMPLE)) $(if $(KEEP),--keep) $(DEMO_FLAGS)

# Through the environment, where no shell reads what is in quotes.
test: export MISTRAL_OPERATOR_TESTS_CHOSEN := $(PYTEST_FLAGS)
test: $(STAMP) binaries neighbours ## all tests: unit, golden, scenario, and cluster on a real control plane
	@rm -rf $(USED_RIGHTS)
	MISTRAL_OPERATOR_RIGHTS=$(USED_RIGHTS) \
	    $(PYTEST) tests/cluster tests/unit tests/conformance tests/golden tests/scenario tests/released $(PARALLEL) --durations=10 $(PYTEST_FLAGS)
	MISTRAL_OPERATOR_RIGHTS=$(USED_RIGHTS) $(PYTEST) tests/rights

test-unit: $(STAMP) ## the quick tests: no control plane
	$(PYTEST) tests/unit tests/conformance tests/golden tests/released $(PYTEST_FLAGS)

browser-test: $(STAMP) ## the page of `plan --html` in a real browser, which has to be there (Debian's chromium, CHROMIUM=PATH)
	$(PYTEST) tests/browser $(PYTEST_FLAGS)
	@echo "Look at it: $(CURDIR)/build/screenshots"

chaos: $(STAMP) binaries neighbours ## models live through faults, kills and changes drawn by a seed, and must end as they should
	@$(RUN) -m tests.chaos $(CHAOS_FLAGS)

bench: $(STAMP) binaries ## measure: one JSON line per number that the design promises
	@$(RUN) -m tests.bench $(BENCH_FLAGS)

lint: $(STAMP) ## format, style, types, layers, and that generated files are up to date
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(RUN) -m mistral_operator.api.schema --check
	$(RUN) -m mistral_operator.catalogue.compile --check
	$(RUN) tools/supported_fields.py --check
	$(RUN) tools/generate_wire.py --check
	$(RUN) tools/stand_in_tokens.py --check
	$(RUN) tools/gateway_page.py --check
	$(RUN) tools/planner_page.py --check
	$(RUN) tools/catalogue_pages.py --check
	$(RUN) tools/refusals_page.py --check
	$(RUN) tools/rights.py --check
	$(RUN) tools/chart.py --check
	$(RUN) tools/image_lock.py --check
	@if test -x $(HADOLINT); then $(HADOLINT) $(DOCKERFILES); \
	    else echo "hadolint is not to be had for this machine: the Dockerfiles are not linted"; fi

format: $(STAMP) ## format the code and apply the safe fixes
	$(VENV)/bin/ruff format $(SOURCES)
	$(VENV)/bin/ruff check --fix $(SOURCES)

golden: $(STAMP) ## write the golden files again; review the difference with git diff
	MISTRAL_OPERATOR_GOLDEN=write $(PYTEST) tests/golden -q $(PYTEST_FLAGS)
	@git --no-pager diff --stat -- tests/golden

crds: $(STAMP) ## write what is generated: crds/, roles, the chart's parts, reference pages, catalogue, wire format
	$(RUN) -m mistral_operator.api.schema --write
	$(RUN) -m mistral_operator.catalogue.compile --write
	$(RUN) tools/supported_fields.py --write
	$(RUN) tools/generate_wire.py --write
	$(RUN) tools/stand_in_tokens.py --write
	$(RUN) tools/gateway_page.py --write
	$(RUN) tools/planner_page.py --write
	$(RUN) tools/catalogue_pages.py --write
	$(RUN) tools/refusals_page.py --write
	$(RUN) tools/rights.py --write
	$(RUN) tools/chart.py --write

keep-release: $(STAMP) ## keep what this version defines and renders in tests/released, for later ones to be tested against
	$(RUN) tools/keep_release.py

image-check: $(STAMP) ## replay the steps of the Dockerfile without a container engine, and run what they install
	@$(RUN) tools/image_check.py

sandbox: $(STAMP) binaries ## a GKE on this machine, with the operator, in the foreground; prints the kubeconfig's path
	@$(RUN) -m mistral_operator sandbox up $(SANDBOX_FLAGS)

plan: $(STAMP) ## what EXAMPLE would run on, why, and what it costs; needs no cluster
	@$(RUN) -m mistral_operator plan -f $(or $(EXAMPLE),examples/mistral-7b.yaml)

lock: $(STAMP) ## solve the dependencies again into requirements.lock and the image's part of it
	$(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --upgrade \
	    --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(RUN) tools/image_lock.py --write

binaries: $(STAMP)
	@$(RUN) -m mistral_operator.sandbox.control_plane.install >/dev/null

neighbours: $(STAMP)
	@$(RUN) -m mistral_operator.sandbox.neighbours.install helm lws >/dev/null

clean: ## remove the virtual environment and every cache in this folder
	rm -rf $(VENV) build dist .sandbox .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find operator tests -name __pycache__ -prune -exec rm -rf {} +

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit("make needs Python 3.11 or newer; say which with make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV): $$(grep -c '==' requirements.lock) locked packages, about a minute the first time …"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@
