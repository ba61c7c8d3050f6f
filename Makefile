# Every target sets up what it needs: a virtual environment with the requirements.
PYTHON ?= python3.11
VENV ?= .venv
RUN = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed

.PHONY: help demo test test-slow lint format clean

help:
	@echo "make demo       tailor the shipped network to handwritten digits, a few minutes"
	@echo "make test       style checks and fast tests"
	@echo "make test-slow  tests with real images and minutes of training"
	@echo "make format     format the code"
	@echo "make clean      remove the virtual environment"

$(INSTALLED): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

demo: $(INSTALLED)
	$(RUN) -m pipelines.tailor --flagfile=pipelines/flags/digits.txt --workdir=runs/digits

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-logo --no-cache

test: lint
	$(RUN) -m pytest -n auto --dist loadfile

test-slow: $(INSTALLED)
	$(RUN) -m pytest -m slow -n 2 --dist loadfile

format: $(INSTALLED)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV)
