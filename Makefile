# The two commands of the README. Each does all of its set-up on a fresh machine, then the work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)-tools
LOCKS := deploy/locks
# Every package is installed from there by hash, but torch by its version: which build the machine's index has, with CUDA
# or without, is the machine's choice. From an index of builds without CUDA (deploy/README.md), by hash too:
#   make TORCH="--no-deps --require-hashes --index-url $TORCH_INDEX_URL -r deploy/locks/torch-cpu.lock"
TORCH ?= $(shell sed -n 's/^\(torch==[0-9.]*\).*/\1/p' $(LOCKS)/torch-cpu.lock)
# Without --no-compile half of an install would compile 19,000 modules; Python compiles the quarter that is used, once.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet --no-compile --no-cache-dir
# A sixth of pip's time; pip follows where uv cannot reach a package: it alone reads pip's own settings of mirrors.
UV := $(BIN)/uv pip install --quiet --no-cache --python $(BIN)/python
HASHED := --no-deps --require-hashes --requirement
# In a folder of another Python venv mixes both; in one whose Python is gone it fails.
MINOR := -c 'import sys; print(sys.version_info[:2])'
environment = { [ "$$($(1)/bin/python $(MINOR) 2>/dev/null)" = "$$($(PYTHON) $(MINOR))" ] || rm -rf $(1); } \
	&& $(PYTHON) -m venv $(1)
locked = ($(UV) $(HASHED) $(1) || $(PIP) $(HASHED) $(1))
unexport PYTHONDONTWRITEBYTECODE
DATA := forecasting-demo

# The demo must not reach a server, cloud or database that you have configured, nor leave anything outside this folder.
CLEAN_ENV = for name in $$(env | sed -n 's/^\(PREFECT_[A-Z_]*\|FORECASTING_[A-Z_]*\)=.*/\1/p'); do unset $$name; done; \
	export PREFECT_HOME="$(CURDIR)/$(DATA)/prefect" PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 \
	FORECASTING_DATA_DIR="$(DATA)" FORECASTING_SOURCE=sample

# Prefect's, at a free port and with a password, until the shell ends. It takes half a minute to start, during which the
# past nights are made without it.
OWN_SERVER = mkdir -p $$PREFECT_HOME; port=$$($(BIN)/python -c "import socket; print(socket.create_server(('127.0.0.1', 0)).getsockname()[1])"); \
	export PREFECT_SERVER_API_PORT=$$port PREFECT_API_URL=http://127.0.0.1:$$port/api; \
	export PREFECT_API_AUTH_STRING=admin:$$($(BIN)/python -c "import secrets; print(secrets.token_hex(16))"); \
	export PREFECT_SERVER_API_AUTH_STRING=$$PREFECT_API_AUTH_STRING; trap '$(BIN)/prefect server stop > /dev/null' EXIT INT; \
	PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL=CRITICAL $(BIN)/prefect server start --background > /dev/null

.PHONY: demo check test lint format lock audit sbom dist mutants picture clean

demo: $(VENV)/.installed
	@$(CLEAN_ENV); $(OWN_SERVER) && \
	env -u PREFECT_API_URL $(BIN)/forecasting catch-up --from 2018-09-19 --to 2018-12-28 --refit-every 35 && \
	$(BIN)/prefect server status --wait --timeout 300 > /dev/null && $(BIN)/forecasting run && \
	echo && echo "The forecasts again, and Prefect's record of the newest night on http://127.0.0.1:4200:" && \
	echo "FORECASTING_DATA_DIR=$(DATA) FORECASTING_SOURCE=sample $(BIN)/forecasting show" && \
	echo "PREFECT_HOME=$(DATA)/prefect $(BIN)/prefect server start"

check: lint
	$(BIN)/pytest -m "not slow" -n auto --dist loadfile

test: lint
	$(BIN)/pytest -n auto --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPY_NUM_WORKERS=2 $(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The newest releases within the ranges of pyproject.toml: make lock UPGRADE=--upgrade. Torch and CUDA: see TORCH above.
lock: $(TOOLS)/.installed
	$(TOOLS)/bin/uv lock $(UPGRADE)
	@without="$$(sed -nE 's/^name = "(torch|triton|cuda-.*|nvidia-.*)"$$/--no-emit-package \1/p' uv.lock)"; \
	export="$(TOOLS)/bin/uv export --quiet --frozen --no-emit-project --no-header --no-annotate"; \
	about='# Made by `make lock` from uv.lock; for pip install --no-deps --require-hashes --requirement'; \
	(echo "$$about" && $$export --no-default-groups --group build --extra dask $$without) > $(LOCKS)/runtime.lock && \
	(echo "$$about" && $$export --no-default-groups --group build --extra dask --extra dev $$without) > $(LOCKS)/development.lock && \
	(echo "$$about" && $$export --only-group installer) > $(LOCKS)/installer.lock && \
	(echo "$$about" && $$export --only-group tools) > $(LOCKS)/tools.lock && \
	(echo "$$about" && $$export --only-group mutation) > $(LOCKS)/mutation.lock
	@compile="$(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate pyproject.toml"; \
	about='# Made by `make lock`; for pip install --constraint'; \
	(echo "$$about" && $$compile --resolution lowest-direct) > $(LOCKS)/oldest.txt && \
	(echo "$$about" && $$compile) > $(LOCKS)/newest.txt

# Known advisories of the locked packages; needs a network that reaches PyPI itself.
audit: $(TOOLS)/.installed
	$(TOOLS)/bin/python $(LOCKS)/audit.py

sbom: $(TOOLS)/.installed
	$(TOOLS)/bin/python $(LOCKS)/sbom.py

# What a release consists of; the build backend by hash too.
dist: sbom
	$(TOOLS)/bin/uv build --quiet --build-constraints $(LOCKS)/runtime.lock --require-hashes --out-dir dist

# Small changes of the code that no test notices (docs/reliability.md); ONLY='forecasting.evaluate.scores*' for some of them.
mutants: $(VENV)/.installed-mutation
	rm -rf mutants
	nice -n 10 $(BIN)/mutmut run $(if $(ONLY),'$(ONLY)')
	$(BIN)/mutmut results && $(BIN)/mutmut export-cicd-stats && cat mutants/mutmut-cicd-stats.json

# The picture of the README, of the demo's page.
picture:
	chromium --headless --hide-scrollbars --screenshot=docs/page.png --window-size=1100,980 $(DATA)/reports/_GSPC-volume.html

clean:
	rm -rf $(VENV) $(TOOLS) $(DATA) build dist mutants *.egg-info

$(VENV)/.installed: pyproject.toml $(LOCKS)/installer.lock $(LOCKS)/runtime.lock $(LOCKS)/torch-cpu.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	"Python 3.11, 3.12 or 3.13 is needed; %s is %d.%d. Try: make PYTHON=python3.12 demo" % (sys.executable, v[0], v[1]))'
	@echo "Making $(VENV) and installing into it; this takes a minute or two."
	@$(call environment,$(VENV))
	@$(PIP) $(HASHED) $(LOCKS)/installer.lock
	@$(call locked,$(LOCKS)/runtime.lock)
	@$(PIP) $(TORCH)
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed $(LOCKS)/development.lock
	@$(call locked,$(LOCKS)/development.lock)
	@touch $@

$(VENV)/.installed-mutation: $(VENV)/.installed-dev $(LOCKS)/mutation.lock
	@$(call locked,$(LOCKS)/mutation.lock)
	@touch $@

$(TOOLS)/.installed: $(LOCKS)/tools.lock
	@$(call environment,$(TOOLS))
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(TOOLS)/bin/pip install --quiet --no-compile $(HASHED) $(LOCKS)/tools.lock
	@touch $@
