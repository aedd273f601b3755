# The two commands of the README. Each does all of its set-up on a fresh machine, then the work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := forecasting-demo

# The demo must not reach a server, cloud or database that you have configured, nor leave anything outside this folder.
CLEAN_ENV = for name in $$(env | sed -n 's/^\(PREFECT_[A-Z_]*\|FORECASTING_[A-Z_]*\)=.*/\1/p'); do unset $$name; done; \
	export PREFECT_HOME="$(CURDIR)/$(DATA)/prefect" PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 \
	FORECASTING_DATA_DIR="$(DATA)" FORECASTING_SOURCE=sample

.PHONY: demo check test lint format clean

demo: $(VENV)/.installed
	@$(CLEAN_ENV); \
	$(BIN)/forecasting db upgrade && \
	$(BIN)/forecasting catch-up --from 2018-10-31 --to 2018-12-28 && \
	$(BIN)/forecasting run

check: lint
	$(BIN)/pytest -m "not slow" -n auto

test: lint
	$(BIN)/pytest -n auto

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DATA) build dist *.egg-info

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	"Python 3.11, 3.12 or 3.13 is needed; %s is %d.%d. Try: make PYTHON=python3.12 demo" % (sys.executable, v[0], v[1]))'
	@echo "Making $(VENV) and installing into it; this takes a minute or two."
	$(PYTHON) -m venv $(VENV)
	@PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@
