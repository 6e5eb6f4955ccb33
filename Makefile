# make demo | check | test | slow | outside | lint | coverage | mutants need only Python 3.11 or
# later; each makes .venv and installs into it.

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

.PHONY: demo check test slow outside oldest newest lint coverage mutants benchmark experiments clean

demo: $(VENV)/.all
	$(BIN)/regjax sweep --out runs/demo --overwrite

# Compiling is most of the time of the tests: LLVM's costly passes are left out, and XLA's emitters of
# fused kernels, which take longer to compile. Optimized programs are tested in make slow.
QUICK_COMPILE := JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS=--xla_cpu_use_fusion_emitters=false

# What an edit of the core breaks first, in less than a minute. The files are named, since collecting
# all takes longer than some of them.
CORE := house conventions masks mask_rules tables regression_refusals paths_inputs paths \
	multi_task sweep_grid ridge_closed_form penalty_values compilation_cache

check: $(VENV)/.lint
	$(BIN)/ruff check .
	$(QUICK_COMPILE) $(BIN)/python -m pytest -n 2 --dist loadfile -q -m 'not slow' $(CORE:%=tests/test_%.py)

test: $(VENV)/.test
	$(QUICK_COMPILE) $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow' $(TESTS)

# Sweeps that are killed time and again, clusters that lose a machine, experiments that train, all
# notebooks; then the numerics once more as users run them, with all optimizations.
OPTIMIZED := penalty_values proximal_gradient prox_adam decay lanes paths_traced regression

# These take a core and more each: two at a time would disturb each other.
ALONE := $(wildcard $(patsubst %,tests/test_%.py,cli_train folders notebooks sweep_faults sweep_ray experiments*))

slow: $(VENV)/.test
	$(QUICK_COMPILE) $(BIN)/python -m pytest -m slow $(ALONE)
	$(QUICK_COMPILE) $(BIN)/python -m pytest -n 2 --dist load -m slow $(filter-out $(ALONE),$(wildcard tests/test_*.py))
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow' $(OPTIMIZED:%=tests/test_%.py)

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

# The lines of the package that make test does not run.
coverage: $(VENV)/.test
	$(QUICK_COMPILE) $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow' --cov --cov-report=term-missing:skip-covered $(TESTS)

# Single-line breaks, and which test notices (tests/mutants/results.md); WHICH names areas or mutants.
mutants: $(VENV)/.test
	nice $(BIN)/python -m tests.mutants --workers 2 $(WHICH)

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
