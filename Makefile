# The two commands for a fresh machine: `make run` and `make test`. `make help` lists the rest.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -Eeuo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run up down clean test test-fast test-engine bench lock check engine images

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

engine: ## make sure that a Docker engine and the published images are there
	@scripts/ensure_engine.sh
	@scripts/ensure_images.sh

images: engine ## build the images whose content changed
	@./build_images.sh

up: images ## start Airflow; returns when a Dag can run
	@python3 scripts/stack.py up

run: up ## set everything up and run one simulated day; DS=YYYY-MM-DD names the day
	@python3 scripts/run_day.py $(if $(DS),--ds $(DS))

down: ## stop Airflow; data, database and images stay
	@python3 scripts/stack.py down

clean: ## stop Airflow and remove its database, the data and our images
	@python3 scripts/stack.py clean

test-fast: ## the tests that need no engine: under a minute
	@scripts/ensure_venv.sh
	@scripts/test_fast.sh

test: engine ## set up and pass every test
	@scripts/test_all.sh

bench: images ## measure speed and memory; prints a table, writes JSON
	@scripts/ensure_venv.sh
	@.venv/bin/python tests/benchmarks/bench.py

lock: ## compile every requirements.in into its requirements.txt
	@scripts/ensure_venv.sh
	@UV=.venv/bin/uv scripts/lock.sh

check: ## lint and type-check
	@scripts/ensure_venv.sh
	@scripts/check.sh
