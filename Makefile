# The commands of Tidewire. Each does the set-up that it needs; none needs root.
# Kept to what GNU make 3.81 knows, which macOS has.

PYTHON ?= python3
STAGE ?= dev
UV_VERSION := 0.13.9
PORT ?= 8080
BACKEND ?= emulator

VENV := .venv
BIN := $(VENV)/bin
STAMPS := .local/setup
READY := $(STAMPS)/tools $(STAMPS)/python $(STAMPS)/emulator $(STAMPS)/node

# Some containers set it. Without bytecode, Python compiles aws-cdk-lib anew each time: 5 s a synthesis.
unexport PYTHONDONTWRITEBYTECODE

CODE := app.py bench clients/python/src functions infra localstack shared tools

BESIDE := test-process test-integration test-browser test-own-stacks test-centrifugo
ALONE := test-fuzz test-torture

.PHONY: run test $(BESIDE) $(ALONE) check check-types check-rest docs sbom bench torture fuzz deploy-set-up deploy destroy format generate build clean
.DEFAULT_GOAL := run

run: $(READY) web/dist/demo/index.html
	@PORT=$(PORT) BACKEND=$(BACKEND) exec $(BIN)/python -m localstack

# Three side by side, the longest first: those on a stack wait half of their time, and what needs none takes what they
# leave. Then, one after the other, what takes all that there is: the fuzzer has a stack that nobody has sent anything
# unreadable to (it comes again for half an hour), and the run that does its worst to it one of its own. What each has
# said comes when it is done; meanwhile it is in .local/test.
SHORT_RUN := tests/torture/test_run.py
OWN_STACKS := $(addprefix tests/integration/test_,backend.py deploy.py start.py upgrade.py runbooks.py::test_a_restore)
test: $(READY) $(STAMPS)/openapi $(STAMPS)/centrifugo $(STAMPS)/site build
	@rm -rf .local/test
	@$(MAKE) --no-print-directory -k -j 3 $(BESIDE); beside=$$?; $(MAKE) --no-print-directory -k $(ALONE); \
	  status=$$(($$? | beside)); grep -hE '^ ?(FAIL|FAILED|ERROR) ' .local/test/*.log | cut -c 1-200; exit $$status

# $(call said,NAME,COMMAND)
said = mkdir -p .local/test; echo '$(1): $(2)' | tee .local/test/$(1).log; { $(2); } >> .local/test/$(1).log 2>&1; \
  status=$$?; echo "$(1): exit code $$status" >> .local/test/$(1).log; cat .local/test/$(1).log; exit $$status

# With what the others leave, a synthesis may take minutes; cut off within one, CDK's process is of no use to the next.
test-process:
	@$(call said,$@,nice $(BIN)/pytest -q -n 2 --timeout 600 tests/unit tests/contract tests/infra tests/edge tests/perf \
	  tests/torture --ignore $(SHORT_RUN) && NO_COLOR=1 nice npm test --silent)

test-integration:
	@$(call said,$@,$(BIN)/pytest -q tests/integration $(OWN_STACKS:%=--deselect %))

test-own-stacks:
	@$(call said,$@,$(BIN)/pytest -q $(OWN_STACKS))

test-browser:
	@$(call said,$@,$(BIN)/pytest -q tests/clients tests/e2e tests/docs)

test-fuzz:
	@$(call said,$@,$(BIN)/pytest -q tests/fuzz tests/openapi)

test-torture:
	@$(call said,$@,$(BIN)/pytest -q $(SHORT_RUN))

test-centrifugo:
	@$(call said,$@,$(BIN)/pytest -q tests/centrifugo)

# mypy takes as long as all the others.
check: $(READY)
	@$(MAKE) --no-print-directory -j 2 check-types check-rest docs

# The site, into .local/site: strict, so a link or an anchor that leads nowhere fails it. NO_MKDOCS_2_WARNING: the theme's
# advertisement of what will come after it.
SITE := tools/site
docs: $(STAMPS)/site .local/typedoc/modules.md
	NO_MKDOCS_2_WARNING=1 $(SITE)/.venv/bin/mkdocs build

.local/typedoc/modules.md: $(STAMPS)/site $(SITE)/typedoc.json $(wildcard clients/js/src/*.ts clients/js/src/*/*.ts)
	$(SITE)/node_modules/.bin/typedoc --options $(SITE) --logLevel Warn
	@touch $@

check-types:
	$(BIN)/mypy

check-rest:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m tools.generate --check
	npm run --silent check
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(CODE)
	$(BIN)/python -m tools.supply

# Bills of what is deployed and shipped, CycloneDX, into dist/sbom.
sbom: $(READY)
	$(BIN)/python -m tools.supply sbom

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	npm run --silent format

generate: $(READY)
	$(BIN)/python -m tools.generate

bench: $(READY) $(STAMPS)/peers web/dist/demo/index.html
	$(BIN)/python -m bench

# Some 40 minutes. TORTURE="--seed 7" has the faults of an earlier run again; --help tells what else there is.
torture: $(READY)
	$(BIN)/python -m tests.torture $(TORTURE)

# FUZZ="--frames 20000 --seed 7": tests/fuzz/README.md.
fuzz: $(READY) $(STAMPS)/openapi
	$(BIN)/python -m tests.fuzz $(FUZZ)
	OPENAPI_EXAMPLES=100 $(BIN)/pytest -q tests/openapi

# Node 20 runs it, and what is missing is not to be sought among warnings.
TOOLS_DEPLOY := JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 $(BIN)/python -m tools.deploy

# What needs no credentials.
deploy-set-up: $(READY) web/dist/demo/index.html

# What is missing is told before anything is deployed: docs/deploying.md.
deploy: deploy-set-up
	@SMALL_QUOTA=$(SMALL_QUOTA) $(TOOLS_DEPLOY) $(STAGE)

destroy: $(READY)
	@$(TOOLS_DEPLOY) --destroy $(STAGE)

build: $(STAMPS)/node
	npm run --silent build

web/dist/demo/index.html: $(STAMPS)/node $(shell find clients/js/src web/src web/public -type f 2>/dev/null)
	npm run --silent build

clean:
	rm -rf .local cdk.out web/dist clients/js/dist

# Set-up: one stamp a part, made anew when its lockfile changes.

$(STAMPS)/tools: Makefile tools/check_tools.sh
	@sh tools/check_tools.sh "$(PYTHON)"
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/python: uv.lock pyproject.toml clients/python/pyproject.toml $(STAMPS)/tools
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	$(BIN)/uv sync --quiet --frozen
	@touch $@

$(STAMPS)/emulator: localstack/emulator/uv.lock $(STAMPS)/python
	$(BIN)/uv sync --quiet --frozen --project localstack/emulator --python $(BIN)/python
	@touch $@

$(STAMPS)/peers: bench/peers/uv.lock $(STAMPS)/python
	$(BIN)/uv sync --quiet --frozen --project bench/peers --python $(BIN)/python
	@touch $@

$(STAMPS)/openapi: tests/openapi/uv.lock $(STAMPS)/python
	$(BIN)/uv sync --quiet --frozen --project tests/openapi --python $(BIN)/python
	@touch $@

$(STAMPS)/site: tools/site/uv.lock tools/site/package-lock.json $(STAMPS)/python
	$(BIN)/uv sync --quiet --frozen --project tools/site --python $(BIN)/python
	npm ci --silent --no-audit --no-fund --prefix tools/site
	@touch $@

# Its tests are in its source distribution alone.
$(STAMPS)/centrifugo: tests/centrifugo/uv.lock tests/centrifugo/source.txt $(STAMPS)/python
	$(BIN)/uv sync --quiet --frozen --project tests/centrifugo --python $(BIN)/python
	@rm -rf .local/centrifugo
	$(BIN)/python -m pip download --quiet --no-deps --no-binary :all: --require-hashes \
	  -r tests/centrifugo/source.txt -d .local/centrifugo
	@touch $@

$(STAMPS)/node: package-lock.json $(STAMPS)/tools
	npm ci --silent --no-audit --no-fund
	@touch $@
