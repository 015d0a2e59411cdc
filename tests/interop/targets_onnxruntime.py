# SPDX-License-Identifier: Apache-2.0
"""kvant convert and kvant quantize --target, judged by onnxruntime:
 - the onnxruntime form runs every convolution as QLinearConv (no float Conv in the optimized model), int8 and uint8;
 - every scale has the same bits after tensorrt -> onnxruntime -> tensorrt;
 - the FP16 form is a valid opset 19 model that computes the same within float16's precision.
The network is tests/models/fashion_resnet8.onnx on Fashion-MNIST."""
import gzip
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from kvant_run import FASHION, Checks, kvant, kvant_json, scratch, skip

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

MODEL = os.path.join(os.path.dirname(__file__), "..", "models", "fashion_resnet8.onnx")
DATA = ["--data", f"idx:{FASHION}#train", "--preprocess", "scale", "--mean", "0.286", "--std", "0.353"]


def images(count):
    with gzip.open(f"{FASHION}/t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:count]
    return (pixels / np.float32(255) - np.float32(0.286)) / np.float32(0.353)


def scales(path):
    """The bytes of every Q's and DQ's scale by node name, biases excepted."""
    graph = onnx.load(path).graph
    constants = {c.name: c for c in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        codes = constants.get(node.input[0])
        if codes is not None and codes.data_type == onnx.TensorProto.INT32:
            continue
        found[node.name] = numpy_helper.to_array(constants[node.input[1]]).tobytes()
    return found


def optimized_operators(path, folder):
    options = ort.SessionOptions()
    options.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    counts = {}
    for node in onnx.load(options.optimized_model_filepath).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def run(path, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def main():
    if not os.path.isdir(FASHION):
        skip("Debian's package dataset-fashion-mnist is not installed")
    c = Checks()
    x = images(1000)
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        canonical = at("trt.onnx")
        kvant("quantize", MODEL, *DATA, "--samples", "256", "-o", canonical, "--quiet")
        convolutions = kvant_json("inspect", canonical)["ops"]["Conv"]
        want = run(canonical, x)

        for activations in ("int8", "uint8"):
            direct, converted, back = at("direct.onnx"), at("converted.onnx"), at("back.onnx")
            kvant("quantize", MODEL, *DATA, "--samples", "256", "--target", "onnxruntime", "--activations", activations,
                  "-o", direct, "--quiet")
            report = kvant_json("convert", canonical, "--target", "onnxruntime", "--activations", activations, *DATA,
                                "--samples", "256", "-o", converted)
            c.that(report["left_float"] == [] and report["output_pairs_added"] > 0, f"{activations}: {report}")
            for path in (direct, converted):
                onnx.checker.check_model(path, full_check=True)
                counts = optimized_operators(path, folder)
                print(f"{activations} {os.path.basename(path)}: {counts}")
                if activations == "uint8":  # of int8, onnxruntime rewrites some tensors to uint8 and leaves what is between
                    c.that(counts.get("QLinearConv", 0) == convolutions, f"{counts}, {convolutions} convolutions")
                    c.that(counts.get("Conv", 0) + counts.get("FusedConv", 0) == 0, f"float convolutions: {counts}")
                    c.that(counts.get("Add", 0) == 0, f"float additions: {counts}")
                agree = float((run(path, x).argmax(1) == want.argmax(1)).mean())
                print(f"  top-1 agreement with the tensorrt form {agree:.4f}")
                c.that(agree >= 0.97, f"{activations}: agreement {agree}")
            kvant("convert", converted, "--target", "tensorrt", "-o", back)
            c.that(scales(back) == scales(canonical), f"{activations}: a scale changed on the way")
            kept = scales(converted)
            c.that(all(kept[name] == value for name, value in scales(canonical).items()), f"{activations}: other scales")
            again = at("again.onnx")
            kvant("convert", back, "--target", "onnxruntime", "--activations", activations, "-o", again)
            c.that(scales(again) == kept, f"{activations}: the scales of the outputs did not come back")

        without = kvant_json("convert", canonical, "--target", "onnxruntime", "-o", at("without.onnx"))
        c.that(any("give --data" in layer["reason"] for layer in without["left_float"]), f"{without['left_float']}")
        c.that(not without["exact"], "rounded biases called exact")
        for target in ("openvino", "kvant"):
            same = kvant_json("convert", canonical, "--target", target, "-o", at("same.onnx"))
            c.that(same["exact"] and scales(at("same.onnx")) == scales(canonical), f"{target}: {same}")

        half = at("half.onnx")
        report = kvant_json("convert", canonical, "--fp16", "-o", half)
        model = onnx.load(half)
        c.that(model.opset_import[0].version == 19 and report["half_tensors"] > 10, f"{report}")
        onnx.checker.check_model(half, full_check=True)
        agree = float((run(half, x).argmax(1) == want.argmax(1)).mean())
        print(f"FP16 form: top-1 agreement {agree:.4f}")
        c.that(agree >= 0.98, f"FP16: agreement {agree}")

        c.refused("float model", ["convert", MODEL, "-o", at("no.onnx")], "no Q/DQ pairs", outputs=[at("no.onnx")])
        c.refused("unknown target", ["convert", canonical, "--target", "tensorr", "-o", at("no.onnx")], "tensorrt",
                  status=2, outputs=[at("no.onnx")])
        c.refused("activations elsewhere", ["convert", canonical, "--activations", "uint8", "-o", at("no.onnx")],
                  "uint8 goes with --target onnxruntime, not with tensorrt", status=2, outputs=[at("no.onnx")])
    c.end()


if __name__ == "__main__":
    main()
