#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything there is to measure on a machine with an NVIDIA card that is lent for a short while: one script, under 25 minutes.
#   bench/gpu.sh pack  [--build DIR] [--out DIR]     here: programs with their libraries, for a machine that can fetch nothing
#   bench/gpu.sh run   [--bundle DIR] [--out DIR]    there: constants, tests, sanitizer, networks, PyTorch, profile
#   bench/gpu.sh merge RESULT.json... --into FILE    results of several runs as one file
#   bench/gpu.sh table [--results FILE] [--readme FILE]   the table, printed or put between its marks in a file
# `bench/gpu.sh COMMAND --help` tells the rest; docs/gpu.md says how a lease goes.
exec "${KVANT_PYTHON:-python3}" "$(dirname "$0")/gpu/gpu_bench.py" "$@"
