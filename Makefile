# On a fresh machine with Python 3.11 or later: make demo, make test. Both prepare .venv first.

NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python $(NEW_ENOUGH) 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE # demo and tests start many processes, which load the same modules

.PHONY: install demo audit example dev docs test lint faults fuzz bench lock clean

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@$(or $(PYTHON),false) $(NEW_ENOUGH) || { echo "error: Python 3.11 or later is needed: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip --disable-pip-version-check check >/dev/null
	@touch $@

demo: install
	@$(BIN)/reminder-worker demo

# Who learns what of a reminder, measured: the whole system with planted facts, and everything searched.
audit: install
	@$(BIN)/reminder-worker audit

# A booking platform that cannot read its appointments, with reminders that work; prints where to look. Ctrl-C ends it.
example: install
	@$(BIN)/python -m examples.booking

# All processes of the Procfile, with the settings that are here.
dev: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start

# Everything that parses foreign bytes, with atheris, which comes for some versions of Python only.
SECONDS ?= 60
fuzz: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3"
	$(BIN)/python -m tests.fuzz --all --seconds $(SECONDS)

# Pages that are made from the code.
docs: install
	$(BIN)/python docs/build_settings.py
	$(BIN)/python -m benchmarks.sizing
	$(BIN)/python -m benchmarks.country

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Most tests wait more than they compute, so there are more processes than cores; a file stays together, the longest
# begin (tests/conftest.py). They start thousands of processes: of those that fail three may try once more, and are shown.
TEST_PROCESSES ?= 4
test: lint
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder \
		--reruns 1 --reruns-delay 5 --max-suite-reruns 3 --rerun-show-tracebacks

# Slow: thousands of reminders within a minute, while their processes and then the store too are killed, and through
# providers that lie, die and contradict themselves; a store that is put back, an upgrade and a rollback under load; then
# the HTTP API, in bad hands and with bad luck; then a hundred leaks, each planted into a copy of its own, for the audit
# to find; then two hours with a Prometheus, a healthy one and one of faults.
faults: install
	$(BIN)/python -m tests.faults.kills --reminders 20000 --kills 10
	$(BIN)/python -m tests.faults.kills --reminders 5000 --kills 12 --window 40 --store
	$(BIN)/python -m tests.faults.providers --reminders 5000 --horizon
	$(BIN)/python -m tests.faults.requests --requests 20000
	$(BIN)/python -m tests.faults.abuse
	$(BIN)/python -m tests.faults.retries --clients 1000 --references 1000
	$(BIN)/python -m tests.faults.gateway --rounds 20
	$(BIN)/python -m tests.faults.races --appointments 2000
	$(BIN)/python -m tests.faults.events --events 2000 --kills 12
	$(BIN)/python -m tests.faults.restore --reminders 2000
	$(BIN)/python -m tests.faults.restore --reminders 2000 --mode forgotten
	$(BIN)/python -m tests.faults.upgrade --reminders 2000
	$(BIN)/python -m tests.faults.engines sentinel
	$(BIN)/python -m tests.faults.engines cluster
	$(BIN)/python -m tests.faults.engines rabbitmq
	$(BIN)/python -m tests.faults.engines address
	$(BIN)/python -m tests.faults.storms --reminders 2000 --window 40
	$(BIN)/python -m tests.faults.storms --reminders 10000 --window 180 --only "all of it"
	$(BIN)/python -m tests.faults.outage --overdue 50000 --rate 300
	$(BIN)/python -m tests.faults.outage --overdue 2000 --rate 30 --provider untold
	$(BIN)/python -m tests.faults.outage --overdue 2000 --rate 30 --provider away
	$(BIN)/python -m tests.faults.leaks --jobs 2
	$(BIN)/python -m tests.faults.alarms --healthy --faults

# Slow too: how fast, beside others and beside limits; into docs/benchmarks.md, docs/capacity.md, docs/scaling.md.
bench: install .venv-peers/installed
	$(BIN)/python -m benchmarks.adding --write
	$(BIN)/python -m benchmarks.bursting --write
	$(BIN)/python -m pip install --quiet py-spy
	-PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.profiling --write
	$(BIN)/python -m benchmarks.lateness --write
	$(BIN)/python -m benchmarks.calling --write
	$(BIN)/python -m benchmarks.serving --write
	$(BIN)/python -m benchmarks.starting --write
	$(BIN)/python -m benchmarks.capacity --runs 5 --write
	$(BIN)/python -m benchmarks.country

.venv-peers/installed: benchmarks/peers/requirements.lock benchmarks/peers/package-lock.json
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	-npm ci --prefix benchmarks/peers --no-audit --no-fund --silent
	@touch $@

# Renews the locked versions.
lock: install
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra aws --extra messagebird --extra rabbitmq --extra smpp --extra twilio \
		--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --constraint requirements.lock \
		--output-file ops/container/run.lock
	echo hatchling | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint requirements.lock --output-file ops/container/build.lock
	$(BIN)/uv pip compile benchmarks/peers/requirements.txt --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --upgrade --output-file benchmarks/peers/requirements.lock

clean:
	rm -rf .venv .venv-peers .mypy_cache .pytest_cache .ruff_cache .hypothesis
