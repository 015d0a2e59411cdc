# SPDX-License-Identifier: Apache-2.0
"""A ResNet-50 exported by PyTorch goes through quantize, build, run and compare as it is. Small images, so that the
interpreter, which is the oracle here, can keep up."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from kvant_run import Checks, kvant, kvant_json, scratch, skip

import numpy as np

EXPORT = os.path.join(os.path.dirname(__file__), "export_resnet50.py")
SIZE = 96


def main():
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        # PyTorch comes from Debian (python3-torch), for the system's Python.
        export = subprocess.run(["/usr/bin/python3", EXPORT, at("r50.onnx"), str(SIZE)], capture_output=True, text=True)
        if "No module named 'torch'" in export.stderr:
            skip("Debian's package python3-torch is not installed")
        c.that(export.returncode == 0, export.stderr[-2000:])
        rng = np.random.default_rng(1)
        smooth = rng.normal(size=(24, 3, SIZE // 8, SIZE // 8)).repeat(8, 2).repeat(8, 3) + 0.3 * rng.normal(size=(24, 3, SIZE, SIZE))
        np.savez(at("images.npz"), x=smooth.astype(np.float32), y=rng.integers(0, 1000, 24))
        data = "npz:" + at("images.npz")
        report = kvant_json("quantize", at("r50.onnx"), "--data", data, "--samples", "16", "-o", at("r50.qdq.onnx"))
        convs = [layer for layer in report["layers"] if layer["op"] == "Conv"]
        c.that(len(convs) == 53 and all(layer["quantized"] and layer["weight"] for layer in convs), f"{len(convs)} convolutions")
        c.that(report["weight_pairs"] == 54, f"{report['weight_pairs']} weight pairs")
        kvant("build", at("r50.qdq.onnx"), "-o", at("r50.plan"), "--quiet")
        layers = kvant_json("inspect", at("r50.plan"))["layers"]
        c.that(sum(layer["op"] == "QConv" for layer in layers) == 53, "not every convolution runs in integers")
        c.that(all(layer["backend"] != "reference" for layer in layers), f"fallbacks: {[x['name'] for x in layers if x['backend'] == 'reference']}")
        np.save(at("x.npy"), smooth[:1].astype(np.float32))
        kvant("run", at("r50.plan"), "--input", at("x.npy"), "-o", at("out.npz"))
        c.that(np.load(at("out.npz"))["logits"].shape == (1, 1000), "the output of run")
        compared = kvant_json("compare", at("r50.qdq.onnx"), at("r50.plan"), "--data", data, "--samples", "4")
        worst = max(compared["tensors"], key=lambda t: t["differing"])
        print(f"{len(compared['tensors'])} tensors, worst {worst['name']}: {worst['differing']:.2e} differ, by at most {worst['max_lsb']}")
        c.that(len(compared["tensors"]) > 50, f"only {len(compared['tensors'])} tensors could be compared")
        c.that(worst["differing"] <= 1e-3, f"{worst}")
        c.that(compared["top1_agreement"] == 1, f"agreement {compared['top1_agreement']}")
    c.end()


if __name__ == "__main__":
    main()
