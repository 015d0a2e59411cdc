# SPDX-License-Identifier: Apache-2.0
"""onnxruntime's quantize_static on the same model and the same images, prepared with the same steps as kvant's."""
import io
import os
import subprocess
import tarfile
import tempfile

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

SCALED = {"scale": (255.0, 0.0, 1.0), "none": (1.0, 0.0, 1.0), "keras-tf": (127.5, 1.0, 1.0), "keras-caffe": (1.0, 0.0, 1.0)}


def options(flags):
    return {flags[i][2:]: flags[i + 1] for i in range(0, len(flags), 2)}


def prepared(image, flags):
    chosen = options(flags)
    pixels = image.convert("RGB")
    if "crop" in chosen:
        size = int(chosen["crop"])
        left, top = (pixels.width - size) // 2, (pixels.height - size) // 2
        pixels = pixels.crop((left, top, left + size, top + size))
    divisor, mean, std = SCALED[chosen["preprocess"]]
    values = np.asarray(pixels, np.float32) / np.float32(divisor)
    if chosen["preprocess"] == "keras-caffe":
        values = values[:, :, ::-1]
    mean = np.array([float(x) for x in chosen["mean"].split(",")] if "mean" in chosen else mean, np.float32)
    std = np.array([float(x) for x in chosen["std"].split(",")] if "std" in chosen else std, np.float32)
    return ((values - mean) / std).transpose(2, 0, 1)


def members(path, part):
    """Image members of a tar, of the part: by labels.csv's split column, or by first folder."""
    with tarfile.open(path) as tar:
        names = sorted(m.name for m in tar if m.isfile())
        table = next((n for n in names if n.endswith("labels.csv")), None)
        if table:
            import csv
            rows = csv.DictReader(io.TextIOWrapper(tar.extractfile(table)))
            base = os.path.dirname(table)
            return [os.path.join(base, row["path"]) for row in rows if row["split"] == part]
        return [n for n in names if f"{part}/" in n and n.endswith(".jpg")]


class Reader(CalibrationDataReader):
    def __init__(self, name, path, part, count, flags):
        chosen = members(path, part)
        chosen = [chosen[i * len(chosen) // count] for i in range(min(count, len(chosen)))]
        self.tar = tarfile.open(path)
        self.batches = ({name: prepared(Image.open(self.tar.extractfile(member)), flags)[None]} for member in chosen)

    def get_next(self):
        return next(self.batches, None)


def quantize(model, data, count, flags, out):
    import onnx
    path, part = data.split(":", 1)[1].split("#")
    with tempfile.TemporaryDirectory() as folder:
        ready = os.path.join(folder, "ready.onnx")
        quant_pre_process(model, ready, skip_symbolic_shape=True)
        name = onnx.load(ready).graph.input[0].name
        quantize_static(ready, out, Reader(name, path, part, count, flags), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
