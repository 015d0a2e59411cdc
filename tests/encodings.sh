#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# encodings.sh AR ARCHIVE: that kernels for CPUs without AVX-512 hold vpdpbusd in VEX encoding and nothing in EVEX
# encoding, and that AMX's hold its instructions: what this machine may not be able to run.
set -eu
command -v objdump >/dev/null || { echo "skipped: no objdump"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
code() { "$1" p "$2" "$3" >"$folder/$3" && objdump -d "$folder/$3"; }
for member in tiles_avxvnni.cc.o product_avxvnni.cc.o; do
  code "$1" "$2" $member >"$folder/code"
  # An instruction's bytes stand between two tabs: c4 begins VEX, 62 EVEX.
  grep -qP '\tc4 .*vpdpbusd' "$folder/code" || { echo "$member: no vpdpbusd in VEX encoding"; exit 1; }
  if grep -P '^\s*[0-9a-f]+:\t62 [0-9a-f ]*\t' "$folder/code"; then echo "$member: EVEX encoding"; exit 1; fi
done
code "$1" "$2" tiles_amx.cc.o >"$folder/code"
for name in ldtilecfg tileloadd tdpbusd tdpbssd tilestored tilerelease; do
  grep -q "$name" "$folder/code" || { echo "tiles_amx.cc.o: no $name"; exit 1; }
done
echo "encodings are as they should be"
