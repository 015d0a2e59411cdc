#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kvant against its own float engine and against onnxruntime, batch 1, alternating in one run.

usage: peers.py KVANT [--networks a,b] [--threads 1,2] [--rounds N] [--out FILE.json]

Each network comes from `kvant zoo` with random weights (speed does not depend on them). kvant's INT8 plan comes from its
own QDQ file; onnxruntime runs the float file, its own static quantization (uint8 activations, per channel: the form in
which it is fastest), and kvant's QDQ file. One round times every contender after the other; the table shows the median
of the rounds' medians, and the median of the rounds' ratios.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

NETWORKS = {"resnet8": (3, 32, 32), "resnet20": (3, 32, 32), "mobilenet-v2": (3, 224, 224), "resnet50-v1": (3, 224, 224)}


def kvant(program, *arguments):
    done = subprocess.run([program, *arguments, "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.images = iter([{"input": images[i:i + 1]} for i in range(len(images))])

    def get_next(self):
        return next(self.images, None)


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def time_session(run, feed, iterations):
    for _ in range(max(3, iterations // 5)):
        run.run(None, feed)
    times = []
    for _ in range(iterations):
        start = time.perf_counter()
        run.run(None, feed)
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times)[len(times) // 2]


def median(values):
    return sorted(values)[len(values) // 2]


def prepare(program, name, shape, folder):
    at = lambda suffix: os.path.join(folder, name + suffix)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, *shape)).astype(np.float32)
    np.savez(at(".npz"), x=images, y=np.zeros(8, np.int64))
    kvant(program, "zoo", "create", name, "-o", at(".onnx"))
    kvant(program, "quantize", at(".onnx"), "--data", "npz:" + at(".npz"), "--batch", "4", "-o", at(".qdq.onnx"))
    quant_pre_process(at(".onnx"), at(".pre.onnx"), skip_symbolic_shape=True)
    quantize_static(at(".pre.onnx"), at(".ort8.onnx"), Reader(images[:4]), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return at, images[:1]


def bench_network(program, name, threads, rounds, folder):
    at, image = prepare(program, name, NETWORKS[name], folder)
    plans = {}
    for kind, file in (("kvant float", ".onnx"), ("kvant int8", ".qdq.onnx")):
        plans[kind] = at(f".{kind.split()[1]}.{threads}.plan")
        kvant(program, "build", at(file), "--threads", str(threads), "--tune", "-o", plans[kind])
    peers = {"onnxruntime float": session(at(".onnx"), threads), "onnxruntime int8": session(at(".ort8.onnx"), threads),
             "onnxruntime on kvant's file": session(at(".qdq.onnx"), threads)}
    times = {key: [] for key in [*plans, *peers]}
    for _ in range(rounds):
        for key, plan in plans.items():
            times[key].append(kvant(program, "bench", plan, "--threads", str(threads), "--iterations", "60", "--warmup", "15")["latency_ms"]["median"])
        for key, run in peers.items():
            times[key].append(time_session(run, {"input": image}, 40))
    ours = times["kvant int8"]
    return {"network": name, "threads": threads, "median_ms": {k: round(median(v), 4) for k, v in times.items()},
            "ratio_to_kvant_int8": {k: round(median([a / b for a, b in zip(v, ours)]), 3) for k, v in times.items()}}


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.processor())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kvant")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default="bench/results/peers.json")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="kvant-bench-") as folder:
        for name in args.networks.split(","):
            for threads in map(int, args.threads.split(",")):
                rows.append(bench_network(args.kvant, name, threads, args.rounds, folder))
                print(json.dumps(rows[-1]), file=sys.stderr)
    result = {"machine": f"{cpu_name()}, {os.cpu_count()} cores", "date": time.strftime("%Y-%m-%d"),
              "onnxruntime": ort.__version__, "batch": 1, "rounds": args.rounds, "rows": rows}
    with open(args.out, "w") as file:
        json.dump(result, file, indent=2)
    keys = list(rows[0]["median_ms"])
    print(f"batch 1, median ms (ratio to kvant int8); {result['machine']}, {result['date']}, onnxruntime {ort.__version__}\n")
    print("| network | threads | " + " | ".join(keys) + " |\n|---|--:|" + "--:|" * len(keys))
    for row in rows:
        print(f"| {row['network']} | {row['threads']} | " + " | ".join(
            f"{row['median_ms'][k]:.3f} ({row['ratio_to_kvant_int8'][k]:.2f}x)" for k in keys) + " |")


if __name__ == "__main__":
    main()
