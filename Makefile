# Everything is installed into .venv; $(PYTHON) only creates it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN := runs/Reacher7DOF/pal/seed_0

.DEFAULT_GOAL := help
.PHONY: help install train browser test check docs format bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv and install the pinned dependencies (the other targets do it too)

train: $(STAMP) ## train PAL on the 7-DOF reacher, draw its learning curve and film the arm
	$(BIN)/duopoly train Reacher7DOF --out runs --resume
	@$(BIN)/duopoly video $(RUN) || echo "The run in $(RUN) is complete, but without a video (see above)."

browser: $(STAMP) ## bring the headless Chromium in which tests open pages (the tests bring it too)
	@$(BIN)/python tests/get_browser.py

test: $(STAMP) ## run the tests
	@$(BIN)/python tests/get_browser.py || echo "Tests that open pages are skipped (see above)."
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(STAMP) ## check format, lint and types, build the documentation, then run the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(MAKE) --no-print-directory docs
	$(MAKE) --no-print-directory test

docs: $(STAMP) ## build the documentation into site/, warnings being errors; read site/index.html
	rm -rf site
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -d build/docs -E -b html docs site
	@echo "Built: site/index.html"

format: $(STAMP) ## format the code and apply the linter's safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## time the hot paths against the machine's matrix-product rate
	$(BIN)/duopoly bench

clean: ## remove .venv and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist site jupyter_execute
	find src tests examples benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Constraints reach pip through the environment so that they also bind the build backend.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || { \
	  command -v $(PYTHON) >/dev/null || \
	    { echo "duopoly needs Python 3.11 or newer: no '$(PYTHON)' found; try make PYTHON=python3.12" >&2; exit 1; }; \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "duopoly needs Python 3.11 or newer: '$(PYTHON)' is $$($(PYTHON) -V 2>&1); try make PYTHON=python3.12" >&2; exit 1; }; \
	  $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(VENV) has $$($(BIN)/python -V 2>&1), but duopoly needs 3.11 or newer: run 'make clean' first" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@echo "Installing duopoly and its pinned dependencies into $(VENV): a few minutes the first time."
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[video,robotics,dm-control,export,ray,minari,wandb,mlflow,docs,dev]'
	@touch $@
