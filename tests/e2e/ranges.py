# SPDX-License-Identifier: Apache-2.0
"""Ranges on disk: saved, loaded, merged, of other tools; calibration stopped and resumed; notes on odd data."""
import json
import os
import signal
import struct
import subprocess
import time

from kvant_run import KVANT, Checks, kvant, kvant_json, scratch

import numpy as np


def ranges_of(path):
    with open(path) as file:
        return json.load(file)["ranges"]


def resumed(c, model, data, folder):
    """Stopped at any moment, calibration ends with the bytes of one that was not stopped."""
    at = lambda name: os.path.join(folder, name)

    def command(name, *more):
        return ["quantize", model, "--data", f"npz:{data}", "--samples", "all", "--batch", "1", "--calibrator", "auto",
                "--checkpoint-seconds", "0.05", "-o", at(name + ".onnx"), "--save-ranges", at(name + ".json"), "--quiet", *more]

    kvant(*command("whole"))
    for name, kill in (("interrupted", signal.SIGINT), ("killed", signal.SIGKILL)):
        checkpoint = at(name + ".onnx.calibration")
        process = subprocess.Popen([KVANT, *command(name)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.time() + 120
        while not os.path.exists(checkpoint) and time.time() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(kill)
        process.wait()
        c.that(os.path.exists(checkpoint), f"{name}: no checkpoint, exit status {process.returncode}")
        c.that(not os.path.exists(at(name + ".onnx")), f"{name}: it had ended already")
        c.refused(f"{name}, other options", command(name, "--resume", "--bits", "4"), "another model, other tensors or other options")
        kvant(*command(name, "--resume"))
        for kind in (".onnx", ".json"):
            same = open(at(name + kind), "rb").read() == open(at("whole" + kind), "rb").read()
            c.that(same, f"{name}: the resumed calibration gives another {kind}")
        c.that(not os.path.exists(checkpoint), f"{name}: the checkpoint stayed")


def loaded(c, model, data, folder):
    at = lambda name: os.path.join(folder, name)
    base = ["quantize", model, "--data", f"npz:{data}", "-o", at("q.onnx"), "--quiet", "--calibrator", "max"]
    kvant(*base, "--save-ranges", at("own.json"))
    own = ranges_of(at("own.json"))
    inner = next(name for name in own if name != "input")

    # Two files: the union. Names of no tensor: a note.
    for name, ranges in (("a", {"input": [-9, 1], "inputt": [0, 1]}), ("b", {"input": [-1, 5]})):
        with open(at(name + ".json"), "w") as file:
            json.dump({"format": "kvant-ranges", "version": 1, "calibrator": "max", "samples": 4, "ranges": ranges}, file)
    done = kvant(*base, "--load-ranges", at("a.json"), "--load-ranges", at("b.json"), "--save-ranges", at("merged.json"))
    merged = ranges_of(at("merged.json"))
    c.that(merged["input"] == [-9, 5], f"merged: {merged['input']}")
    c.that(merged[inner] == own[inner], "what the files lack was not calibrated")
    c.that("1 of 2 loaded ranges name no tensor of the model" in done.stderr and "nearest: input" in done.stderr, done.stderr)

    # Other tools' files: scales come through exactly.
    with open(at("trt.cache"), "w") as file:
        file.write("TRT-8601-EntropyCalibration2\n" + f"input: {struct.pack('>f', 0.125).hex()}\n")
    kvant(*base, "--load-ranges", at("trt.cache"), "--save-ranges", at("trt.json"))
    c.that(ranges_of(at("trt.json"))["input"] == [-15.875, 15.875], "TensorRT's cache")
    with open(at("aimet.encodings"), "w") as file:
        json.dump({"version": "0.6.1", "activation_encodings": {
            "input": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "min": -0.5, "max": 2.0}]}, "param_encodings": {}}, file)
    kvant(*base, "--load-ranges", at("aimet.encodings"), "--save-ranges", at("aimet.json"))
    c.that(ranges_of(at("aimet.json"))["input"] == [-0.5, 2.0], "AIMET's encodings")

    def refuse(name, text, pattern):
        with open(at("bad"), "w") as file:
            file.write(text)
        os.remove(at("q.onnx"))
        c.refused(name, base + ["--load-ranges", at("bad")], pattern, outputs=[at("q.onnx")])
        kvant(*base)

    refuse("malformed cache", "TRT-8601-EntropyCalibration2\ninput 3f800000\n", "line 2: '<tensor>: <scale>' expected")
    refuse("malformed encodings", '{"activation_encodings": {"input": [{"min": 0}]}}', "AIMET encodings: the encoding of 'input'")
    refuse("no ranges at all", "hello", "this holds no ranges")
    c.refused("no such file", base + ["--load-ranges", at("none.json")], "none.json")


def notes(c, model, folder):
    at = lambda name: os.path.join(folder, name)

    def quantize(images):
        np.savez(at("few.npz"), x=images, y=np.zeros(len(images), np.int64))
        return kvant("quantize", model, "--data", "npz:" + at("few.npz"), "-o", at("few.onnx"), "--quiet").stderr

    rng = np.random.default_rng(3)
    said = quantize(rng.random((1, 3, 32, 32), np.float32))
    c.that("the ranges come from 1 image alone" in said, f"one image: {said!r}")
    said = quantize(rng.random((20, 3, 32, 32), np.float32))
    c.that("alone" not in said, f"20 images: {said!r}")
    said = quantize(np.zeros((20, 3, 32, 32), np.float32))
    c.that("held nothing but zeros (scale 1): " in said and "input" in said, f"zeros: {said!r}")
    for bits, calibrator in ((8, "mse"), (3, "mse"), (3, "max")):
        done = kvant_json("quantize", model, "--data", "npz:" + at("few.npz"), "-o", at("few.onnx"), "--weight-calibrator", calibrator,
                          "--bits", str(bits))
        c.that(done["weight_pairs"] > 0, "--weight-calibrator")
        c.that(done["ranges"]["input"] == {"low": 0, "high": 0, "calibrator": "max"}, f"ranges: {done['ranges']['input']}")


def main():
    c = Checks()
    with scratch() as folder:
        model, data = os.path.join(folder, "model.onnx"), os.path.join(folder, "images.npz")
        kvant("zoo", "create", "resnet8", "--classes", "10", "-o", model)
        rng = np.random.default_rng(1)
        np.savez(data, x=rng.standard_normal((400, 3, 32, 32), np.float32), y=rng.integers(0, 10, 400))
        resumed(c, model, data, folder)
        loaded(c, model, data, folder)
        notes(c, model, folder)
    c.end()


if __name__ == "__main__":
    main()
