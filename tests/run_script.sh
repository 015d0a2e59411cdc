#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a Python test with KVANT_PYTHON; without it, or without the packages that the test imports, says so and skips.
script=$1
python=${KVANT_PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1
if ! command -v "$python" >/dev/null; then
  echo "skipped: no Python at '$python'"
  exit 77
fi
for module in $(sed -n -E 's/^(import|from) (numpy|onnx|onnxruntime|PIL)\b.*/\2/p' "$script" | sort -u); do
  if ! "$python" -c "import $module" 2>/dev/null; then
    echo "skipped: $python lacks the package $module (scripts/make-venv.sh makes an environment that has it; set KVANT_PYTHON)"
    exit 77
  fi
done
exec "$python" "$script"
