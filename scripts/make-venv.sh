#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A Python environment with the packages that tests compare kvant with, and those named after the folder; made once,
# and again when the list changes.
set -euo pipefail
folder=$1
packages=(numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0 "${@:2}")
stamp="$folder/.packages"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "${packages[*]}" ] && exit 0
mkdir -p "$(dirname "$folder")"
python=/usr/bin/python3
"$python" -m venv "$folder"
"$folder/bin/pip" install -q --disable-pip-version-check "${packages[@]}"
echo "${packages[*]}" > "$stamp"
