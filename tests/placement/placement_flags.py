# SPDX-License-Identifier: Apache-2.0
"""--mode, --spec, --case, --attention of `kvant quantize`: what they do to a model, what they refuse, what the JSON says."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from kvant_run import Checks, kvant, kvant_json, scratch

SPEC = """
[[layers]]
name = "*/conv1"
bits = 4
[[layers]]
class = "Linear"
quantize_input = false
quantize_weight = false
"""


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def ranges_of(model, folder):
    """Ranges for the tensors of a resnet8: quantization then needs no data."""
    text = kvant("quantize", model, "-o", os.path.join(folder, "first.onnx"), "--data", "npz:" + noise(folder), "--preprocess",
                 "none", "--save-ranges", os.path.join(folder, "ranges.json"), "--quiet").stdout
    assert "layers quantized" in text
    return os.path.join(folder, "ranges.json")


def noise(folder):
    """An .npz of eight images, written by hand: x [8,8,8,3] uint8 and y [8]."""
    import io
    import zipfile

    def npy(shape, kind, data):
        header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
        header += " " * ((64 - (10 + len(header) + 1) % 64) % 64) + "\n"
        return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data

    pixels = bytes((i * 37 + i // 7) % 256 for i in range(8 * 8 * 8 * 3))
    labels = b"".join(i.to_bytes(8, "little") for i in range(8))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", npy("(8, 8, 8, 3)", "|u1", pixels))
        archive.writestr("y.npy", npy("(8,)", "<i8", labels))
    path = os.path.join(folder, "noise.npz")
    with open(path, "wb") as file:
        file.write(buffer.getvalue())
    return path


def main():
    c = Checks()
    with scratch() as folder:
        model = os.path.join(folder, "m.onnx")
        kvant("zoo", "create", "resnet8", "--input", "3x8x8", "-o", model)
        ranges = ranges_of(model, folder)
        output = os.path.join(folder, "q.onnx")
        base = ["quantize", model, "-o", output, "--load-ranges", ranges]

        said = kvant_json(*base)
        c.that(said["mode"] == "full" and said["cases"] == ["auto"], f"defaults: {said['mode']} {said['cases']}")
        c.that(all(layer["reason"] for layer in said["layers"]), "a layer without a reason")
        c.that(all(pair["reason"] and pair["bits"] == 8 and pair["readers"] > 0 for pair in said["qdq"]), "a pair without a reason")
        c.that(len(said["qdq"]) == said["activation_pairs"] + said["weight_pairs"], "qdq lists every pair")
        c.that(any("residual branch of" in pair["reason"] or "residual branch of" in layer["reason"]
                   for pair in said["qdq"] for layer in said["layers"]), "no residual branch")

        spec = write(folder, "spec.toml", SPEC)
        said = kvant_json(*base, "--spec", spec)
        weights = {pair["tensor"]: pair["bits"] for pair in said["qdq"] if pair["weight"]}
        c.that(set(weights.values()) == {4, 8}, f"bits of the weights: {weights}")
        c.that(all((bits == 4) == ("/conv1/" in name) for name, bits in weights.items()), f"bits of the weights: {weights}")
        linear = [layer for layer in said["layers"] if layer["op"] in ("Gemm", "MatMul")]
        c.that(linear and not any(layer["quantized"] for layer in linear), f"the linear layer: {linear}")
        plan = os.path.join(folder, "q.plan")
        kvant("build", output, "-o", plan)
        compared = kvant_json("compare", output, plan, "--data", "npz:" + noise(folder), "--preprocess", "none")
        c.that(max(tensor["max_lsb"] for tensor in compared["tensors"]) <= 1, "the engine computes a model of mixed bits")

        one = write(folder, "one.json", json.dumps({"layers": [{"class": "Linear"}]}))
        said = kvant_json(*base, "--mode", "partial", "--spec", one)
        c.that([layer["op"] for layer in said["layers"] if layer["quantized"]] in (["Gemm"], ["MatMul"]), "partial")
        c.that(said["cases"] == [], f"cases in mode partial: {said['cases']}")
        said = kvant_json(*base, "--case", "resnet-v2,inception", "--case", "efficientnet")
        c.that(said["cases"] == ["resnet-v2", "inception", "efficientnet"], f"cases: {said['cases']}")

        os.remove(output)
        def refused(name, arguments, pattern, status):
            c.refused(name, base + arguments, pattern, status, outputs=[output])
        refused("unknown case", ["--case", "resnetv1"], r"no case 'resnetv1' \(nearest: resnet-v1", 2)
        refused("none and others", ["--case", "none,maxpool"], "goes with no other case", 2)
        refused("partial alone", ["--mode", "partial"], "give one", 2)
        refused("partial auto", ["--mode", "partial", "--case", "auto"], "use mode full", 2)
        refused("mode", ["--mode", "half"], "--mode does not take 'half'", 2)
        refused("attention", ["--case", "mobilenet", "--attention"], "cases auto and transformer", 2)
        refused("no such file", ["--spec", os.path.join(folder, "absent.toml")], "absent.toml", 1)
        entries = {"unknown key": ({"nam": "a"}, "unknown key 'nam'"),
                   "bits 9": ({"name": "conv1", "bits": 9}, "9 bits: quantization takes 2 to 8"),
                   "index": ({"class": "Add", "inputs": [2]}, "has no input 2: it has 2"),
                   "class": ({"class": "Convolution"}, "there is no such class"),
                   "no layer": ({"name": "layer9/*"}, "fits no layer of the model.*nearest"),
                   "calibrator": ({"name": "conv1", "calibrator": "maxx"}, "no calibrator 'maxx'.*nearest: max")}
        for name, (entry, pattern) in entries.items():
            path = write(folder, "bad.json", json.dumps({"layers": [entry]}))
            refused(name, ["--spec", path], pattern, 1)
        refused("not JSON", ["--spec", write(folder, "bad.json", "{")], "the spec is not JSON", 1)
        refused("not TOML", ["--spec", write(folder, "bad.toml", "a = = 1")], "the spec is not TOML: line 1", 1)
    c.end()


if __name__ == "__main__":
    main()
