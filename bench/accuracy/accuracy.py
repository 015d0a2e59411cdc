#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Float, PTQ by each calibrator, PTQ with repair, QAT, and onnxruntime's quantize_static, on real networks and images.

usage: accuracy.py KVANT WORK_FOLDER [--networks a,b] [--rows float,ptq,...] [--train NAME] [--threads N]

A row that is in WORK_FOLDER/rows.json already is not computed again (delete the file, or name it with --again), so the
run can be cut off and started again. Writes bench/results/accuracy.json and docs/accuracy.md from all rows that there are.
Rows: float, max, percentile, entropy, mse, auto (PTQ by that calibrator, batch norms folded), repair (auto and --adjust
auto), qat (fine-tuned from repair), onnxruntime (its quantize_static, per channel, uint8, its best for CPUs).
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from networks import CALIBRATORS, CIFAR, NETWORKS, SHARED
import page

ROWS = ["float", *CALIBRATORS, "repair", "qat", "onnxruntime"]


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, kvant, folder, threads):
        self.program, self.folder, self.threads = kvant, folder, str(threads)
        os.makedirs(folder, exist_ok=True)

    def at(self, name):
        return os.path.join(self.folder, name)

    def kvant(self, *arguments):
        say("$ kvant " + " ".join(arguments))
        done = subprocess.run([self.program, *arguments, "--threads", self.threads, "--json"], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"kvant {arguments[0]} failed; the rows so far are kept")
        return json.loads(done.stdout)

    def images(self, network, part):
        """--data of a part of the network's data set, unpacked into the work folder when it is compressed."""
        if network["data"] == "imagenet-sample":
            return ["--data", f"csv:{SHARED}/imagenet-sample/images.tar#{network[part]}"]
        tar = self.at("cifar10.tar")
        if not os.path.exists(tar):
            subprocess.run(["zstd", "-q", "-d", "--long=27", CIFAR, "-o", tar + ".part"], check=True)
            os.rename(tar + ".part", tar)
        return ["--data", f"imagefolder:{tar}#{network[part]}"]

    def float_model(self, name, network):
        """The float network as it is judged: taken, made by its script, or trained."""
        if "script" in network:
            out = self.at(name + ".onnx")
            if not os.path.exists(out):
                subprocess.run([sys.executable, network["script"], self.program, "-o", out], check=True)
            return out
        if "zoo" in network:
            kept = f"bench/models/{name}.onnx"
            return kept if os.path.exists(kept) else self.train(name, network)
        if "tuned" in network:  # pretrained on other copies of the images: first brought to these
            out = self.at(name + ".onnx")
            if not os.path.exists(out):
                self.fit(network["file"], network, network["tuned"], out)
            return out
        return network["file"]

    def train(self, name, network):
        start, out = self.at(name + ".start.onnx"), self.at(name + ".onnx")
        self.kvant("zoo", "create", network["zoo"], "--classes", "10", "--input", "3x32x32", "-o", start)
        self.fit(start, network, network["train"], out)
        return out

    def fit(self, model, network, recipe, out):
        self.kvant("train", model, *self.images(network, "calibrate"), "--samples", "all", *network["preprocess"], *recipe,
                   "--holdout", "0.02", "--resume", "-o", out)

    def quantize(self, name, network, row):
        calibrator, adjust = ("auto", "auto") if row == "repair" else (row, "fold-batch-norm")
        out = self.at(f"{name}.{row}.qdq.onnx")
        result = self.kvant("quantize", self.float_model(name, network), *self.images(network, "calibrate"),
                            "--samples", str(network["calibration_images"]), *network["preprocess"],
                            "--calibrator", calibrator, "--adjust", adjust, "--target", "kvant", "-o", out)
        return out, {"adjust": result.get("adjust", []), "seconds": result["seconds"]}

    def fine_tune(self, name, network):
        start, out = self.at(f"{name}.repair.qdq.onnx"), self.at(f"{name}.qat.qdq.onnx")
        if not os.path.exists(start):
            self.quantize(name, network, "repair")
        teacher = self.float_model(name, network)
        holdout = ["--holdout", "0.1" if network["data"] == "imagenet-sample" else "0.02"]
        result = self.kvant("train", start, *self.images(network, "calibrate"), "--samples", network["qat_images"], *network["qat"],
                            *holdout, "--distill", teacher, "--resume", "-o", out)
        return out, {"images_per_second": result["images_per_second"]}

    def by_onnxruntime(self, name, network):
        import peer  # needs numpy, Pillow and onnxruntime: the environment of `make accuracy`
        out = self.at(f"{name}.onnxruntime.qdq.onnx")
        peer.quantize(self.float_model(name, network), self.images(network, "calibrate")[1],
                      network["calibration_images"], network["preprocess"], out)
        return out, {}

    def row(self, name, network, row):
        float_model, more = self.float_model(name, network), {}
        if row == "float":
            model = float_model
        elif row == "qat":
            model, more = self.fine_tune(name, network)
        elif row == "onnxruntime":
            model, more = self.by_onnxruntime(name, network)
        else:
            model, more = self.quantize(name, network, row)
        images = [*self.images(network, "evaluate"), "--samples", "all", *network["preprocess"]]
        result = more
        if row not in CALIBRATORS:  # the graph as it says, in float; what is deployed is the engine's figure
            figures = self.kvant("eval", model, *images)
            result |= {"top1": figures["top1"], "samples": figures["samples"]}
        if row != "float":
            plan = self.at(f"{name}.{row}.plan")
            self.kvant("build", model, "-o", plan)
            figures = self.kvant("eval", plan, *images)
            result |= {"engine_top1": figures["top1"], "samples": figures["samples"]}
            result["agreement"] = self.kvant("compare", float_model, plan, "--outputs-only", "--runner", "engine", *images)["top1_agreement"]
        return result


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.processor())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kvant")
    parser.add_argument("folder")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--again", action="store_true", help="compute the rows again that are there")
    parser.add_argument("--train", metavar="NAME", help="train this network from scratch, and nothing else")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if not os.path.isdir(SHARED):
        print(f"skipped: the networks and images of {SHARED} are not here")
        return
    bench = Bench(args.kvant, args.folder, args.threads)
    if args.train:
        print(bench.train(args.train, NETWORKS[args.train]))
        return
    store = bench.at("rows.json")
    rows = json.load(open(store)) if os.path.exists(store) else {}
    for name in args.networks.split(","):
        for row in args.rows.split(","):
            key = f"{name}/{row}"
            if key in rows and not args.again:
                continue
            rows[key] = {**bench.row(name, NETWORKS[name], row), "date": time.strftime("%Y-%m-%d"),
                         "machine": f"{cpu_name()}, {os.cpu_count()} cores"}
            with open(store + ".part", "w") as file:
                json.dump(rows, file, indent=1)
            os.rename(store + ".part", store)
    with open("bench/results/accuracy.json", "w") as file:
        json.dump(rows, file, indent=1)
    with open("docs/accuracy.md", "w") as file:
        file.write(page.text(rows, NETWORKS, ROWS))


if __name__ == "__main__":
    main()
