# SPDX-License-Identifier: Apache-2.0
# The commands of the README. Each does its own set-up: `make demo` and `make test` work on a bare Debian 12.
SHELL := /bin/bash
BUILD := build
KVANT := $(BUILD)/bin/kvant

.PHONY: build demo test bench bench-qat accuracy deps venv format check-format sanitize sanitize-threads clean

deps:
	@scripts/install-dependencies.sh

build: deps
	@cmake --preset release > $(BUILD)-configure.log 2>&1 || { cat $(BUILD)-configure.log; exit 1; }
	@mv $(BUILD)-configure.log $(BUILD)/configure.log
	@cmake --build --preset release --target program

# Python packages that tests and benches compare with; kvant itself needs none.
venv: deps
	@scripts/make-venv.sh $(BUILD)/venv

demo: build
	@python3 scripts/demo.py $(KVANT) $(BUILD)/demo

test: build venv
	@cmake --build --preset release
	@cd $(BUILD) && KVANT_PYTHON=$(CURDIR)/$(BUILD)/venv/bin/python ctest --output-on-failure -j 2

# Peers from PyPI; long. BENCH="--networks a,b --threads 1" for a part: its rows replace those in the results.
OPENVINO := 2026.4.1
bench: build
	@scripts/make-venv.sh $(BUILD)/venv-bench openvino==$(OPENVINO)
	@$(BUILD)/venv-bench/bin/python bench/peers.py $(KVANT) --folder $(BUILD)/bench $(BENCH)

# Fine-tuning against PyTorch's own fake-quantize modules, of torch from PyPI (a wheel for CUDA: 5 GB on the disk).
TORCH := 2.15.0
bench-qat: build
	@python3 bench/qat_throughput.py $(KVANT) --install $(TORCH) --venv $(BUILD)/venv-torch --out bench/results/qat_throughput.json

# docs/accuracy.md; hours from nothing, resumed where it stopped. ACCURACY="--networks a,b --rows c,d" for a part.
accuracy: build venv
	@$(BUILD)/venv/bin/python bench/accuracy/accuracy.py $(KVANT) $(BUILD)/accuracy $(ACCURACY)

# Every test again under AddressSanitizer and UndefinedBehaviorSanitizer (without LibTorch).
sanitize: deps venv
	@cmake --preset asan-ubsan > /dev/null
	@cmake --build --preset asan-ubsan
	@cd build-asan && KVANT_PYTHON=$(CURDIR)/$(BUILD)/venv/bin/python ctest --output-on-failure -j 2

# What runs on several threads at once, under ThreadSanitizer.
sanitize-threads: deps
	@cmake --preset tsan > /dev/null
	@cmake --build --preset tsan
	@ctest --preset tsan

format:
	@git ls-files '*.h' '*.cc' '*.cu' '*.cuh' | xargs clang-format-14 -i

check-format: deps
	@git ls-files '*.h' '*.cc' '*.cu' '*.cuh' | xargs clang-format-14 --dry-run --Werror

clean:
	@rm -rf $(BUILD) build-asan build-tsan build-debug build-no-torch build-no-cuda
