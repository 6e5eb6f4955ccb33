# make demo | test | slow | outside | lint need only Python 3.11 or later; each makes .venv and
# installs into it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTS ?=

# What `oldest` and `newest` run: all that needs no other framework and no cluster.
CORE_TESTS := $(addprefix tests/test_,$(addsuffix .py,\
	house conventions masked_penalties penalty_values penalty_sums penalty_faults \
	penalty_lambda_max group_lasso decay cautious_decay target_norm proximal diagnostics least_squares \
	ridge_closed_form regression regression_refusals paths paths_cv paths_goldens paths_inputs ridge_cv \
	multi_task sklearn tables parquet fits sweep_grid sweep_shards lanes plots plots_path cli cli_fits))

.PHONY: demo test slow outside oldest newest lint benchmark experiments clean

demo: $(VENV)/.all
	$(BIN)/regjax sweep --out runs/demo --overwrite

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 -m 'not slow' $(TESTS)

# Sweeps that are killed time and again, clusters that lose a machine, experiments that train, all
# notebooks.
slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow tests

# scikit-learn's own tests on the drop-ins.
outside: $(VENV)/.test
	$(BIN)/python -m tests.outside --check --workers 2

# The core of the tests with the lower bounds of pyproject.toml, and with the newest of everything on
# the newest Python found. Warnings are errors where they come from this package.
oldest: VERSION := 3.11
oldest: RESOLUTION := lowest-direct
newest: RESOLUTION := highest
oldest newest: %: pyproject.toml
	$$(.ci/python $(VERSION)) -m venv --clear $(VENV)-$@
	$(VENV)-$@/bin/python -m pip --disable-pip-version-check --quiet install uv
	$(VENV)-$@/bin/uv pip install --quiet --python $(VENV)-$@ --resolution $(RESOLUTION) --editable '.[check]'
	$(VENV)-$@/bin/python -m pytest -n 2 -m 'not slow' -o 'filterwarnings=error:::regjax' $(CORE_TESTS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/.all
	$(BIN)/python -m benchmarks.main_job

# Every published claim at its full size, and experiments/RESULTS.md.
experiments: $(VENV)/.all
	$(BIN)/python -m experiments

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest .cache runs

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "regjax needs Python 3.11 or later; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# A stamp per set of extras: a newer pyproject or constraints file installs again.
$(VENV)/.all $(VENV)/.test $(VENV)/.lint: $(VENV)/.%: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[$*]'
	touch $@

# Types are checked against everything the package imports.
$(VENV)/.lint: $(VENV)/.test
