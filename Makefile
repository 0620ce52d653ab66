# Short commands for all tasks. No activation is needed: .venv/bin comes first on PATH, and `setup` makes .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# With PYTHONDONTWRITEBYTECODE set, every process would compile torch's sources again; with the other two, Python would
# see packages that the requirements do not name.
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH
# Caches stay in this clone, so nothing is written to the user's home.
export XDG_CACHE_HOME := $(CURDIR)/.cache
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export CUDA_CACHE_PATH := $(CURDIR)/.cache/cuda

TESTS := tests/unit tests/workflow tests/end_to_end
PYTEST_ARGS := -n 2
INFRA_ARGS := -n 2
CONFIG := config/config.yaml
GPUS :=
TABLE :=
EXCEPT :=
# The GPUs of this machine; without any, gpu=0 lets jobs use all cores.
GPU = $(shell nvidia-smi --list-gpus 2>/dev/null | grep -c "^GPU ")
APPLY :=
LINT := workflow_scripts tests benchmarks containers docs
TEXTS := $(LINT) rules config envs profiles Snakefile Makefile $(wildcard *.md) .github
SITE := docs/_build/html
SMK := Snakefile rules

.PHONY: help setup table2 plan test test-infra lint dag docs docs-site bench keep lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9_-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make, update or repair the environment (.venv); quick when there is nothing to do
	@envs/setup

table2: setup ## make the study's result: results/table2.csv, with .md, .tex and .svg beside it
	snakemake --cores all --resources gpu=$(GPU) -- results/table2.csv

plan: setup ## print what a study costs before it runs: make plan CONFIG=config/paper.yaml TABLE=table1 GPUS=8,64,512
	@python -m workflow_scripts.plan --configfile $(CONFIG) $(if $(GPUS),--gpus $(GPUS)) $(TABLE:%=--table %)

test: setup ## run all tests (fewer: make test TESTS=tests/unit PYTEST_ARGS='-x -k selection')
	@python -m pytest $(PYTEST_ARGS) --durations=15 $(TESTS)

test-infra: setup ## install Apptainer and Slurm (root, Debian) and run the tests that need them; a skipped test fails
	@tests/infra/with-services env TIMECAT_INFRA_REQUIRED=1 python -m pytest --dist loadfile --durations=15 \
		$(INFRA_ARGS) tests/infra tests/workflow/test_readme.py -k 'infra or apptainer'

lint: setup ## check style, complexity, types, layers, spelling and plain words; every check runs, even if one fails
	@failed=; for check in "ruff check $(LINT)" "ruff format --check $(LINT)" "snakefmt --check $(SMK)" \
		"snakemake --lint" mypy "lint-imports --cache-dir .cache/import-linter" "codespell $(TEXTS)" \
		"python -m tests.support.language"; do echo "$$check"; $$check || failed=1; done; [ -z "$$failed" ]

dag: setup ## draw the rules: results/dag.svg and docs/figures/dag.svg
	@command -v dot >/dev/null || { echo "dot is missing: install graphviz" >&2; exit 1; }
	@mkdir -p results; trap 'rm -f results/.dag.svg.tmp docs/figures/.dag.svg.tmp' EXIT; \
	snakemake --rulegraph dot -- results/table2.csv | dot -Tsvg > results/.dag.svg.tmp && \
	cp results/.dag.svg.tmp docs/figures/.dag.svg.tmp && \
	mv results/.dag.svg.tmp results/dag.svg && mv docs/figures/.dag.svg.tmp docs/figures/dag.svg

docs: setup ## generate config/schemas and the reference pages of the config and of the stages
	@python -m workflow_scripts.timecat.config.reference
	@python docs/stages.py

docs-site: setup ## the documentation as a site, warnings as errors: docs/_build/html
	@python -m sphinx --fail-on-warning --keep-going --quiet -b html docs $(SITE)
	@echo "open $(SITE)/index.html"

bench: setup ## time the important parts on this machine and write docs/benchmarks/benchmarks.md
	python -m benchmarks.run

keep: setup ## take over results after an upgrade: make keep lists, make keep APPLY=yes EXCEPT='probe transfer' does it
	@python -m workflow_scripts.keep --configfile $(CONFIG) $(EXCEPT:%=--except %) $(if $(filter yes,$(APPLY)),--apply)

lock: ## resolve envs/requirements.in to pinned, hashed envs/requirements.txt (newest: LOCK_ARGS=--upgrade)
	envs/setup uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header $(LOCK_ARGS) envs/requirements.in -o envs/requirements.txt
