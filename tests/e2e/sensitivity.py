# SPDX-License-Identifier: Apache-2.0
"""kvant sensitivity: a cost for every quantized layer, largest error first; goes on from its state; the text fits."""
import os

from kvant_run import Checks, kvant, kvant_json, scratch

import numpy as np


def main():
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        rng = np.random.default_rng(3)
        np.savez(at("data.npz"), x=rng.standard_normal((20, 3, 16, 16), dtype=np.float32), y=np.arange(20) % 10)
        np.savez(at("other.npz"), x=rng.standard_normal((21, 3, 16, 16), dtype=np.float32), y=np.arange(21) % 10)
        data = ["--data", f"npz:{at('data.npz')}", "--preprocess", "none", "--iterations", "3", "--batch", "8"]
        kvant("zoo", "create", "resnet8", "--input", "3x16x16", "-o", at("m.onnx"))
        kvant("quantize", at("m.onnx"), *data[:4], "-o", at("q.onnx"), "--quiet")
        state = ["--state", at("scores.json")]
        first = kvant_json("sensitivity", at("q.onnx"), *data, *state, "--budget", "0.000001")
        c.that(first["left"] >= 13, f"the budget left {first['left']} layers")
        whole = kvant_json("sensitivity", at("q.onnx"), *data, *state, "--resume")
        c.that(whole["left"] == 0 and len(whole["layers"]) == len(first["layers"]) + first["left"], f"{whole['left']} left")
        fields = {"name", "op", "relative_error", "sqnr_db", "top1", "top1_drop", "agreement", "float_ms", "int8_ms",
                  "fused_into"}
        c.that(all(fields <= set(layer) for layer in whole["layers"]), f"{whole['layers'][0]}")
        errors = [layer["relative_error"] for layer in whole["layers"]]
        c.that(errors == sorted(errors, reverse=True) and errors[-1] > 0, f"{errors}")
        c.that(all(layer["float_ms"] > 0 and layer["int8_ms"] > 0 for layer in whole["layers"] if layer["op"] == "Conv"),
               "a convolution without its times")
        c.that(whole["float"]["latency_ms"] > 0 and whole["quantized"]["latency_ms"] > 0, f"{whole['float']}")
        text = kvant("sensitivity", at("m.onnx"), *data, "--quiet").stdout
        c.that(max(map(len, text.splitlines())) <= 100 and "all quantized: SQNR" in text, text)
        c.refused("other data", ["sensitivity", at("q.onnx"), "--data", f"npz:{at('other.npz')}", *data[2:], *state, "--resume"],
                  "another model or other samples")
        c.refused("resume from nowhere", ["sensitivity", at("q.onnx"), *data, "--resume"], "--resume needs --state", status=2)
    c.end()


if __name__ == "__main__":
    main()
