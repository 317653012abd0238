# Needs only Python 3.11 or newer, with venv and pip, and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench docs notebooks clean

demo: .venv/installed ## meta-train on digits, evaluate against tuned baselines, write a genome, a table and plots
	$(BIN)/blur demo --out runs/demo

test: .venv/installed-dev ## every test, on two processes
	$(BIN)/pytest -n 2 --dist loadgroup

lint: .venv/installed-dev ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed ## time episodes, meta-gradients and populations, in minutes; a table, a JSON file and a picture
	$(BIN)/blur benchmark --out runs/benchmark

docs: .venv/installed-docs ## the documentation as a site, in site/; a broken link or an unknown name is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: .venv/installed-docs ## run the notebooks of the documentation and keep their outputs in them
	cd docs/notebooks && $(CURDIR)/$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False *.ipynb
	rm -f docs/notebooks/*.safetensors

clean: ## remove the environment and everything that tools have cached
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "blur needs Python 3.11 or newer: make PYTHON=…")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed

.venv/installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ .venv/installed
