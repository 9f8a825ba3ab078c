# Tandem. `make run` serves a photo from nothing; `make test` tests everything that pip alone can install.

PYTHON ?= python3
BIN := .venv/bin
MODEL := .cache/models/efficientnet-lite0/1/model.onnx
FLOATS := .cache/variants/efficientnet-lite0-floats/1/model.onnx
INT8 := .cache/variants/efficientnet-lite0-int8/1/model.onnx
PHOTO := examples/image-classification/photos/cat_chelsea.jpg
MEMBERS := pyproject.toml constraints.txt shared/pyproject.toml services/predictor/pyproject.toml \
	services/transformer/pyproject.toml cli/pyproject.toml tools/setup.sh

.PHONY: help setup run test test-system check generate monitoring images requirements dist bench bench-quick soak chaos fuzz docs clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/installed ## make .venv with all of Tandem and the development tools

.venv/installed: $(MEMBERS)
	@PYTHON=$(PYTHON) tools/setup.sh

$(MODEL): | .venv/installed
	@$(BIN)/python tools/default_model.py

$(FLOATS): | .venv/installed
	@$(BIN)/python tools/default_model.py --format floats

$(INT8): $(MODEL)
	@$(BIN)/python tools/quantize.py

run: setup $(MODEL) ## start the pair, classify a photo, serve until Ctrl-C
	@TANDEM_DEFAULT_MODEL_DIR=.cache/models $(BIN)/tandem up --try $(PHOTO) --host=127.0.0.1 \
		--model_name=custom-model --protocol=grpc-v2 --http_port=8000 --grpc_port=8081 \
		--predictor.http_port=8080 --predictor.grpc_port=8082 --enable_ui --merge_predictor_metrics

test: setup .venv/torch $(MODEL) $(FLOATS) ## every test that needs no system package
	@$(BIN)/python -m pytest -m "not system" -n 3 --dist loadfile --ignore tests/faults
	@$(BIN)/python -m pytest -m "not system" -n 3 --dist loadfile tests/faults --ignore tests/faults/test_handoff.py
	@$(BIN)/python -m pytest -m "not system" tests/faults/test_handoff.py # it looks at the whole of /dev/shm

test-system: setup .venv/docs .venv/system $(MODEL) $(FLOATS) ## the tests that need system packages
	@$(BIN)/python -m pytest -m system

check: setup ## lint, types, import walls, protocol buffers, generated stubs, known vulnerabilities
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/python tools/generate.py --check
	@$(BIN)/python tools/dashboard.py --check
	@$(BIN)/python tools/check_sizes.py
	@$(BIN)/python tools/requirements.py --check
	@$(BIN)/python tools/audit.py

generate: setup ## write the gRPC stubs from protos/
	@$(BIN)/python tools/generate.py

monitoring: setup ## write the dashboard, the rules and the alerts in deploy/monitoring/
	@$(BIN)/python tools/dashboard.py

images: ## the container images by podman or docker; DEVICE=cuda the predictor's for GPUs; IMAGE_BUILD_FLAGS
	@IMAGE_BUILD_FLAGS='$(IMAGE_BUILD_FLAGS)' tools/images.sh $(DEVICE)

requirements: setup ## write what the images install, with hashes, after a change of constraints.txt
	@$(BIN)/python tools/requirements.py

dist: setup ## wheels of every member and their bill of materials (CycloneDX) in dist/
	@$(BIN)/python tools/dist.py

bench: setup $(MODEL) $(FLOATS) $(INT8) ## side by side with the peers and with no serving at all (an hour)
	@$(BIN)/python -m bench.compare $(if $(QUICK),--quick,--write)

bench-quick: setup $(MODEL) $(FLOATS) $(INT8) ## one short round of it (five minutes)
	@$(BIN)/python -m bench.compare --quick

soak: setup $(MODEL) ## memory over MINUTES (10) of load, after a minute of warm-up
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),10)

chaos: setup ## MINUTES (5) of good, bad and hostile clients while the predictor is killed and restarted; SEED (1)
	@PYTHONPATH=tests $(BIN)/python -m chaos.run --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1)

.venv/torch: requirements/torch.txt | .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement $< \
		|| echo "test: PyTorch's build for the CPU is not to be had here ($<): its tests will be skipped"
	@touch $@

.venv/system: pyproject.toml constraints.txt | .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group system
	@touch $@

.venv/fuzzer: requirements/fuzz.txt | .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements/fuzz.txt
	@touch $@

fuzz: setup .venv/fuzzer ## every decoder against made-up inputs, MINUTES (30) each, JOBS (CPUs) at a time; TARGET (all)
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run --minutes $(or $(MINUTES),30) $(if $(JOBS),--jobs $(JOBS)) $(TARGET)

.venv/docs: pyproject.toml constraints.txt | .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group docs
	@touch $@

docs: setup .venv/docs ## the site, from docs/ to build/site/
	@$(BIN)/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet docs build/site
	@echo "docs: build/site/index.html"

clean: ## remove everything that make made
	rm -rf .venv .cache build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
