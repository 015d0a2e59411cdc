# SPDX-License-Identifier: Apache-2.0
"""kvant explain: every layer and every Q/DQ has its entry, the text fits 100 columns, --fix writes a model without the
findings that it repairs."""
import os

from kvant_run import Checks, kvant, kvant_json, scratch

import numpy as np


def main():
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        rng = np.random.default_rng(3)
        np.savez(at("data.npz"), x=rng.standard_normal((8, 3, 16, 16), dtype=np.float32), y=np.arange(8) % 10)
        kvant("zoo", "create", "resnet8", "--input", "3x16x16", "-o", at("m.onnx"))
        kvant("quantize", at("m.onnx"), "--data", f"npz:{at('data.npz')}", "--preprocess", "none", "-o", at("q.onnx"),
              "--quiet")
        report = kvant_json("explain", at("q.onnx"))
        for field, entries in (("layers", ("name", "op", "precision", "kernel", "reason")),
                               ("qdq", ("node", "fate", "into", "reason")),
                               ("lint", ("code", "node", "message", "fix"))):
            c.that(report[field] and all(set(entries) <= set(entry) for entry in report[field]), f"{field}: {report[field][:2]}")
        ops = kvant_json("inspect", at("q.onnx"))["ops"]
        c.that(len(report["qdq"]) == ops["QuantizeLinear"] + ops["DequantizeLinear"], "not every Q and DQ is told of")
        c.that([entry["code"] for entry in report["lint"]] == ["L14"], f"findings: {report['lint']}")
        c.that(sum(layer["precision"].startswith("int8") for layer in report["layers"]) >= 10, "few integer layers")
        text = kvant("explain", at("q.onnx"), "--quiet").stdout
        c.that(max(map(len, text.splitlines())) <= 100, "the text is wider than 100 columns")

        # onnxruntime's form read as any file from elsewhere: the fix brings back the canonical one.
        kvant("convert", at("q.onnx"), "--target", "onnxruntime", "--activations", "uint8", "--data", f"npz:{at('data.npz')}",
              "--preprocess", "none", "-o", at("ort.onnx"), "--quiet")
        c.that([entry["code"] for entry in kvant_json("explain", at("ort.onnx"))["lint"]] == ["L14"],
               "the target's own form is found fault with")
        done = kvant("explain", at("ort.onnx"), "--fix", "-o", at("fixed.onnx"), "--quiet").stdout
        c.that("fixed: nothing" in done and os.path.exists(at("fixed.onnx")), done)
        c.refused("fix without output", ["explain", at("q.onnx"), "--fix"], "--fix needs -o", status=2)
        c.refused("output without fix", ["explain", at("q.onnx"), "-o", at("no.onnx")], "goes with --fix", status=2,
                  outputs=[at("no.onnx")])
    c.end()


if __name__ == "__main__":
    main()
