# make run, make demo, make test. Windows: README.md has the same as plain commands.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
EXCHANGE_PORT ?= 9443

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)# for the commands in the Procfiles
export GRANIAN_HOST := $(HOST)
export GRANIAN_PORT := $(PORT)
export PYTHONUNBUFFERED := 1

.PHONY: help run demo test chaos bench screenshots install install-dev clean

help:
	@echo "make run    the tracker on Binance's trades: web server and ingester, page on http://$(HOST):$(PORT)/"
	@echo "make demo   the same against a local exchange, for a machine that can't reach Binance"
	@echo "make test   every check: format, lint, types, migrations, tests"
	@echo "make chaos  five minutes of everything going wrong, in real processes"
	@echo "make bench  how fast it is: every benchmark, then docs/benchmarks.md (15 minutes)"
	@echo "make screenshots  the README's pictures, anew"
	@echo
	@echo "make run PORT=8080 takes another port (make demo EXCHANGE_PORT=9555 another exchange's), and"
	@echo "make run PYTHON=python3.12 another Python (3.11 or newer)."

TOGETHER := $(BIN)/python -m tracker.run_together
PAGE := $(HOST):$(PORT)/PORT

run: export COMMAND := $(BIN)/python manage.py
run: install
	@$(TOGETHER) $(PAGE) --
	$(BIN)/python manage.py migrate --verbosity 0
	@echo
	@echo "  The page: http://$(HOST):$(PORT)/      Ctrl-C stops everything."
	@echo "  A user for the admin: $(BIN)/python manage.py createsuperuser"
	@echo
	@$(TOGETHER) $(PAGE) -- --no-colour --env /dev/null --procfile Procfile start || [ $$? -eq 130 ]

# A database and an exchange of its own: made-up trades never mix with real ones, and each demo begins a new tape, of
# which no browser may remember another's answers.
DEMO := var/demo$(if $(filter 8000,$(PORT)),,-$(PORT))
DEMO_SETTINGS := VAR_DIR=$(DEMO) DATABASE_URL= METRICS_PORT=0 KEEP_PAST_ANSWERS_S=0 SYMBOLS=BTCUSDT,ETHUSDT \
	BINANCE_WS_URL=ws://127.0.0.1:$(EXCHANGE_PORT) BINANCE_REST_URL=http://127.0.0.1:$(EXCHANGE_PORT) \
	BINANCE_ARCHIVE_URL=http://127.0.0.1:$(EXCHANGE_PORT) BACKFILL_HOURS=1
demo: export ENV_FILE := $(DEMO).env
demo: export COMMAND := ENV_FILE=$(ENV_FILE) $(BIN)/python manage.py
demo: export EXCHANGE_PORT := $(EXCHANGE_PORT)
demo: install
	@mkdir -p var && printf '%s\n' $(DEMO_SETTINGS) > $(ENV_FILE)
	@$(TOGETHER) $(PAGE) 127.0.0.1:$(EXCHANGE_PORT)/EXCHANGE_PORT --
	$(BIN)/python manage.py migrate prices zero --verbosity 0
	@rm -rf $(DEMO)/archive
	$(BIN)/python manage.py migrate --verbosity 0
	@echo
	@echo "  The page: http://$(HOST):$(PORT)/      Made-up trades, a new tape. Ctrl-C stops everything."
	@echo "  Its commands: $$COMMAND createsuperuser (or audit_prices, ...)"
	@echo
	@$(TOGETHER) $(PAGE) -- --no-colour --env /dev/null --procfile Procfile.demo start || [ $$? -eq 130 ]

test: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	DJANGO_SETTINGS_MODULE=tracker.settings_for_tests $(BIN)/python manage.py check
	DJANGO_SETTINGS_MODULE=tracker.settings_for_tests $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/pytest --numprocesses=4 --dist=worksteal

# Everything goes wrong, for five minutes: CHAOS_SECONDS=3600 for an hour. Then 200 new schedules of the simulation; a
# failure names its seed: SIMULATION_SEEDS=7 make chaos repeats it, SIMULATION_SEEDS=0-999 runs a thousand.
chaos: export CHAOS_SECONDS ?= 300
chaos: install-dev
	$(BIN)/pytest prices/tests/test_chaos.py --capture=no
	SIMULATION_SEEDS=$${SIMULATION_SEEDS:-$$($(BIN)/python -c 'from random import randrange as r; n = r(10**9); print(f"{n}-{n + 199}")')} \
		$(BIN)/pytest prices/tests/simulation --numprocesses=2 --quiet

# Every benchmark, one after another, each with an empty database of its own; then the report, docs/benchmarks.md.
bench: install-dev
	$(BIN)/python benchmarks/report.py

screenshots: install-dev
	$(BIN)/python docs/screenshots.py

install: .venv/installed

install-dev: .venv/installed-dev

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.txt
	@echo "Installing into .venv (a minute or two, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

.venv/installed-dev: .venv/bin/python requirements.txt requirements-dev.txt
	@echo "Installing into .venv (a minute or two, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@ .venv/installed

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
