# The two commands for a fresh machine: `make run` and `make test`. `make help` lists the rest.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -Eeuo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run own up down clean test test-fast test-nightly bench image-report lock lock-check audit sbom check engine images stage lineage diff rerun reproduce notebook status doctor models alerts pictures attack fuzz chaos load year

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

# What each target takes; the others take nothing. What it does not take is refused: `make run ds=2026-11-21` would run
# another day than it says, and `make own FILE=my.csv` would not read that file.
TAKES_run := DS
TAKES_own := DATA TARGET LABELS KEY ENTITY WEIGHT ASSUME ENCODING DELIMITER SCHEMA DS DRAFT_ONLY REPLACE
TAKES_stage := NAME LIBRARY
TAKES_pictures := DS
TAKES_lineage := FILE FORMAT CHECK
TAKES_diff := A B FORMAT
TAKES_rerun := FILE DEPTH IMAGES FORMAT
TAKES_lock := PACKAGE
TAKES_audit := SERVICE OSV_URL
GOALS := $(or $(MAKECMDGOALS),$(.DEFAULT_GOAL))
TAKEN := $(foreach goal,$(GOALS),$(TAKES_$(goal)))
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(strip $(filter-out $(TAKEN) MAKE% -%,$(GIVEN)))
ifneq ($(UNKNOWN),)
  $(error make $(GOALS) takes no $(UNKNOWN); expected: $(or $(strip $(TAKEN)),no variable))
endif
# So is an empty one: `make run DS=$DAY` without a DAY would run today.
EMPTY := $(strip $(foreach name,$(filter $(TAKEN),$(GIVEN)),$(if $($(name)),,$(name))))
ifneq ($(EMPTY),)
  $(error $(EMPTY) is empty; expected: a value, or no $(firstword $(EMPTY))= at all)
endif

engine: ## prepare a Docker engine and the published images
	@./airflow-ml engine

images: engine ## build the images whose content changed
	@./airflow-ml build

own: ## take your own DATA=my.csv to a model that predicts TARGET=churned; DRAFT_ONLY=1, DS, KEY, ENTITY, WEIGHT, LABELS, SCHEMA, ENCODING, DELIMITER
	@./airflow-ml own $(if $(DATA),--data "$(DATA)") $(if $(TARGET),--target "$(TARGET)") $(if $(LABELS),--labels "$(LABELS)") \
	  $(if $(KEY),--key "$(KEY)") $(if $(ENTITY),--entity "$(ENTITY)") $(if $(WEIGHT),--weight "$(WEIGHT)") $(if $(ASSUME),--assume "$(ASSUME)") \
	  $(if $(ENCODING),--encoding "$(ENCODING)") $(if $(DELIMITER),--delimiter "$(DELIMITER)") \
	  $(if $(SCHEMA),--schema "$(SCHEMA)") $(if $(DS),--ds "$(DS)") $(if $(DRAFT_ONLY),--draft-only) $(if $(REPLACE),--replace)

up: ## start Airflow; returns when a Dag can run
	@./airflow-ml up

run: ## set everything up and run one simulated day; DS=YYYY-MM-DD names the day
	@./airflow-ml run $(if $(DS),--ds "$(DS)")

down: ## stop Airflow; data, database and images stay
	@./airflow-ml down

clean: ## stop Airflow and remove its database, the data and our images
	@./airflow-ml clean

stage: ## make a new stage that works: NAME=columns; LIBRARY=jinja2 is what it brings
	@./airflow-ml new-stage "$(NAME)" $(if $(LIBRARY),--library "$(LIBRARY)")

test-fast: ## the tests that need no engine: some minutes
	@setup/ensure_venv.sh
	@maintain/test_fast.sh

test: engine ## set up and pass every test
	@python3 tests/run_all.py

test-nightly: engine ## what takes longer and changes rarely: rebuild on an empty engine, day on a swarm, kills, benchmarks, fuzz
	@python3 tests/run_all.py --nightly

attack: images ## attack the engine proxy and the pages in hundreds of ways; prints the table, writes docs/attacks.md
	@setup/ensure_venv.sh
	@.venv/bin/python -m tests.attacks

FUZZ := -q -m hypothesis --hypothesis-profile=fuzz
fuzz: images ## test each property of the stages with thousands of examples, damaged and hostile files among them
	@setup/ensure_venv.sh
	@failed=0; \
	.venv/bin/python -m pytest $(FUZZ) tests/stagekit tests/airflow_ml tests/engine_proxy || failed=1; \
	for stage in preprocessing training prediction registry report explanation tuning exchange; do \
	  ./airflow-ml test-stage $$stage $(FUZZ) || failed=1; done; \
	exit $$failed

notebook: images ## open a notebook on a day's raw data; ends with Ctrl-C
	@./airflow-ml notebook

status: ## show what runs, the champion, the newest days, the last run of each Dag
	@./airflow-ml status

doctor: ## look for what is wrong with this installation, and say what to do
	@./airflow-ml doctor

models: ## show the versions of the model: how good, who, when, why
	@./airflow-ml models

alerts: ## show the last alerts, and whether they were sent
	@./airflow-ml alerts

pictures: ## take the README's pictures from the running stack; DS=YYYY-MM-DD is a day that make run made
	@./airflow-ml pictures $(if $(DS),--ds "$(DS)")

lineage: ## show where FILE=predictions/DS/predictions.csv comes from, and check it; FORMAT=json|mermaid, CHECK=1
	@./airflow-ml lineage "$(FILE)" $(if $(FORMAT),--format "$(FORMAT)") $(if $(CHECK),--check)

diff: ## say what differs between A=models/DS and B=models/DS, and where that begins; FORMAT=json
	@./airflow-ml diff "$(A)" "$(B)" $(if $(FORMAT),--format "$(FORMAT)")

rerun: ## make FILE again in a scratch volume and compare the bytes; DEPTH=all from the raw data on; IMAGES=locked
	@./airflow-ml rerun "$(FILE)" $(if $(DEPTH),--depth "$(DEPTH)") $(if $(IMAGES),--images "$(IMAGES)") \
	  $(if $(FORMAT),--format "$(FORMAT)")

reproduce: images ## build base and stages again on an engine with empty caches, and compare the bytes
	@./airflow-ml reproduce

bench: images ## measure speed and memory; prints a table, writes JSON
	@setup/ensure_venv.sh
	@.venv/bin/python tests/benchmarks/bench.py

chaos: images ## strike days that run with faults, kill stages; writes the tables of docs/faults.md, takes hours
	@setup/ensure_venv.sh
	@failed=0; \
	.venv/bin/python -m tests.chaos --doc docs/faults.md || failed=1; \
	.venv/bin/python -m tests.chaos.kills --doc docs/faults.md || failed=1; \
	exit $$failed

load: images ## put load on a stack of its own for an hour; prints what each service takes of memory
	@setup/ensure_venv.sh
	@.venv/bin/python -m tests.chaos.load

year: images ## let a year of days run on disks of a fixed size; prints what each week takes
	@setup/ensure_venv.sh
	@.venv/bin/python -m tests.chaos.year

image-report: images ## weigh our images and the naive way's; writes the tables of docs/images.md
	@./airflow-ml image-report

lock: ## compile every requirements.in; PACKAGE=numpy, or numpy==2.5.5, upgrades that alone, in every lock
	@./airflow-ml lock $(PACKAGE)

lock-check: ## check that each lock fits its requirements.in and the other locks; needs no network
	@setup/ensure_venv.sh
	@.venv/bin/python -m pytest -q tests/conventions/test_locks.py

audit: ## ask for known vulnerabilities of every lock; OSV_URL=... or SERVICE=pypi asks another service
	@./airflow-ml audit $(if $(SERVICE),--service "$(SERVICE)") $(if $(OSV_URL),--osv-url "$(OSV_URL)")

sbom: images ## list what is in each image, as CycloneDX: .cache/sbom/NAME.cdx.json
	@./airflow-ml sbom

check: ## lint and type-check
	@setup/ensure_venv.sh
	@maintain/check.sh
