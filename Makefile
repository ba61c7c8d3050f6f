# Every target sets up what it needs: a virtual environment with the requirements.
# The newest of these that the machine has and that makes virtual environments.
PYTHONS = python3.13 python3.12 python3.11
CAN_BE_USED = -c "import ensurepip" 2>/dev/null
PYTHON ?= $(or $(shell for p in $(PYTHONS); do $$p $(CAN_BE_USED) && echo $$p && break; done),python3.11)
VENV ?= .venv
RUN = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed
# make REQUIREMENTS=requirements.txt installs the newest versions that fit, without checksums.
REQUIREMENTS ?= requirements.lock
# The program that writes requirements.lock, in an environment of its own.
UV = uv==0.13.9
LOCKER = $(VENV)/lock

.PHONY: help demo test test-slow lint format lock clean

help:
	@echo "make demo       tailor the shipped network to handwritten digits, a few minutes"
	@echo "make test       style checks and fast tests"
	@echo "make test-slow  tests with real images and minutes of training"
	@echo "make format     format the code"
	@echo "make lock       write requirements.lock anew, with the newest versions that fit"
	@echo "make clean      remove the virtual environment"

$(INSTALLED): $(REQUIREMENTS)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
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

lock:
	$(PYTHON) -m venv $(LOCKER)
	$(LOCKER)/bin/pip install --quiet --disable-pip-version-check $(UV)
	@head -2 requirements.lock > $(LOCKER)/head
	$(LOCKER)/bin/uv pip compile --quiet --upgrade --universal --generate-hashes \
		--python-version 3.11 --no-annotate --no-header \
		--output-file $(LOCKER)/requirements requirements.txt
	cat $(LOCKER)/head $(LOCKER)/requirements > requirements.lock

clean:
	rm -rf $(VENV)
