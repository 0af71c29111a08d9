# One virtual environment serves everything; a second run reuses it.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
OLDEST = .venv-oldest

# Of the study: the folder of BUS-BRA, and the one of its networks.
DATA ?=
MODELS ?= out/models
STUDY = PYTHONPATH="notebooks$${PYTHONPATH:+:$$PYTHONPATH}" $(BIN)/python -m

.PHONY: demo test test-oldest lint notebooks pictures study study-grid study-train needs-data compare bench bench-run docs clean

demo: $(STAMP)  ## Clustered-CAM and Grad-CAM on two photographs, into out/demo
	$(BIN)/captum-clustered demo --out out/demo

test: $(STAMP)  ## All tests, with coverage
	$(BIN)/python -m pytest --cov --cov-report=term

lint: $(STAMP)  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: $(STAMP)  ## Runs the notebooks and keeps their output
	$(BIN)/python notebooks/execute.py

pictures: $(STAMP)  ## The pictures of README and docs, into docs/images
	$(BIN)/python docs/pictures.py

study-train: needs-data $(STAMP)  ## Trains a network of the study on DATA, into MODELS
	$(STUDY) study.train --data "$(DATA)" --out "$(MODELS)" $(ARGS)

study: needs-data $(STAMP)  ## Methods by metrics on DATA with the networks in MODELS, into out/study
	$(STUDY) study.run --data "$(DATA)" --models "$(MODELS)" $(ARGS)

study-grid: needs-data $(STAMP)  ## The variants that the defaults were chosen among, into out/grid
	$(STUDY) study.grid --data "$(DATA)" --models "$(MODELS)" $(ARGS)

needs-data:
	@test -n "$(DATA)" || { echo "Which data? make study DATA=path/to/BUSBRA MODELS=path/to/models; docs/study.md says where to get them." >&2; exit 2; }

compare: $(STAMP)  ## Methods, controls and metrics on photographs, into out/compare
	$(BIN)/python benchmarks/compare_photographs.py $(ARGS)

bench: $(STAMP)  ## Time of a CAM as a multiple of a forward pass
	PYTHONPATH=benchmarks $(BIN)/python -m speed $(ARGS)

bench-run: needs-data $(STAMP)  ## Time, memory and restarts of a run over the images in DATA, with the network in MODELS
	PYTHONPATH=benchmarks:notebooks $(BIN)/python -m whole_data --data "$(DATA)" --models "$(MODELS)" $(ARGS)

docs: $(STAMP)  ## The documentation as a site, into out/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-oldest: $(OLDEST)/.installed  ## All tests with the oldest dependencies that we support
	$(OLDEST)/bin/python -m pytest

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV) || { echo "Creating a virtual environment failed: is Python's venv module installed?" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo,test,lint,notebooks,photographs,study,docs]"
	touch $@

$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[test]" \
		captum==0.8.0 torch==2.6.0 torchvision==0.21.0 numpy==1.26.4 scikit-learn==1.5.2 pyarrow==17.0.0
	touch $@

clean:
	rm -rf $(VENV) $(OLDEST) out
