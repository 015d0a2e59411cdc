#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: Fashion-MNIST from a float network with random weights to a measured INT8 plan.

usage: demo.py KVANT OUTPUT_FOLDER       (DEMO=short in the environment: a few minutes less, for CI)

Trains a small residual network, quantizes it (PTQ), fine-tunes it (QAT), does the same in 4 bits (simulated, to show
what QAT is for), compiles plans, evaluates on the test images, compares engine and model tensor by tensor, times
everything, and leaves summary.json beside the models. Needs nothing but the program and Python's standard library.
"""
import json
import os
import platform
import subprocess
import sys
import time

DATA = "idx:/usr/share/datasets/fashion-mnist"
SHORT = os.environ.get("DEMO") == "short"
# Full: every image in training, half of them in fine-tuning. Short: enough to see every step work.
FULL_PLAN = dict(train="all", test="all", epochs=4, qat="30000", qat_epochs=1, qat4_epochs=1, compare=1000, iterations=300, rounds=3)
SHORT_PLAN = dict(train="6000", test="1000", epochs=2, qat="6000", qat_epochs=1, qat4_epochs=1, compare=64, iterations=50, rounds=1)
PLAN = SHORT_PLAN if SHORT else FULL_PLAN


def say(text):
    print(text, file=sys.stderr, flush=True)


class Demo:
    def __init__(self, kvant, folder):
        self.kvant, self.folder, self.kept = kvant, folder, 0
        os.makedirs(folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *arguments):
        """One kvant command; its JSON result. Progress goes to our standard error."""
        say("$ kvant " + " ".join(arguments))
        done = subprocess.run([self.kvant, *arguments, "--json"], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(done.returncode)
        if arguments[0] in ("train", "quantize", "eval", "compare"):  # for the report, which looks at the rest itself
            self.kept += 1
            with open(self.path(f"{self.kept:02}-{arguments[0]}.json"), "w") as file:
                file.write(done.stdout)
        return json.loads(done.stdout)

    def train_float(self):
        start, model = self.path("resnet8.start.onnx"), self.path("resnet8.onnx")
        self.run("zoo", "create", "resnet8", "--input", "1x28x28", "--classes", "10", "-o", start)
        self.run("train", start, "--data", DATA + "#train", "--samples", PLAN["train"], "--holdout", "0.02",
                 "--epochs", str(PLAN["epochs"]), "--batch", "128", "--lr", "0.2", "--flip",
                 "--preprocess", "scale", "--mean", "0.286", "--std", "0.353", "-o", model)
        return model

    def quantize(self, model, name, bits, calibrator):
        out = self.path(name)
        self.run("quantize", model, "--data", DATA + "#train", "--samples", "512", "--calibrator", calibrator,
                 "--bits", str(bits), "-o", out)
        return out

    def fine_tune(self, model, name, epochs, rate, *more):
        out = self.path(name)
        self.run("train", model, "--data", DATA + "#train", "--samples", PLAN["qat"], "--holdout", "0.02",
                 "--epochs", str(epochs), "--lr", rate, "--flip", *more, "-o", out)
        return out

    def top1(self, model):
        return self.run("eval", model, "--data", DATA + "#test", "--samples", PLAN["test"])["top1"]

    def build(self, model):
        plan = model.replace(".onnx", ".plan")
        self.run("build", model, "-o", plan)
        return plan

    def latency(self, model, *more):
        result = self.run("bench", model, "--iterations", str(PLAN["iterations"]), "--quiet", *more)
        return result["latency_ms"]["median"]


def median(values):
    return sorted(values)[len(values) // 2]


def measure(demo, rows, float_model):
    """Latencies of all plans and of LibTorch, alternating, so that a busy moment hits all alike."""
    times = {key: [] for key in rows}
    torch = []
    for _ in range(PLAN["rounds"]):
        for key, row in rows.items():
            times[key].append(demo.latency(row["plan"]))
        torch.append(demo.latency(float_model, "--runner", "torch"))
    for key, row in rows.items():
        row["latency_ms"] = median(times[key])
    return median(torch)


def table(rows, simulated, torch_ms):
    head = ("model", "top-1", "engine top-1", "latency ms", "vs float engine", "vs LibTorch float", "size")
    lines = [head]
    for name, row in rows.items():
        lines.append((row["label"], f"{100 * row['top1']:.2f} %", f"{100 * row['engine_top1']:.2f} %",
                      f"{row['latency_ms']:.3f}", f"{rows['float']['latency_ms'] / row['latency_ms']:.2f}x",
                      f"{torch_ms / row['latency_ms']:.2f}x", f"{row['bytes'] / 1024:.0f} KiB"))
    for row in simulated.values():
        lines.append((row["label"], f"{100 * row['top1']:.2f} %", "-", "-", "-", "-", "-"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = []
    for n, line in enumerate(lines):
        text.append("| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                      for i, (cell, w) in enumerate(zip(line, widths))) + " |")
        if n == 0:
            text.append("|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|")
    return "\n".join(text)


def cpu_name():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def check(summary):
    """What the demo promises; the list of what does not hold. Speed is shown, not judged."""
    f, p, q = (summary[k] for k in ("float", "ptq", "qat"))
    s = summary["simulated_4_bits"]
    slack = 0.03 if SHORT else 0.0  # a thousand test images have that much noise
    lost, won = f["top1"] - s["ptq"]["top1"], s["qat"]["top1"] - s["ptq"]["top1"]
    promises = [
        ("float top-1 is at least 91 %", SHORT or f["top1"] >= 0.91),
        ("PTQ is within 0.5 points of float", p["top1"] >= f["top1"] - 0.005 - slack),
        ("QAT is within 0.2 points of float, or above", q["top1"] >= f["top1"] - 0.002 - slack),
        ("the engine's top-1 equals the simulated within 0.05 points",
         all(abs(r["engine_top1"] - r["top1"]) <= (0.002 if SHORT else 0.0005) for r in (p, q))),
        ("at most 1e-3 of any tensor's codes differ from the interpreter's", summary["compare"]["max_differing"] <= 1e-3),
        ("engine and interpreter agree on 99.9 % of the images", summary["compare"]["top1_agreement"] >= 0.999),
        ("4 bits: PTQ visibly loses", SHORT or lost > 0.005),
        ("4 bits: QAT wins back two thirds of the loss", SHORT or won >= 2 / 3 * lost),
    ]
    return [text for text, holds in promises if not holds]


def main():
    demo = Demo(sys.argv[1], sys.argv[2])
    began = time.time()
    float_model = demo.train_float()
    ptq = demo.quantize(float_model, "resnet8.ptq.onnx", 8, "percentile")
    qat = demo.fine_tune(ptq, "resnet8.qat.onnx", PLAN["qat_epochs"], "0.005")
    ptq4 = demo.quantize(float_model, "resnet8.ptq4.onnx", 4, "percentile")
    qat4 = demo.fine_tune(ptq4, "resnet8.qat4.onnx", PLAN["qat4_epochs"], "0.01", "--clip-norm", "1")

    rows = {key: {"label": label, "file": file, "plan": demo.build(file)}
            for key, label, file in (("float", "float", float_model), ("ptq", "INT8 PTQ", ptq), ("qat", "INT8 QAT", qat))}
    simulated = {"ptq": {"label": "4 bits PTQ (simulated)", "file": ptq4}, "qat": {"label": "4 bits QAT (simulated)", "file": qat4}}
    for row in rows.values():
        row["top1"], row["engine_top1"] = demo.top1(row["file"]), demo.top1(row["plan"])
        row["bytes"] = os.path.getsize(row["plan"])
    for row in simulated.values():
        row["top1"] = demo.top1(row["file"])
    compared = demo.run("compare", qat, rows["qat"]["plan"], "--data", DATA + "#test", "--samples", str(PLAN["compare"]))
    torch_ms = measure(demo, rows, float_model)

    summary = dict(rows)
    summary["simulated_4_bits"] = simulated
    summary["libtorch_latency_ms"] = torch_ms
    summary["compare"] = {k: compared[k] for k in ("max_differing", "top1_agreement")}
    summary["machine"] = f"{cpu_name()}, {os.cpu_count()} cores"
    summary["date"] = time.strftime("%Y-%m-%d")
    summary["mode"] = "short" if SHORT else "full"
    summary["seconds"] = round(time.time() - began, 1)
    with open(demo.path("summary.json.part"), "w") as file:
        json.dump(summary, file, indent=2)
    os.replace(demo.path("summary.json.part"), demo.path("summary.json"))
    demo.run("report", demo.folder, "--title", "ResNet-8 on Fashion-MNIST", "-o", demo.path("report.html"))

    print(f"\nFashion-MNIST, {PLAN['test']} test images; batch 1 on {summary['machine']}; {summary['date']}"
          + (" (short form: trained on a part of the images)" if SHORT else "") + "\n")
    print(table(rows, simulated, torch_ms))
    print(f"\nengine against interpreter: largest share of differing codes {summary['compare']['max_differing']:.1e}, "
          f"same top-1 on {100 * summary['compare']['top1_agreement']:.2f} %; {summary['seconds']:.0f} s in all\n\nfiles:")
    for row in list(rows.values()) + list(simulated.values()):
        print("  " + row["file"] + ("  " + row["plan"] if "plan" in row else ""))
    print("  " + demo.path("summary.json") + "  " + demo.path("report.html"))
    broken = check(summary)
    for text in broken:
        print("does not hold: " + text)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
