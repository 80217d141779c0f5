# Everything a person starts; the first target that needs it sets up .venv from requirements.txt.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
READY := .venv/.ready

.PHONY: help repro test lint paper sample

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

repro: $(READY) ## run whatever is out of date, from raw archives to Table 1, and show the table
	@dvc repro
	@python -m stages.report show

test: $(READY) ## run the tests
	@python -m pytest

lint: $(READY) ## check style and format
	@ruff check .
	@ruff format --check .

paper: $(READY) ## switch params.yaml to the paper's data sets and scale
	@python tools/use_profile.py paper

sample: $(READY) ## switch params.yaml back to the default run
	@python tools/use_profile.py sample

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "setting up .venv (5.7 GB, a few minutes)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --disable-pip-version-check --requirement requirements.txt
	@touch $(READY)
