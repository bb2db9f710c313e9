# Each target does its own set-up: system packages, virtual environment, Python packages. What is done is not done again.
#
#   make demo       train with RPD and with PPO on ManiSkill2, compare with the teacher (results in runs/demo)
#   make test       the tests                          make test-sb3   SB3's and sb3-contrib's own tests, with RPD in place of PPO
#   make test-newest         the tests without the simulator, on Python 3.12 with the newest numpy, torch and all else
#   make test-transformers   OpenVLATeacher's tests with the lowest release of transformers that it works on
#   make test-maniskill3     the tests with the simulator ManiSkill3
#   make test-lerobot        demonstrations, read and written by the library LeRobot (some GB)
#   make commit-checks       what to run before a commit: format, lint, type, and the tests that take seconds
#   make lint       ruff                               make format     let ruff repair what it can
#   make type       mypy                               make doc        the documentation, in docs/_build/html
#   make dist       the packages of a release, in dist, checked
#   make bench      the benchmarks that the documentation quotes (records in RECORDS=runs/bench; SB3_DISTILL=FOLDER, a copy of
#                   sb3_distill, compares with that as well, and after `make sbx` with SBX)
#   make vla        a small vision-language-action model from nothing: recorded, trained, evaluated (VLA_ARGS=..., in runs/vla)
#   make closed-loop  a student of such a model shows what it does, and the model learns from it (LOOP_ARGS=..., in runs/closed-loop)
#   make evidence   the runs behind docs/results that are missing, then the report (SUITES=fast, PROCESSES=2, EVIDENCE_ARGS=...)
#   make clean      remove the virtual environment and everything built

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-newest test-sb3 test-transformers test-maniskill3 test-lerobot commit-checks lint format type doc dist sbx bench vla closed-loop evidence clean

PYTHON ?= python3
VENV ?= .venv
# The release that is tested here. On a machine without a GPU, PyTorch's CPU build is enough and far smaller:
# `make test TORCH="torch --index-url <PyTorch's CPU index>"`.
TORCH ?= torch==2.13.0

BIN := $(VENV)/bin
PIP_INSTALL := -m pip --disable-pip-version-check install
WITHOUT_SIMULATOR := not maniskill2 and not rendering
CHECKED := sb3_rpd tests examples benchmarks experiments docs
BENCHMARKS := recurrent_speed rollout_memory label_overlap env_overhead teacher_frames frame_cost openvla_throughput process_teacher

# Small tensors: a second thread gains nothing and costs a lot as soon as the cores are busy.
export OMP_NUM_THREADS ?= 1

help:
	@sed -n 's/^#   //p' $(MAKEFILE_LIST)

# ---- set-up: one stamp for each step, all of them inside the virtual environment ---------------------------------------------

$(VENV)/.system: scripts/install_system_packages.sh
	scripts/install_system_packages.sh
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 11) or sys.exit(f"ManiSkill2 needs Python 3.10 or 3.11, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.torch: $(VENV)/.system
	$(BIN)/python $(PIP_INSTALL) $(TORCH)
	touch $@

# $(VENV)/.extra-NAME: the package itself, editable, with the extra NAME. ManiSkill2's bounds hold for all of them.
$(VENV)/.extra-%: $(VENV)/.torch setup.cfg pyproject.toml
	scripts/install_editable.sh $(BIN)/python ".[maniskill2,$*]"
	touch $@

# The tests run the examples.
$(VENV)/.extra-tests: $(VENV)/.extra-extra

# ---- targets ------------------------------------------------------------------------------------------------------------------

demo: $(VENV)/.extra-extra
	$(BIN)/python examples/maniskill2_demo.py $(DEMO_ARGS)

test: $(VENV)/.extra-tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-sb3: $(VENV)/.extra-sb3-suite
	$(BIN)/python tests/sb3_suite/run.py $(SUITE_ARGS)

# What `pip install .` gives today. In a virtual environment of its own, since the simulator holds back Python and numpy.
NEWEST_PYTHON ?= $(shell scripts/find_python.sh 3.12 $(PYTHON))
NEWEST_TORCH ?= torch
test-newest: $(VENV)-newest/.ready
	$(VENV)-newest/bin/python -m pytest -m "$(WITHOUT_SIMULATOR)" $(PYTEST_ARGS)

$(VENV)-newest/.torch:
	$(NEWEST_PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python $(PIP_INSTALL) $(NEWEST_TORCH)
	touch $@

$(VENV)-newest/.ready: $(VENV)-newest/.torch setup.cfg pyproject.toml
	scripts/install_editable.sh $(VENV)-newest/bin/python ".[tests,extra]" --upgrade --upgrade-strategy eager
	touch $@

# In a virtual environment of its own, since the others have the newest release
LOWEST_TRANSFORMERS ?= transformers==4.45.*
test-transformers: $(VENV)-transformers/.ready
	$(VENV)-transformers/bin/python -m pytest tests/teachers/openvla $(PYTEST_ARGS)

$(VENV)-transformers/.ready: $(VENV)/.system setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)-transformers
	$(VENV)-transformers/bin/python $(PIP_INSTALL) $(TORCH)
	scripts/install_editable.sh $(VENV)-transformers/bin/python ".[openvla]" pytest hypothesis "$(LOWEST_TRANSFORMERS)"
	touch $@

# In a virtual environment of its own, since it wants another sapien than ManiSkill2
test-maniskill3: $(VENV)-maniskill3/.ready
	$(VENV)-maniskill3/bin/python -m pytest tests/envs/maniskill3/test_*.py tests/envs/maniskill3/real_*.py $(PYTEST_ARGS)

$(VENV)-maniskill3/.ready: $(VENV)/.system setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)-maniskill3
	$(VENV)-maniskill3/bin/python $(PIP_INSTALL) $(TORCH)
	scripts/install_editable.sh $(VENV)-maniskill3/bin/python ".[maniskill3]" pytest pytest-timeout hypothesis
	touch $@

# Not a part of CI: it takes several GB. In a virtual environment of its own, since it wants an older torch
LEROBOT ?= lerobot==0.4.4
test-lerobot: $(VENV)-lerobot/.ready
	$(VENV)-lerobot/bin/python -m pytest tests/demonstrations/real_lerobot.py $(PYTEST_ARGS)

$(VENV)-lerobot/.ready: $(VENV)/.system setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)-lerobot
	scripts/install_editable.sh $(VENV)-lerobot/bin/python ".[demonstrations]" "$(LEROBOT)" pytest pytest-timeout hypothesis
	touch $@

# One after the other, even with `make --jobs`: what ruff repairs is what is checked.
commit-checks: $(VENV)/.extra-tests
	$(MAKE) format
	$(MAKE) lint
	$(MAKE) type
	$(BIN)/python -m pytest -m "not slow and $(WITHOUT_SIMULATOR)" $(PYTEST_ARGS)

lint: $(VENV)/.extra-lint
	$(BIN)/pre-commit validate-config
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)

format: $(VENV)/.extra-lint
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

type: $(VENV)/.extra-lint
	$(BIN)/mypy

doc: $(VENV)/.extra-docs
	$(BIN)/python -m sphinx -E -W --keep-going -n -b html docs docs/_build/html

dist: $(VENV)/.extra-dist
	rm -rf build dist
	scripts/copy_sources.sh build/sources
	$(BIN)/python -m build build/sources --outdir dist
	$(BIN)/twine check --strict dist/*

# SBX, for a row of training_speed. In a virtual environment of its own, because JAX wants a newer numpy than the simulator
sbx: $(VENV)-sbx/.ready

$(VENV)-sbx/.ready: $(VENV)/.system
	$(PYTHON) -m venv $(VENV)-sbx
	$(VENV)-sbx/bin/python $(PIP_INSTALL) $(TORCH)
	$(VENV)-sbx/bin/python $(PIP_INSTALL) sbx-rl
	touch $@

RECORDS ?= runs/bench
bench: $(VENV)/.extra-extra $(VENV)/.extra-openvla $(VENV)/.extra-contrib
	mkdir -p $(RECORDS)
	$(BIN)/python benchmarks/training_speed.py --json $(RECORDS)/training_speed.json $(if $(SB3_DISTILL),--ppd $(SB3_DISTILL)) \
		$(if $(wildcard $(VENV)-sbx/.ready),--sbx $(VENV)-sbx/bin/python)
	for benchmark in $(BENCHMARKS); do $(BIN)/python benchmarks/$$benchmark.py --json $(RECORDS)/$$benchmark.json; done

# It may be ended and started again at any time
vla: $(VENV)/.extra-demonstrations $(VENV)/.extra-finetuning
	$(BIN)/python -m experiments.vla --to runs/vla $(VLA_ARGS)

# It may be ended and started again at any time
closed-loop: $(VENV)/.extra-demonstrations $(VENV)/.extra-finetuning $(VENV)/.extra-train
	$(BIN)/python -m experiments.vla.closed_loop --to runs/closed-loop $(LOOP_ARGS)

SUITES ?= fast maniskill2
PROCESSES ?= 1
# Days, from nothing; it may be ended and started again at any time
evidence: $(VENV)/.extra-extra
	for suite in $(SUITES); do $(BIN)/python -m experiments.run $$suite --processes $(PROCESSES) $(EVIDENCE_ARGS); done
	$(BIN)/python -m experiments.report

clean:
	rm -rf .venv .venv-newest .venv-transformers .venv-maniskill3 .venv-lerobot .venv-sbx build dist docs/_build runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
