# One virtual environment serves everything; a second run reuses it.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
OLDEST = .venv-oldest
WHEEL = .venv-wheel

# Of the study: the data set (busbra, ddti, tn5000 or table), its folder, and that of its networks.
DATASET ?= busbra
DATA ?=
MODELS ?= out/models
STUDY = PYTHONPATH="notebooks$${PYTHONPATH:+:$$PYTHONPATH}" $(BIN)/python -m

# The tests run in two processes, each with one thread of torch, and those of a file in one of them:
# they share what its fixtures make. Compiled tests are kept, whatever the environment says: each
# process reads them all, and compiling takes it five seconds.
PYTEST_OPTIONS = --numprocesses 2 --dist loadfile --no-loadscope-reorder
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_OPTIONS)

.DEFAULT_GOAL := help
.PHONY: help demo test coverage test-fast test-oldest fuzz zoo lint notebooks pictures study study-grid study-imagenet study-train \
	needs-data compare bench bench-run docs dist clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "%-13s %s\n", $$1, $$2 }'

demo: $(STAMP)  ## Run Clustered-CAM and Grad-CAM on photographs, into out/demo
	$(BIN)/captum-clustered demo --out out/demo

test: $(STAMP)  ## Run all tests
	$(PYTEST) $(ARGS)

coverage: $(STAMP)  ## Run all tests and list the lines that none runs
	$(PYTEST) --cov --cov-report=term

test-fast: $(STAMP)  ## Run the tests of the core, the metrics and the figures: the inner loop
	$(PYTEST) tests/test_*.py tests/clustering tests/ablation tests/behavior tests/metrics tests/visualization $(ARGS)

fuzz: $(STAMP)  ## Half an hour of random networks, a minute of threads: new ones each time
	FUZZ_SECONDS=1800 THREAD_SECONDS=60 $(PYTEST) tests/fuzz $(ARGS)

zoo: $(STAMP)  ## Check published architectures of six libraries and write docs/zoo.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[zoo]"
	PYTHONPATH=benchmarks $(BIN)/python -m zoo $(ARGS)

lint: $(STAMP)  ## Check style, import order, dependencies and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/deptry captum_clustered
	$(BIN)/mypy

notebooks: $(STAMP)  ## Run the notebooks and keep their output
	$(BIN)/python notebooks/execute.py

pictures: $(STAMP)  ## Draw the pictures of README and docs, into docs/images
	$(BIN)/python docs/pictures.py
	PYTHONPATH=benchmarks $(BIN)/python docs/report_pictures.py

study-train: needs-data $(STAMP)  ## Train a network of the study on DATA, into MODELS
	$(STUDY) study.train --dataset "$(DATASET)" --data "$(DATA)" --out "$(MODELS)" $(ARGS)

study: needs-data $(STAMP)  ## Compare methods on DATA with the networks in MODELS, into out/study
	$(STUDY) study.run --dataset "$(DATASET)" --data "$(DATA)" --models "$(MODELS)" $(ARGS)

study-imagenet: $(STAMP)  ## Compare methods on photographs with ImageNet networks, into out/imagenet
	$(STUDY) study.imagenet $(ARGS)

study-grid: needs-data $(STAMP)  ## Compare the variants that the defaults were chosen from, into out/grid
	$(STUDY) study.grid --dataset "$(DATASET)" --data "$(DATA)" --models "$(MODELS)" $(ARGS)

needs-data:
	@test -n "$(DATA)" || { echo "Which data? make study DATASET=busbra DATA=path/to/BUSBRA; docs/study.md says which data sets there are." >&2; exit 2; }

compare: $(STAMP)  ## Compare methods and controls on photographs, into out/compare
	$(BIN)/python benchmarks/compare_photographs.py $(ARGS)

bench: $(STAMP)  ## Measure the time of a CAM as a multiple of a forward pass
	PYTHONPATH=benchmarks $(BIN)/python -m speed $(ARGS)

bench-run: needs-data $(STAMP)  ## Measure time, memory and restarts of a run over the images in DATA
	PYTHONPATH=benchmarks:notebooks $(BIN)/python -m whole_data --data "$(DATA)" --models "$(MODELS)" $(ARGS)

docs: $(STAMP)  ## Build the documentation site into out/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-oldest: $(OLDEST)/.installed  ## Run all tests with the oldest supported dependencies
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest $(PYTEST_OPTIONS)

dist: $(STAMP)  ## Build wheel and sdist into dist, and test the wheel in a fresh environment
	rm -rf dist build
	$(BIN)/python -m build --outdir dist
	rm -rf $(WHEEL) && $(PYTHON) -m venv $(WHEEL)
	$(WHEEL)/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[cli]"
	cd dist && ../$(WHEEL)/bin/python ../tests/project/check_wheel.py

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV) || { echo "Creating a virtual environment failed: is Python's venv module installed?" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo,test,lint,notebooks,photographs,study,docs]"
	touch $@

$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[test]" \
		captum==0.8.0 torch==2.6.0 torchvision==0.21.0 numpy==1.26.4 scikit-learn==1.5.2 pyarrow==17.0.0
	touch $@

clean:  ## Remove the virtual environments and everything that was built
	rm -rf $(VENV) $(OLDEST) $(WHEEL) build dist out
