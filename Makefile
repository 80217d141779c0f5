# All commands of the project; the first target that needs packages installs those of requirements.txt into .venv.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
READY := .venv/.ready
PEERS := benchmarks/.peers/.ready
BENCHMARKS := sharding loading prior targets loss training batch_sizes inference photos

.PHONY: help repository repro train-all test browser scale export page verify soak fuzz bench compare review lint paper tiny sample

help: ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

repository: # checked before gigabytes are installed
	@tools/check_git.sh

repro: repository $(READY) ## run everything that is out of date, from raw archives to Table 1, and show the table
	@python tools/run_cells.py
	@python -m stages.report show
	@echo "all results on one page, to open in a browser: data/report.html"
	@echo "to color your own photos in a browser: make page"

train-all: repository $(READY) ## only train all models, in parallel; `make repro` then does the rest
	@python tools/run_cells.py train

test: $(READY) ## run the tests on all cores
	@python -m pytest --numprocesses logical --dist loadscope --no-loadscope-reorder

browser: $(READY) ## install what the tests of the pages need: a browser, and two packages
	@python -m pip install --quiet --disable-pip-version-check --requirement requirements-browser.txt
	@tools/install_browser.sh

scale: $(READY) ## install what buckets, clusters and zstd need, and an S3 server for the tests
	@python -m pip install --quiet --disable-pip-version-check --requirement requirements-scale.txt

export: $(READY) ## install what `colorize export` needs: packages for ONNX files, and ONNX Runtime Web
	@python -m pip install --quiet --disable-pip-version-check --requirement requirements-export.txt
	@python -m colorize.export.web_runtime

page: export ## write data/page.html, which colors photos in a browser without a server; after make repro
	@python -m colorize export objects-unet-0 --page data/page.html
	@echo "open data/page.html in a browser"

verify: $(READY) ## check all files of the pipeline, and name the command that repairs each problem
	@python -m colorize.verify

soak: $(READY) ## kill stages at random and compare the results, for MINUTES=20 or KILLS=200, or until Ctrl-C
	@python tools/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KILLS),--kills $(KILLS))

fuzz: $(READY) ## test with damaged archives, images and parameter files for MINUTES=10, and print the score
	@python tools/fuzz.py $(MINUTES)

compare: $(READY) ## compare the results of two commits or experiments on a page, for A=HEAD B=workspace
	@python tools/compare.py $(or $(A),HEAD) $(or $(B),workspace)

review: $(READY) ## compute all printed results again with independent code, and compare every digit (15 minutes)
	@python -m tools.review

lint: $(READY) ## check style, format and types
	@ruff check .
	@ruff format --check .
	@mypy

paper: $(READY) ## switch params.yaml to the paper's data sets and scale
	@python tools/use_profile.py paper

tiny: $(READY) ## switch params.yaml to Tiny ImageNet alone, for an evening on a laptop
	@python tools/use_profile.py tiny

sample: $(READY) ## switch params.yaml back to the default run
	@python tools/use_profile.py sample

bench: $(READY) $(PEERS) ## compare speed with other libraries on small inputs (15 minutes)
	@for name in $(BENCHMARKS); do echo "benchmark $$name (all: $(BENCHMARKS))"; \
	  KINETO_LOG_LEVEL=5 python -m benchmarks.$$name --small || exit 1; done
	@echo "the records are in benchmarks/records; benchmarks/README.md says how to read them"

$(PEERS): benchmarks/requirements.txt
	@echo "installing the peers into $(@D)"
	@rm -rf $(@D)
	@python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) --requirement benchmarks/requirements.txt
	@touch $@

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "installing the pinned packages into .venv: 5.7 GB, about 3 minutes; the log is .venv/pip.log"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --log .venv/pip.log --disable-pip-version-check --requirement requirements.txt
	@touch $(READY)
