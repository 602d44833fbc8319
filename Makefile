# QwQ Guard: `make run` and `make test` are all a fresh machine needs (Python 3.11 or newer, make, a C compiler).
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin

.PHONY: help install run test lint format bench-quick repair-table clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:
	@scripts/install.sh

run: install ## install if need be, then serve on 127.0.0.1:8080 (more: make run ARGS="--upstream URL")
	@exec $(BIN)/guard serve --host 127.0.0.1 --port 8080 $(ARGS)

test: install ## install if need be, then run every check (more: make test ARGS="-k loop")
	@scripts/check.sh $(ARGS)

lint: install ## ruff, mypy and the import contracts only
	@scripts/check.sh --lint

format: install ## let ruff format and mend the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench-quick: install ## CPU per streamed event against nginx, in under two minutes
	@$(BIN)/python -m bench.quick $(ARGS)

repair-table: install ## what becomes of looping answers by action, on a real small model (about 20 minutes)
	@$(BIN)/python -m bench.repair $(ARGS)

clean: ## remove what the checks leave behind (the installation in .venv stays)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist bench/out
	@find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +
