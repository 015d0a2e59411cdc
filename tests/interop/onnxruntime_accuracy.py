# SPDX-License-Identifier: Apache-2.0
"""The same images through kvant and onnxruntime, both ways:
 - a QDQ file that kvant wrote has the same top-1 in onnxruntime within 0.1 points;
 - a QDQ file that onnxruntime's quantize_static wrote (per channel, int8 and uint8 activations) has the same top-1 in
   kvant's engine within 0.1 points.
The network is tests/models/fashion_resnet8.onnx, the images are Fashion-MNIST's 10,000 test images."""
import gzip
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from kvant_run import FASHION, Checks, kvant, kvant_json, scratch, skip

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

MODEL = os.path.join(os.path.dirname(__file__), "..", "models", "fashion_resnet8.onnx")
MEAN, STD = np.float32(0.286), np.float32(0.353)


def fashion(part):
    with gzip.open(f"{FASHION}/{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(f"{FASHION}/{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return (images / np.float32(255) - MEAN) / STD, labels


def ort_top1(path, images, labels):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    hits = 0
    for i in range(0, len(images), 500):
        scores = session.run(None, {name: images[i:i + 500]})[0]
        hits += int((scores.argmax(1) == labels[i:i + 500]).sum())
    return hits / len(images)


class Reader(CalibrationDataReader):
    def __init__(self, name, images):
        self.batches = iter([{name: images[i:i + 64]} for i in range(0, len(images), 64)])

    def get_next(self):
        return next(self.batches, None)


def main():
    if not os.path.isdir(FASHION):
        skip("Debian's package dataset-fashion-mnist is not installed")
    c = Checks()
    images, labels = fashion("t10k")
    train, _ = fashion("train")
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        engine = lambda model: kvant_json("eval", model, "--data", f"idx:{FASHION}#test", "--preprocess", "scale",
                                          "--mean", "0.286", "--std", "0.353")["top1"]
        float_ort = ort_top1(MODEL, images, labels)
        c.that(float_ort > 0.91, f"the test's own network is poor: {float_ort}")

        # Written by kvant, run by both.
        qdq, plan = at("kvant.qdq.onnx"), at("kvant.plan")
        kvant("quantize", MODEL, "--data", f"idx:{FASHION}#train", "--samples", "512", "-o", qdq, "--quiet")
        onnx.checker.check_model(qdq, full_check=True)
        kvant("build", qdq, "-o", plan, "--quiet")
        theirs, ours = ort_top1(qdq, images, labels), engine(plan)
        print(f"kvant's QDQ file: onnxruntime {theirs:.4f}, kvant engine {ours:.4f}, float {float_ort:.4f}")
        c.that(abs(theirs - ours) <= 0.001, f"kvant's QDQ file: onnxruntime {theirs}, kvant {ours}")
        c.that(ours >= float_ort - 0.01, f"kvant's PTQ loses too much: {ours} against {float_ort}")

        # Written by onnxruntime, run by both.
        prepared = at("prepared.onnx")
        quant_pre_process(MODEL, prepared, skip_symbolic_shape=True)
        name = onnx.load(prepared).graph.input[0].name
        for activations in (QuantType.QInt8, QuantType.QUInt8):
            path = at(f"ort_{activations}.onnx")
            quantize_static(prepared, path, Reader(name, train[::117]), quant_format=QuantFormat.QDQ, per_channel=True,
                            activation_type=activations, weight_type=QuantType.QInt8)
            kvant("build", path, "-o", at("ort.plan"), "--quiet")
            theirs, ours = ort_top1(path, images, labels), engine(at("ort.plan"))
            steps = kvant_json("inspect", at("ort.plan"))["layers"]
            convs = [s for s in steps if "Conv" in s["op"]]
            print(f"onnxruntime's QDQ file, {activations}: onnxruntime {theirs:.4f}, kvant engine {ours:.4f}; "
                  f"{sum(s['op'] == 'QConv' for s in convs)} of {len(convs)} convolutions in integers")
            c.that(abs(theirs - ours) <= 0.001, f"onnxruntime's file {activations}: onnxruntime {theirs}, kvant {ours}")
            c.that(all(s["op"] == "QConv" for s in convs), f"{activations}: float convolutions: {[s['name'] for s in convs if s['op'] != 'QConv']}")
    c.end()


if __name__ == "__main__":
    main()
