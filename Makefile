# Every target that runs something first sees to it that .venv holds what requirements/lock.txt pins (`make setup`).

# `python3.11` may be a version manager's shim without a Python behind it: take it only if it runs.
PYTHON ?= $(shell python3.11 -c "" 2>/dev/null && echo python3.11 || echo python3)
BIN    := .venv/bin
STAMP  := .venv/setup.stamp

# Extra words for the commands: make run REQUIRE=torch RUN_ARGS="-b 'torch.*'", make test TEST_ARGS=tests/unit
RUN_ARGS  ?=
TEST_ARGS ?=
BROWSER_ARGS ?=

# What `make run` insists on: a framework that is missing or broken ends it with an error, not with a shorter table.
REQUIRE := numpy torch jax flax mlx tf-keras tensorflow keras

SHELL := /bin/bash
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup kernel run test test-all test-browser test-python test-triton fuzz lint types fixtures \
  fixtures-check docs-tables check bench published docs docs-serve package clean

help:  ## show this list
	@awk -F ':[^#]*## ' '/^##@ / {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

##@ Everybody

setup: $(STAMP)  ## create .venv with every framework, pinned (implied by all others; instant when nothing changed)

$(STAMP): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "setup: needs Python 3.11 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)" >&2; \
	  echo "setup: name another one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setup: 1/3 virtual environment .venv from $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setup: 2/3 $$(grep -c '==' requirements/lock.txt) pinned packages (a few minutes the first time)"
	@set -o pipefail; $(BIN)/python -m pip install --no-deps -r requirements/lock.txt | awk \
	  '/^Collecting/ {print "  " $$2; fflush()} /^Installing/ {print "  unpacking them all (the slow part)"; fflush()}'
	@echo "setup: 3/3 lcl-ref itself, editable"
	@$(BIN)/python -m pip install --no-deps --no-build-isolation --quiet --editable .
	@# Bytecode, as pip makes it of what it copies: a run starts five processes, and some environments keep none of theirs.
	@$(BIN)/python -m compileall -q lcl_ref backends
	@touch $(STAMP)
	@echo "setup: done"

# The compiled kernel is an optional part: where there is no C compiler, everything works without it.
KERNEL := $(if $(shell command -v $${CC:-cc}),build/kernel.stamp)

kernel: build/kernel.stamp  ## compile the kernel and install it into .venv (half a minute; make test and make run do so where cc is)

build/kernel.stamp: $(wildcard kernel/src/*) kernel/compile.py kernel/pyproject.toml kernel/lcl_ref_kernel/__init__.py | $(STAMP)
	@mkdir -p build
	$(BIN)/python -m pip install --no-deps --no-build-isolation --quiet --force-reinstall ./kernel
	@touch $@

run: $(STAMP) $(KERNEL)  ## run every backend against the golden data (tier core; RUN_ARGS='--tier full' for all cases)
	@mkdir -p build
	$(BIN)/lcl run $(addprefix --require ,$(REQUIRE)) --json build/report.json --html build/report.html $(RUN_ARGS)

##@ Contributors

# Arrays are small: the threads of one framework would only wait, and longer where they share the cores with a worker.
# Every process imports the tests anew: let it keep their bytecode, also where none is kept by default.
test test-all test-browser test-triton: export OMP_NUM_THREADS ?= 1
test test-all test-browser test-triton: export PYTHONDONTWRITEBYTECODE :=

# One process per core, but no more than there are companies of backends (lcl_ref/suite/run/process_sharing.py), each of
# which is asked by one. TEST_ARGS="-n 0" runs the tests in this process.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --lcl-require '*'

test: $(STAMP) $(KERNEL)  ## run the tests
	$(PYTEST) -m "not slow and not browser and not triton" --lcl-tier core $(TEST_ARGS)

# A processor with AVX-512, for the kernel's code; its wheel is for x86-64 Linux.
EMULATOR := $(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' -)),build/emulator.stamp)

test-all: $(STAMP) $(KERNEL) $(EMULATOR)  ## run the tests, the slow ones, those in a browser, and every case of the matrix included
	$(PYTEST) -m "not browser and not triton" $(TEST_ARGS)
	$(MAKE) test-browser

test-browser: $(STAMP) build/browser.stamp  ## open the pages in Chromium (CHROMIUM=/path names another than the system's)
	PYTHONPATH=build/browser $(BIN)/python -m pytest -m browser tests/browser $(BROWSER_ARGS)

# A framework comes to a new Python late; what needs none is tried here, in an environment of its own.
WITHOUT_FRAMEWORKS := tests/core/test_checks.py tests/core/test_errors.py tests/core/test_reference.py tests/core/test_spec.py \
  tests/layouts/test_layouts.py tests/suite/judge tests/suite/golden/test_fixtures.py tests/suite/golden/test_generated.py

test-python:  ## what needs no framework, on another Python: PYTHON=python3.14
	rm -rf build/python
	$(PYTHON) -m venv build/python
	build/python/bin/python -m pip install --quiet '.[pytest,fuzz]'
	cd build && python/bin/lcl run -b 'numpy.*' --tier smoke
	build/python/bin/lcl fixtures check
	@# On Python 3.14 Hypothesis warns, now and then, of its own use of `register_random`; warnings are errors here.
	PYTHONPATH=backends build/python/bin/python -m pytest -q -m "not slow" -W 'ignore:It looks like `register_random`' \
	  $(WITHOUT_FRAMEWORKS)

build/emulator.stamp: requirements/emulator.txt
	$(BIN)/python -m pip install --no-deps --quiet --upgrade --target build/emulator -r requirements/emulator.txt
	@touch $@

build/browser.stamp: requirements/browser.txt
	$(BIN)/python -m pip install --no-deps --quiet --upgrade --target build/browser -r requirements/browser.txt
	@touch $@

# Triton takes 290 MB to fetch and 1 GB unpacked, and the lock has torch's build for CPUs, which comes without it.
test-triton: export TRITON_INTERPRET := 1
test-triton: $(STAMP) build/triton.stamp  ## the fused kernels of torch: interpreted, and compiled for graphics cards
	PYTHONPATH=build/triton $(BIN)/python -m pytest -m triton tests/layers/accelerators $(TEST_ARGS)

build/triton.stamp: requirements/triton.txt
	$(BIN)/python -m pip install --no-deps --quiet --upgrade --target build/triton -r requirements/triton.txt
	@touch $@

FUZZ_FILES ?= 10000
FUZZ_SEED  ?= 1

fuzz: $(STAMP)  ## mutated files (FUZZ_FILES=10000 of each format) and crafted ones (2,000); FUZZ_SEED=2 makes others
	$(BIN)/python -m tests.fuzzing.mass --mutated $(FUZZ_FILES) --seed $(FUZZ_SEED)

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)  ## mypy --strict on lcl_ref
	$(BIN)/mypy

docs-tables: $(STAMP)  ## regenerate every generated table and page of docs/
	$(BIN)/python -m tools.tables

fixtures: $(STAMP)  ## regenerate conformance_data/
	$(BIN)/lcl fixtures write

fixtures-check: $(STAMP)  ## checksums of conformance_data/, and that the code still regenerates it byte for byte
	$(BIN)/lcl fixtures verify
	$(BIN)/lcl fixtures check

check: lint types fixtures-check test  ## everything that must hold before a commit is shared

##@ Maintainers

bench: $(STAMP)  ## speed: each script of benchmarks/ prints its table
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

published: $(STAMP)  ## published layers against the golden data; table in docs/published.md
	$(BIN)/python -m pip install --no-deps --quiet --upgrade --target build/published \
	  -r benchmarks/published/requirements.txt
	PYTHONPATH=build/published $(BIN)/python benchmarks/published/run.py

# Tools that tests do not need have environments of their own, made of the lock file of the same name.
build/%/stamp: requirements/%.txt
	@$(PYTHON) -m venv build/$*
	@build/$*/bin/python -m pip install --quiet --no-deps -r requirements/$*.txt
	@touch $@

docs: build/docs/stamp  ## build the site in build/site; a warning, a dead link or a dead anchor is an error
	build/docs/bin/python -m tools.site
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs build --strict

docs-serve: build/docs/stamp  ## show the site on http://127.0.0.1:8000
	build/docs/bin/python -m tools.site
	NO_MKDOCS_2_WARNING=1 build/docs/bin/mkdocs serve

# Where the package says it is at home, and who answers; the release workflow knows.
package: export LCL_REPOSITORY_URL ?= https://example.org/lcl-ref
package: export LCL_AUTHOR_EMAIL ?= maintainers@example.org
package: build/check/stamp  ## build the wheel in dist/ and check it, the workflows and the repository
	rm -rf dist build/alone
	build/check/bin/python -m build
	build/check/bin/twine check --strict dist/*
	build/check/bin/check-wheel-contents dist/*.whl
	build/check/bin/pyroma --min=10 dist/*.tar.gz
	build/check/bin/python -c "from rattler_build import Stage0Recipe as R; print(*R.from_file('recipe/recipe.yaml').render())"
	build/check/bin/zizmor --offline --quiet .
	build/check/bin/sp-repo-review .
	$(PYTHON) -m venv build/alone
	build/alone/bin/python -m pip install --quiet dist/*.whl
	build/alone/bin/lcl --version
	build/check/bin/cyclonedx-py environment --output-file build/sbom.json build/alone/bin/python

clean:  ## remove what the other targets made, .venv included
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
