# kubefugu: two commands do all the set-up, `make up` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
PORT ?= 8080
POOL ?=
# Where the CPU build of torch is found when the configured package index has none.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
BUF_VERSION := 1.74.0
BUILD ?= docker build
TAG ?= dev
IMAGE_ARGS ?=
PYTRITON_VERSION := 0.7.0

LIBRARIES := libs/stubs libs/core libs/routing libs/coordination
SERVICES := services/gateway services/executor services/router services/conductor services/experts
RUNTIME := $(LIBRARIES) $(SERVICES) cli
DEVELOPMENT := services/trainer operators
PACKAGES := kubefugu_core kubefugu_routing kubefugu_coordination kubefugu_gateway kubefugu_executor kubefugu_router \
	kubefugu_conductor kubefugu_trainer kubefugu_experts kubefugu_operators kubefugu_cli
PYPROJECTS := $(addsuffix /pyproject.toml,$(RUNTIME) $(DEVELOPMENT))
CODE := libs services operators cli tests benchmarks

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-zA-Z0-9_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- set-up -----------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("kubefugu needs Python 3.11 or newer; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -U pip hatchling -c constraints.txt

# The CPU build first, so that nothing else pulls in the CUDA packages.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "installing torch $(TORCH_VERSION) (CPU)"
	@if [ "$$(uname -s)" = Linux ]; then \
	  $(PIP) install -q "torch==$(TORCH_VERSION)+cpu" 2>/dev/null || \
	  $(PIP) install -q "torch==$(TORCH_VERSION)+cpu" --index-url $(TORCH_INDEX); \
	else $(PIP) install -q "torch==$(TORCH_VERSION)"; fi
	@touch $@

$(VENV)/.runtime: $(VENV)/.torch $(PYPROJECTS)
	@echo "installing kubefugu and what it needs to run"
	@$(PIP) install -q --no-build-isolation -c constraints.txt $(foreach d,$(LIBRARIES) $(filter-out services/experts,$(SERVICES)) cli,-e $d) -e "services/experts[llamacpp]"
	@touch $@

$(VENV)/.development: $(VENV)/.runtime requirements-dev.txt
	@echo "installing the trainer, the operator and the tools for development"
	@$(PIP) install -q --no-build-isolation -c constraints.txt -r requirements-dev.txt \
	  -e "services/trainer[evolution,grpo,tasks,storage]" -e operators -e "services/router[triton]" -e "libs/core[redis]" -e "services/executor[redis]"
	@# A real Triton server for tests. Its own Python API, which wants an older numpy, is not used: hence no dependencies.
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then $(PIP) install -q --no-deps "nvidia-pytriton==$(PYTRITON_VERSION)"; fi
	@touch $@

.PHONY: install
install: $(VENV)/.runtime ## Virtual environment with everything that runs locally

.PHONY: install-dev
install-dev: $(VENV)/.development ## The same plus trainer, operator and development tools

.PHONY: constraints
constraints: $(VENV)/.development ## Write constraints.txt anew from what is installed
	@{ echo '# One set of versions that installs together (Python 3.11). Regenerate with `make constraints`.'; \
	   $(PIP) freeze --exclude-editable | grep -v '^kubefugu' | sed 's/+cpu//; s/ @ .*//'; } > constraints.tmp && mv constraints.tmp constraints.txt

# --- run --------------------------------------------------------------------------------------------------------------

.PHONY: up
up: $(VENV)/.runtime ## Start the local stack and ask it one question (PORT=8080, POOL=FILE)
	@$(BIN)/kubefugu up --port $(PORT) $(if $(POOL),--pool $(POOL))

.PHONY: down
down: ## Stop the local stack
	@if [ -x $(BIN)/kubefugu ]; then $(BIN)/kubefugu down; else echo "nothing is installed, so nothing runs"; fi

.PHONY: coders
coders: $(VENV)/.runtime ## Fetch the optional Qwen2.5-Coder workers (1.6 GB); then: make up POOL=pools/default-with-coders.yaml
	@$(BIN)/kubefugu models fetch qwen2.5-coder-0.5b-instruct
	@$(BIN)/kubefugu models fetch qwen2.5-coder-1.5b-instruct

# The default pool's head: its workers are measured on generated questions with verifiers, then the head is fitted to the outcomes.
HEAD_RUN ?= build/default-head
.PHONY: default-head
default-head: $(VENV)/.development ## Measure the default pool and train its head anew (half an hour; needs make up; see docs/quality.md)
	@mkdir -p $(HEAD_RUN)
	$(BIN)/kubefugu outcomes collect --pool $${KUBEFUGU_HOME:-$$HOME/.cache/kubefugu}/run/default/pool.yaml --out $(HEAD_RUN)/outcomes.parquet \
	  --n 2400 --max-tokens 48 --temperature 0
	$(BIN)/kubefugu train supervised --data $(HEAD_RUN)/outcomes.parquet --backbone smollm2-135m-instruct --out $(HEAD_RUN)/run
	$(BIN)/kubefugu eval --data $(HEAD_RUN)/outcomes.parquet --artifact $(HEAD_RUN)/run --json pools/heads/default.json
	@cp $(HEAD_RUN)/run/artifact.safetensors pools/heads/default.safetensors
	$(BIN)/kubefugu outcomes strengths --data $(HEAD_RUN)/outcomes.parquet --json pools/heads/default.strengths.json

# A small trained Conductor: the form of a plan, plans that chance finds right, GRPO. The running stack's workers execute the plans.
CONDUCTOR_RUN ?= build/conductor
STACK_POOL ?= $${KUBEFUGU_HOME:-$$HOME/.cache/kubefugu}/run/default/pool.yaml
.PHONY: conductor
conductor: $(VENV)/.development ## Train the default pool's Conductor anew (long; needs make up; resumable; see docs/conductor.md)
	$(BIN)/kubefugu train conductor --pool $(STACK_POOL) --backbone smollm2-135m-instruct --out $(CONDUCTOR_RUN) \
	  --workers smollm2,algebra,units,geography,definitions,logic,dates --tasks mixed --questions 360 --held-out 120 \
	  --no-measure-sampled --least-workers 3 --most-workers 7 --max-steps 4 --max-tokens 96 --answer-tokens 48 \
	  --dtype bfloat16 --layers 12 --threads 1 --warm-examples 640 --warm-epochs 1 --warm-lr 1e-3 \
	  --search-tries 40 --search-questions 168 --search-epochs 3 \
	  --steps 40 --questions-per-step 6 --group 6 --oversample 1 --micro-batch 18 --lr 2e-4 --temperature 1.0 --save-every 4
	@cp $(CONDUCTOR_RUN)/artifact.safetensors pools/heads/default.conductor.safetensors

.PHONY: conductor-eval
conductor-eval: $(VENV)/.development ## fugu-ultra against fugu, single workers, self-consistency, static plans (needs make coders, make up with them)
	@mkdir -p build
	$(BIN)/kubefugu eval-conductor --pool $(STACK_POOL) --url http://127.0.0.1:$(PORT)/v1 --n 40 --baseline-n 12 --json build/equal-spend.json

# --- check ------------------------------------------------------------------------------------------------------------

.PHONY: test
test: check unit ## Every check and every test that ends within minutes

.PHONY: unit
unit: $(VENV)/.development ## Tests only
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

.PHONY: check
check: lint types contracts generated ## Formatting, lint, types, import contracts, generated files

.PHONY: lint
lint: $(VENV)/.development ## ruff
	@$(BIN)/ruff check $(CODE) && $(BIN)/ruff format --check -q $(CODE)

.PHONY: types
types: $(VENV)/.development ## mypy --strict
	@$(BIN)/mypy $(foreach p,$(PACKAGES),-p $p)

.PHONY: contracts
contracts: $(VENV)/.development ## import-linter
	@$(BIN)/lint-imports --no-cache | tail -n 12

.PHONY: format
format: $(VENV)/.development ## Format the code and mend what ruff can
	@$(BIN)/ruff check --fix -q $(CODE); $(BIN)/ruff format -q $(CODE)

# --- generated files --------------------------------------------------------------------------------------------------

.PHONY: proto
proto: $(VENV)/.development buf-lint ## Lint protos/ and write the gRPC stubs anew
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python libs/stubs/generate.py 2>/dev/null

.PHONY: buf-lint
buf-lint: ## Lint protos/ with buf (skipped without npm)
	@if command -v npm >/dev/null; then \
	  [ -x $(VENV)/buf/node_modules/.bin/buf ] || npm install --silent --no-audit --no-fund --prefix $(VENV)/buf @bufbuild/buf@$(BUF_VERSION) >/dev/null; \
	  cd protos && ../$(VENV)/buf/node_modules/.bin/buf lint; \
	else echo "buf lint skipped: it needs npm"; fi

.PHONY: generate
generate: proto ## Write every generated file anew: stubs, CRDs, reference pages, samples
	@$(BIN)/python -m kubefugu_operators.crds

.PHONY: generated
generated: generate ## Fail where a generated file differs from what is committed
	@git diff --exit-code --stat -- libs/stubs charts/kubefugu-crds docs/reference config/samples \
	  || { echo "generated files differ: run make generate and commit"; exit 1; }

# --- benchmarks and longer work -----------------------------------------------------------------------------------------

.PHONY: bench
bench: $(VENV)/.development ## Every benchmark, quick
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file --quick; done

.PHONY: test-slow
test-slow: $(VENV)/.development ## The long tests (soak, exact resume, quality)
	@$(BIN)/python -m pytest -m slow --timeout 3600 $(PYTEST_ARGS)

.PHONY: parity
parity: $(VENV)/.development ## Both router hosts against the naive forward pass on 500 transcripts (minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integration/router/test_parity.py -m slow -q -s --timeout 3600

.PHONY: test-e2e
test-e2e: $(VENV)/.development ## The user's day on a real single-node cluster (needs ../shared/k8s or KUBECONFIG; builds images)
	@KUBEFUGU_E2E=1 $(BIN)/python -m pytest tests/e2e/cluster -s --timeout 3600 $(PYTEST_ARGS)

.PHONY: test-e2e-faults
test-e2e-faults: $(VENV)/.development ## The fault matrix on the same cluster (docs/operate.md has the table)
	@KUBEFUGU_E2E=1 $(BIN)/python -m pytest tests/e2e/faults -s --timeout 3600 $(PYTEST_ARGS)

.PHONY: test-e2e-conductor
test-e2e-conductor: $(VENV)/.development ## A Conductor trained by GRPO on the same cluster, rolled out and rolled back
	@KUBEFUGU_E2E_CONDUCTOR=1 $(BIN)/python -m pytest tests/e2e/conductor -s --timeout 5400 $(PYTEST_ARGS)

.PHONY: images
images: ## Build every service's image (BUILD='docker build', TAG=dev, IMAGE_ARGS='--build-arg ...')
	@for target in base wheels torch; do \
	  $(BUILD) $(IMAGE_ARGS) -t docker.io/library/kubefugu-$$target:$(TAG) --target $$target -f images/Dockerfile . || exit 1; done
	@for file in services/*/Dockerfile operators/Dockerfile; do \
	  name=$$(basename $$(dirname $$file)); base=base; \
	  case $$name in operators) name=operator;; router|trainer) base=torch;; esac; \
	  $(BUILD) $(IMAGE_ARGS) --build-arg BASE=docker.io/library/kubefugu-$$base:$(TAG) --build-arg WHEELS=docker.io/library/kubefugu-wheels:$(TAG) \
	    -t docker.io/library/kubefugu-$$name:$(TAG) -f $$file . || exit 1; done
	@$(BUILD) $(IMAGE_ARGS) --build-arg EXTRAS=local --build-arg BASE=docker.io/library/kubefugu-torch:$(TAG) \
	  --build-arg WHEELS=docker.io/library/kubefugu-wheels:$(TAG) \
	  -t docker.io/library/kubefugu-conductor-local:$(TAG) -f services/conductor/Dockerfile .

.PHONY: clean
clean: ## Remove the virtual environment and caches (not the model cache)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
