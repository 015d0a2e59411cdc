#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that kvant is built from (README, "Dependencies"); does nothing when all are there.
set -euo pipefail

packages=(
  g++ cmake pkgconf ninja-build ccache make git clang-format-14
  libfmt-dev libprotobuf-dev protobuf-compiler libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libxxhash-dev
  libjpeg62-turbo-dev libpng-dev zlib1g-dev libzstd-dev zstd libdnnl-dev
  libtorch-dev libopenblas0-openmp
  libgtest-dev libgmock-dev libbenchmark-dev
  python3 python3-venv python3-torch dataset-fashion-mnist qemu-user
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

run() { "$@"; }
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "kvant needs these packages: ${missing[*]}; run this as root, or install sudo" >&2; exit 1; }
  run() { sudo "$@"; }
fi
echo "installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
run apt-get update -qq
run apt-get install -y -qq --no-install-recommends "${missing[@]}" > "$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
