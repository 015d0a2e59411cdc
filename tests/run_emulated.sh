#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: run_emulated.sh CPU PROGRAM [ARGUMENTS ...]: runs PROGRAM as on a CPU of that model (qemu-x86_64 -cpu help), where an
# instruction that the model lacks ends it. Exit status 77 is "skipped, and it says why".
set -u
cpu=$1
shift
qemu=$(command -v qemu-x86_64 || command -v qemu-x86_64-static) || { echo "skipped: there is no qemu-x86_64 (Debian: qemu-user)"; exit 77; }
# One thread each: the emulator translates slowly, and other tests run on several.
OMP_NUM_THREADS=1 exec "$qemu" -cpu "$cpu" "$@"
