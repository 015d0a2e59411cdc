#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""random_images.py FILE.npz CxHxW [COUNT]: normally distributed float images, for calibrating networks with random weights.
Written without numpy: an .npz is a zip of .npy files."""
import random
import struct
import sys
import zipfile


def npy(descriptor, shape, data):
    text = f"{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def main(path, shape, count):
    dims = [int(d) for d in shape.split("x")]
    elements = count
    for d in dims:
        elements *= d
    rng = random.Random(0)
    values = [rng.gauss(0, 1) for _ in range(65536)]
    images = struct.pack("<65536f", *values)
    # Shifted repetitions: random enough for ranges, and quick to make.
    data = b"".join(images[4 * rng.randrange(0, 60000):] for _ in range(elements // 4096 + 1))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy("<f4", [count, *dims], data[:4 * elements]))
        archive.writestr("y.npy", npy("<i8", [count], struct.pack(f"<{count}q", *([0] * count))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 8)
