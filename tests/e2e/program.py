# SPDX-License-Identifier: Apache-2.0
"""The program itself: starts at once, links no LibTorch, explains itself, keeps the promises of its JSON."""
import json
import os
import re
import struct
import subprocess

from kvant_run import KVANT, Checks, kvant, kvant_json, scratch

COMMANDS = ["zoo", "inspect", "quantize", "convert", "train", "build", "run", "eval", "bench", "compare", "explain", "sensitivity",
            "auto"]


def write_safetensors(path, tensors):
    """tensors: {name: (shape, floats)}"""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def check_weights(c, folder):
    """zoo create --weights: what does not match is named, and --partial keeps the rest."""
    weights, model = os.path.join(folder, "w.safetensors"), os.path.join(folder, "w.onnx")
    write_safetensors(weights, {"conv1.bias": ([16], [0.5] * 16), "fc.bias": ([3], [0.0] * 3), "other": ([1], [1.0])})
    create = ["zoo", "create", "resnet8", "-o", model, "--weights"]
    c.refused("weights that do not fit", [*create, weights], r"does not fit resnet8: \d+ missing: conv1/weight \(conv1\.weight\).*"
              r"fc/bias: 3 instead of 10.*1 unexpected: other; --partial keeps what fits", outputs=[model])
    kept = kvant_json(*create, weights, "--partial")["weights"]
    os.remove(model)
    c.that(kept["loaded"] == 1 and kept["unexpected"] == ["other"], f"--partial: {kept}")
    write_safetensors(weights, {"other": ([1], [1.0])})
    c.refused("weights of nothing", [*create, weights, "--partial"], "has no weights for resnet8", outputs=[model])
    c.refused("weights of another kind", [*create, "w.pth"], r"--weights takes an \.npz or \.safetensors file; got 'w\.pth'", status=2)
    c.refused("partial without weights", ["zoo", "create", "resnet8", "-o", model, "--partial"], "--partial goes with", status=2)


def main():
    c = Checks()
    version = kvant("--version").stdout
    c.that(re.fullmatch(r"kvant \d+\.\d+\.\d+\n", version), f"--version says {version!r}")
    libraries = subprocess.run(["ldd", KVANT], capture_output=True, text=True).stdout
    c.that("libfmt" in libraries and "torch" not in libraries and "libc10" not in libraries, f"ldd shows torch:\n{libraries}")
    overview = kvant().stdout
    for command in COMMANDS:
        c.that(f"  {command} " in overview, f"kvant alone does not list {command}")
        text = kvant(command, "--help").stdout
        c.that(f"kvant {command}" in text and "example:" in text and "--json" in text, f"help of {command}")
        c.that(max(map(len, text.splitlines())) <= 110, f"help of {command} is too wide")

    with scratch() as folder:
        model = os.path.join(folder, "m.onnx")
        created = kvant_json("zoo", "create", "resnet8", "--input", "1x28x28", "--seed", "3", "-o", model)
        c.that(created["output"] == model and created["parameters"] > 70000, f"zoo create: {created}")
        again = os.path.join(folder, "again.onnx")
        kvant("zoo", "create", "resnet8", "--input", "1x28x28", "--seed", "3", "-o", again)
        c.that(open(model, "rb").read() == open(again, "rb").read(), "the same seed gives other bytes")
        info = kvant_json("inspect", model)
        for field in ("format", "opset", "nodes", "ops", "inputs", "outputs", "parameters", "macs", "qdq"):
            c.that(field in info, f"inspect lacks {field}")
        c.that(info["format"] == "onnx" and info["inputs"][0]["shape"][1:] == [1, 28, 28], f"inspect: {info['inputs']}")
        plan = os.path.join(folder, "m.plan")
        kvant("build", model, "-o", plan)
        twice = os.path.join(folder, "twice.plan")
        kvant("build", model, "-o", twice)
        c.that(open(plan, "rb").read() == open(twice, "rb").read(), "the same build gives other bytes")
        bench = kvant_json("bench", plan, "--iterations", "5", "--warmup", "1", "--profile")
        calm = kvant_json("bench", plan, "--iterations", "5", "--warmup", "1", "--no-spin", "--threads", "2")
        c.that(calm["threads"] == 2, "bench --no-spin runs on as many threads")
        for field in ("min", "median", "mean", "p90", "p99", "max"):
            c.that(bench["latency_ms"][field] > 0, f"bench lacks {field}")
        c.that(0 < bench["canary"]["share"] <= 1 and bench["canary"]["efficiency"] > 0 and bench["macs"] > 0, f"canary: {bench['canary']}")
        c.that(any(layer["gmacs"] > 0 and layer["of_peak"] > 0 for layer in bench["layers"]), "no layer has a rate")
        timings, again = os.path.join(folder, "timings"), os.path.join(folder, "again.plan")
        for _ in range(2):
            kvant("build", model, "-o", again, "--timing-cache", timings)
            lines = open(timings).read()
        kvant("build", model, "-o", twice, "--timing-cache", timings)
        c.that(open(twice, "rb").read() == open(again, "rb").read() and open(timings).read() == lines, "a warm timing cache decides alone")
        kernels = kvant_json("bench", "kernels", "--shape", "8x8x16:32:3x3:1:1", "--iterations", "5")
        c.that(kernels["macs"] == 8 * 8 * 16 * 32 * 9 and kernels["kernels"][0]["gmacs"] > 0, f"bench kernels: {kernels}")
        c.that(kvant_json("bench", "canary", "--iterations", "5")["canary"]["peak_gmacs"] > 0, "bench canary")
        c.that(abs(sum(layer["share"] for layer in bench["layers"]) - 1) < 1e-6, "the shares of the layers do not add up")
        c.that(kvant_json("inspect", plan)["format"] == "plan", "inspect of a plan")
        dump = os.path.join(folder, "passes.txt")
        kvant("build", model, "-o", twice, "--dump", dump)
        c.that("# after " in open(dump).read(), "--dump writes the graph after each pass")
        names = [network["name"] for network in kvant_json("zoo", "list")["networks"]]
        c.that({"resnet8", "resnet20", "resnet50-v1", "mobilenet-v2"} <= set(names), f"zoo list: {names}")
        check_weights(c, folder)
    c.end()


if __name__ == "__main__":
    main()
