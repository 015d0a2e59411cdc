#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kvant against onnxruntime and OpenVINO, and its INT8 against its own float engine, alternating in one run.

usage: peers.py KVANT [--networks a,b] [--threads 1,2] [--batch 1,8] [--rounds N] [--seconds S] [--folder DIR]
                [--prepare] [--out FILE.json]

Each network comes from `kvant zoo` with random weights (speed does not depend on them). Every peer runs it in the form
in which it is fastest: onnxruntime and OpenVINO a QDQ file of onnxruntime's own static quantization (uint8
activations, per channel; transformers by dynamic quantization too), kvant a plan of its own QDQ file; further columns
are kvant on onnxruntime's file, onnxruntime on kvant's, and each one's float. One round times every contender after
the other, each for at most S seconds; the table shows the median of the rounds' medians and the median of the rounds'
ratios. A canary (kvant bench: a register-only loop) runs between the contenders; its share of its own peak says how
quiet the machine was. What fails has its reason in its cell. --prepare makes the files only; rows of an existing
FILE.json are kept, those measured again replaced, so that a long run can be made in pieces.
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
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

try:
    import openvino
except ImportError:
    openvino = None

NETWORKS = ["resnet50-v1", "resnet50-v1.5", "resnet101-v1.5", "keras-mobilenet-v1", "mobilenet-v2", "tf-efficientnet-b0",
            "tf-efficientnet-b3", "keras-inception-v3", "squeezenet1.1", "deit-tiny", "yolov8n"]
OURS = "kvant int8"
TABLES = "kvant int8, activation tables"  # one more rounding before each SiLU and GELU, as onnxruntime's files have it
CORES = os.sched_getaffinity(0)


class Failed(Exception):
    pass


def all_cores():
    """OpenVINO holds the thread that calls it to one core, which later calls and child processes would inherit."""
    os.sched_setaffinity(0, CORES)


def kvant(program, *arguments):
    all_cores()
    done = subprocess.run([program, *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout)


def guarded(fn, *arguments):
    """The result of fn, or what went wrong as a string."""
    try:
        return fn(*arguments)
    except Exception as error:  # peers raise anything
        return "failed: " + (" ".join(str(error).split()) or type(error).__name__)[:300]


class Reader(CalibrationDataReader):
    def __init__(self, name, images):
        self.images = iter([{name: images[i:i + 1]} for i in range(len(images))])

    def get_next(self):
        return next(self.images, None)


def is_transformer(name):
    return "deit" in name or "vit" in name


class Files:
    """The files of one network in `folder`, made once."""

    def __init__(self, program, name, folder):
        self.program, self.name, self.folder = program, name, folder
        listed = next((n for n in kvant(program, "zoo", "list")["networks"] if n["name"] == name), None)
        if listed is None:
            raise Failed(f"the zoo has no network {name}")
        self.macs = listed["macs"]
        self.shape = tuple(int(d) for d in listed["input"].split("x"))
        self.images = np.random.default_rng(0).normal(size=(8, *self.shape)).astype(np.float32)

    def at(self, suffix):
        return os.path.join(self.folder, self.name + suffix)

    def once(self, suffix, make):
        """Path of a file that make(path) writes unless it is there; what went wrong is remembered in its place."""
        path, part = self.at(suffix), os.path.join(self.folder, "part." + self.name + suffix)
        if not os.path.exists(path) and not os.path.exists(path + ".failed"):
            result = guarded(make, part)
            if isinstance(result, str) and result.startswith("failed: "):
                with open(path + ".failed", "w") as file:
                    file.write(result)
            else:
                os.rename(part, path)
        if os.path.exists(path + ".failed"):
            with open(path + ".failed") as file:
                raise Failed(file.read().removeprefix("failed: "))
        return path

    def float(self):
        return self.once(".onnx", lambda path: kvant(self.program, "zoo", "create", self.name, "-o", path) and None)

    def quantized(self, suffix, *flags):
        def make(path):
            data = self.at(".npz")
            np.savez(data, x=self.images, y=np.zeros(8, np.int64))
            attention = ["--attention"] if is_transformer(self.name) else []  # as the peers' quantizers do
            kvant(self.program, "quantize", self.float(), "--data", "npz:" + data, "--batch", "4", "-o", path, *attention, *flags)
        return self.once(suffix, make)

    def ours(self):
        return self.quantized(".qdq.onnx")

    def tables(self):
        return self.quantized(".tables.onnx", "--activation-tables")

    def input_name(self):
        return onnx.load(self.float(), load_external_data=False).graph.input[0].name

    def clean(self):
        return self.once(".pre.onnx", lambda path: quant_pre_process(self.float(), path, skip_symbolic_shape=True))

    def static(self):
        def make(path):
            quantize_static(self.clean(), path, Reader(self.input_name(), self.images[:4]), quant_format=QuantFormat.QDQ,
                            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        return self.once(".ort8.onnx", make)

    def dynamic(self):
        return self.once(".ort8d.onnx", lambda path: quantize_dynamic(self.clean(), path, per_channel=True))

    def plan(self, file, batch, threads):
        def make(path):
            kvant(self.program, "build", file, "--batch", batch, "--threads", threads, "--timing-cache", self.at(".timings"),
                  "-o", path)
        path = self.at(f".{os.path.basename(file)}.{batch}.{threads}.plan")
        make(path)
        return path

    def prepare(self):
        for _, make in contenders(self).values():
            print(f"{self.name}: {guarded(make)}", file=sys.stderr, flush=True)


def time_calls(call, seconds):
    """Median, min and p10 in ms of at least 3 calls within about `seconds`."""
    all_cores()
    times = []
    call()
    end = time.perf_counter() + 1.2 * seconds
    warm = time.perf_counter() + 0.2 * seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        if now >= warm or not times:
            times.append(1000 * (now - start))
        if len(times) >= 2000:
            break
    times.sort()
    return {"min": times[0], "p10": times[len(times) // 10], "median": times[len(times) // 2]}


class Plan:
    def __init__(self, files, file, batch, threads):
        self.program, self.threads = files.program, threads
        self.path = files.plan(file(), batch, threads)

    def time(self, seconds):
        result = kvant(self.program, "bench", self.path, "--threads", self.threads, "--iterations", 2000, "--warmup", 5,
                       "--seconds", seconds)
        return {key: result["latency_ms"][key] for key in ("min", "p10", "median")}


class OnnxRuntime:
    def __init__(self, files, file, batch, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = ort.InferenceSession(file(), options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: np.ascontiguousarray(files.images[:batch])}

    def time(self, seconds):
        return time_calls(lambda: self.session.run(None, self.feed), seconds)


class OpenVino:
    precision = None  # of what is not INT8: its own choice, bfloat16 where the CPU has it

    def __init__(self, files, file, batch, threads):
        if openvino is None:
            raise Failed("openvino is not installed")
        core = openvino.Core()
        model = core.read_model(file())
        model.reshape([batch, *files.shape])
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if self.precision:
            config["INFERENCE_PRECISION_HINT"] = self.precision
        self.compiled = core.compile_model(model, "CPU", config)
        self.request = self.compiled.create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(np.ascontiguousarray(files.images[:batch])))

    def time(self, seconds):
        return time_calls(self.request.infer, seconds)


class OpenVinoInt8(OpenVino):
    """The file that is given or, where OpenVINO refuses that, kvant's."""

    def __init__(self, files, file, batch, threads):
        try:
            super().__init__(files, file, batch, threads)
        except RuntimeError:
            super().__init__(files, files.ours, batch, threads)


class OpenVinoFloat(OpenVino):
    precision = "f32"


def contenders(files):
    """Name -> (class, function that gives its file)."""
    table = {"kvant int8": (Plan, files.ours), "kvant int8 on onnxruntime's file": (Plan, files.static),
             "onnxruntime int8": (OnnxRuntime, files.static), "openvino int8": (OpenVinoInt8, files.static),
             "kvant float": (Plan, files.float), "onnxruntime float": (OnnxRuntime, files.float),
             "openvino float": (OpenVinoFloat, files.float), "openvino bfloat16": (OpenVino, files.float),
             "onnxruntime on kvant's file": (OnnxRuntime, files.ours)}
    if is_transformer(files.name):
        table["onnxruntime int8 dynamic"] = (OnnxRuntime, files.dynamic)
    if is_transformer(files.name) or any(family in files.name for family in ("efficientnet", "yolo")):  # SiLU, GELU
        table[TABLES] = (Plan, files.tables)
    return table


def median(values):
    return sorted(values)[len(values) // 2]


def canary(program, threads):
    return kvant(program, "bench", "canary", "--threads", threads, "--iterations", 50, "--warmup", 5)["canary"]


def bench_network(files, batch, threads, args):
    ready = {}
    for name, (kind, file) in contenders(files).items():
        if args.only and name not in args.only:
            continue
        all_cores()
        ready[name] = guarded(kind, files, file, batch, threads)
    failed = {name: one.removeprefix("failed: ") for name, one in ready.items() if isinstance(one, str)}
    samples = {name: [] for name, one in ready.items() if name not in failed}
    canaries = [canary(files.program, threads)]
    for _ in range(args.rounds):
        for name in list(samples):
            time.sleep(0.05)  # threads of the one before go to sleep
            sample = guarded(ready[name].time, args.seconds)
            if isinstance(sample, str):
                failed[name] = sample.removeprefix("failed: ")
                del samples[name]
                continue
            samples[name].append(sample)
        canaries.append(canary(files.program, threads))
    peak = max(c["peak_gmacs"] for c in canaries)
    row = {"network": files.name, "batch": batch, "threads": threads, "macs": files.macs, "rounds": args.rounds,
           "canary": {"kind": canaries[0]["kind"], "peak_gmacs": round(peak, 1),
                      "share": round(median([c["share"] * c["peak_gmacs"] for c in canaries]) / peak, 3)},
           "contenders": {name: {"failed": reason} for name, reason in failed.items()}}
    ours = [s["median"] for s in samples.get(OURS, [])]
    for name, rounds in samples.items():
        entry = {key: round(median([r[key] for r in rounds]) if key != "min" else min(r[key] for r in rounds), 4)
                 for key in ("min", "p10", "median")}
        entry["efficiency"] = round(files.macs * batch / entry["median"] * 1e-6 / peak, 4)
        if ours:
            entry["ratio_to_kvant_int8"] = round(median([r["median"] / o for r, o in zip(rounds, ours)]), 3)
        row["contenders"][name] = entry
    return row


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.processor())


def load_rows(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [row for row in json.load(file).get("rows", []) if "contenders" in row]


def write(path, rows):
    order = {name: i for i, name in enumerate(NETWORKS)}
    rows.sort(key=lambda r: (r["batch"], r["threads"], order.get(r["network"], len(order)), r["network"]))
    result = {"machine": f"{cpu_name()}, {os.cpu_count()} cores", "date": time.strftime("%Y-%m-%d"),
              "onnxruntime": ort.__version__, "openvino": openvino.__version__.split("-")[0] if openvino else None, "rows": rows}
    with open(path, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    return result


def cell(entry, ours):
    if entry is None:
        return "-"
    if "failed" in entry:
        return "failed"
    return f"{entry['median']:.2f}" + ("" if ours else f" ({entry.get('ratio_to_kvant_int8', 0):.2f}x)")


def markdown(result):
    text = f"Median ms (ratio to kvant int8); {result['machine']}, {result['date']}, onnxruntime {result['onnxruntime']}"
    text += f", openvino {result['openvino']}\n"
    for batch, threads in sorted({(r["batch"], r["threads"]) for r in result["rows"]}):
        rows = [r for r in result["rows"] if (r["batch"], r["threads"]) == (batch, threads)]
        names = list(dict.fromkeys(n for n in [OURS] + [n for r in rows for n in r["contenders"]]))
        text += f"\nbatch {batch}, {threads} thread{'s' if threads > 1 else ''}\n\n| network | of VNNI peak | " + " | ".join(names)
        text += " | canary |\n|---|--:|" + "--:|" * len(names) + "--:|\n"
        for row in rows:
            ours = row["contenders"].get(OURS, {})
            text += f"| {row['network']} | {100 * ours.get('efficiency', 0):.0f} % | "
            text += " | ".join(cell(row["contenders"].get(n), n == OURS) for n in names)
            text += f" | {100 * row['canary']['share']:.0f} % |\n"
    return text


def ratio(entry, ours):
    """How many times `ours` an entry took, by the medians of the ratios of alternating rounds."""
    return entry.get("ratio_to_kvant_int8", 0) / ours.get("ratio_to_kvant_int8", 1)


def short_rows(row):
    """A network's lines of the README's table: INT8 against INT8, and what quantization gains."""
    entries = row["contenders"]
    best = [n for n in ("onnxruntime int8", "onnxruntime int8 dynamic") if "median" in entries.get(n, {})]
    if best:
        entries["onnxruntime int8"] = entries[min(best, key=lambda n: entries[n]["median"])]
    for form, suffix in ((OURS, ""), (TABLES, ", tables")):
        ours = entries.get(form, {})
        if "median" not in ours and form == TABLES:
            continue
        cells = []
        for name in ("onnxruntime int8", "openvino int8", "kvant float"):
            entry = entries.get(name)
            timed = entry is not None and "median" in entry
            cells.append(f"{entry['median']:.2f} / {entry['min']:.2f} ({ratio(entry, ours):.2f}x)" if timed else
                         "-" if entry is None else "failed")
        yield (f"| {row['network']}{suffix} | {row['threads']} | {ours.get('median', 0):.2f} / {ours.get('min', 0):.2f} | "
               f"{100 * ours.get('efficiency', 0):.0f} % | " + " | ".join(cells) + " |\n")


def short_markdown(result):
    """The README's table: batch 1 open, larger batches folded."""
    head = "| network | threads | kvant INT8 | of peak | onnxruntime INT8 | OpenVINO INT8 | kvant float |\n"
    head += "|---|--:|--:|--:|--:|--:|--:|\n"
    text = ""
    for batch in sorted({r["batch"] for r in result["rows"]}):
        lines = "".join(line for row in result["rows"] if row["batch"] == batch for line in short_rows(row))
        text += head + lines if batch == 1 else f"\n<details><summary>Batch {batch}</summary>\n\n{head}{lines}\n</details>\n"
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kvant")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="of each contender in each round")
    parser.add_argument("--only", type=lambda text: text.split(","), help="contenders by name")
    parser.add_argument("--folder", help="keep the files here")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--show", action="store_true", help="print the README's table of --out, measure nothing")
    parser.add_argument("--out", default="bench/results/peers.json")
    args = parser.parse_args()
    if args.show:
        with open(args.out) as file:
            return print(short_markdown(json.load(file)))
    with tempfile.TemporaryDirectory(prefix="kvant-bench-") as scratch:
        folder = args.folder or scratch
        os.makedirs(folder, exist_ok=True)
        rows = load_rows(args.out)
        for name in args.networks.split(","):
            files = Files(args.kvant, name, folder)
            files.prepare()
            if args.prepare:
                continue
            for batch in map(int, args.batch.split(",")):
                for threads in map(int, args.threads.split(",")):
                    row = bench_network(files, batch, threads, args)
                    print(json.dumps(row), file=sys.stderr, flush=True)
                    rows = [r for r in rows if (r["network"], r["batch"], r["threads"]) != (name, batch, threads)] + [row]
                    result = write(args.out, rows)
    if not args.prepare:
        print(markdown(result))


if __name__ == "__main__":
    main()
