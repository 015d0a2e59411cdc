#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packing, running, merging and showing of bench/gpu.sh. Only Python's own library, so that it runs anywhere; steps that
need more (PyTorch, compute-sanitizer, ncu) say so and are left out where that is missing."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Our network, PyTorch's (torchvision or timm), and the goals at batch 1 on an H100: good, strong, moonshot (ms).
NETWORKS = {
    "keras-resnet50-v1": ("resnet50", (0.30, 0.17, 0.10)),
    "keras-resnet50-v2": ("timm:resnetv2_50", (0.32, 0.18, 0.105)),
    "keras-resnet101-v1": ("resnet101", (0.58, 0.34, 0.195)),
    "keras-resnet101-v2": ("timm:resnetv2_101", (0.60, 0.35, 0.20)),
    "keras-mobilenet-v1": ("timm:mobilenetv1_100", (0.125, 0.070, 0.042)),
    "keras-mobilenet-v2": ("mobilenet_v2", (0.21, 0.12, 0.070)),
    "keras-efficientnet-b0": ("efficientnet_b0", (0.32, 0.185, 0.105)),
    "keras-efficientnet-b3": ("efficientnet_b3", (0.54, 0.315, 0.18)),
    "keras-inception-v3": ("inception_v3", (0.34, 0.20, 0.11)),
}
STEPS = ["constants", "tests", "networks", "torch", "sanitizer", "profile"]
# Seconds that a step may take at most; what is left of the whole bounds it too.
BUDGET = {"constants": 90, "tests": 240, "networks": 420, "torch": 480, "sanitizer": 150, "profile": 120}
TESTS = ["backends_test", "conformance_test"]
BEGIN, END = "<!-- gpu table begin -->", "<!-- gpu table end -->"
# Of the machine where it runs, not to be carried.
SYSTEM_LIBRARIES = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux", "libstdc++.so", "libgcc_s.so",
                    "linux-vdso")


class Failed(Exception):
    """One sentence about what went wrong."""


# ---- pack


def libraries_of(program):
    """Shared libraries that a program needs and a bare machine lacks."""
    text = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    paths = []
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" => ")
        path = rest.split(" ")[0]
        if "not found" in rest:
            raise Failed(f"{program} needs {name}, which is not there")
        if path.startswith("/") and not name.startswith(SYSTEM_LIBRARIES):
            paths.append(pathlib.Path(path))
    return paths


def pack(options):
    build, out = pathlib.Path(options.build), pathlib.Path(options.out)
    programs = [build / "bin" / "kvant"] + [build / "tests" / name for name in TESTS]
    missing = [str(p) for p in programs if not p.is_file()]
    if missing:
        raise Failed(f"{missing[0]} is not built: ninja -C {build} kvant {' '.join(TESTS)}")
    shutil.rmtree(out, ignore_errors=True)
    (out / "bin").mkdir(parents=True)
    (out / "lib").mkdir()
    libraries = {}
    for program in programs:
        shutil.copy2(program, out / "bin" / program.name)
        for path in libraries_of(program):
            libraries[path.name] = path
    for name, path in libraries.items():
        shutil.copy2(path, out / "lib" / name)
    if not options.no_strip and shutil.which("strip"):
        for file in (out / "bin").iterdir():
            subprocess.run(["strip", str(file)], check=False)
    constants = build_constants(out / "bin")
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    (out / "bundle.json").write_text(json.dumps({"commit": commit, "bytes": size, "constants": constants}) + "\n")
    print(f"{out}: {len(programs)} programs, {len(libraries)} libraries, {size / 2**20:.1f} MiB")
    if size > options.limit * 2**20:
        raise Failed(f"the bundle has {size / 2**20:.1f} MiB, more than the {options.limit} that a lent machine takes")


def build_constants(folder):
    """The program of machine constants; where there is no nvcc it is built on the machine with the card."""
    nvcc = shutil.which("nvcc") or ("/usr/local/cuda/bin/nvcc" if os.path.exists("/usr/local/cuda/bin/nvcc") else None)
    if nvcc is None:
        return False
    codes = []
    for sm in (80, 90):
        codes += ["-gencode", f"arch=compute_{sm},code=sm_{sm}"]
    subprocess.run([nvcc, "-std=c++20", "-O3", *codes, "-o", str(folder / "machine_constants"),
                    str(HERE / "machine_constants.cu")], check=True)
    return True


# ---- run


class Run:
    """One visit to a machine: steps within a budget, the results written after each."""

    def __init__(self, options):
        self.options = options
        self.bundle = pathlib.Path(options.bundle)
        self.out = pathlib.Path(options.out)
        self.end = time.monotonic() + 60 * options.minutes
        self.step_end = self.end
        self.results = {"device": None, "requested": options.device, "date": time.strftime("%Y-%m-%d", time.gmtime()),
                        "commit": self.bundle_fact("commit"), "constants": {}, "tests": {}, "sanitizer": {}, "networks": {},
                        "profile": {}, "not_done": {}}
        self.environment = dict(os.environ)
        self.environment["LD_LIBRARY_PATH"] = f"{self.bundle / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
        self.environment["KVANT_TEST_DEVICE"] = options.device

    def bundle_fact(self, name):
        file = self.bundle / "bundle.json"
        return json.loads(file.read_text()).get(name) if file.is_file() else None

    def program(self, name):
        path = self.bundle / "bin" / name
        if not path.is_file():
            raise Failed(f"{path} is not there: bench/gpu.sh pack makes it")
        return str(path)

    def call(self, *command, limit=600):
        """Output of a command; what is left of the step's time bounds it."""
        left = max(5.0, min(limit, self.step_end - time.monotonic()))
        try:
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=self.environment,
                                  timeout=left)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{pathlib.Path(str(command[0])).name} did not end within {left:.0f} s") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["no message"]
            raise Failed(f"{pathlib.Path(str(command[0])).name}: {lines[-1]}")
        return done.stdout

    def kvant(self, *arguments, limit=600):
        return json.loads(self.call(self.program("kvant"), *arguments, "--json", "--quiet", limit=limit))

    def all_steps(self):
        self.out.mkdir(parents=True, exist_ok=True)
        for step in self.options.steps:
            left = self.end - time.monotonic()
            self.step_end = time.monotonic() + min(BUDGET[step], left)
            if left < 20:
                self.results["not_done"][step] = "no time was left"
            else:
                try:
                    getattr(self, "step_" + step)()
                except Failed as error:
                    self.results["not_done"][step] = str(error)
            print(f"{step}: {self.results['not_done'].get(step, 'done')}", file=sys.stderr, flush=True)
            self.write()
        return self.results

    def write(self):
        file = self.out / "gpu.json"
        file.with_suffix(".tmp").write_text(json.dumps(self.results, indent=1) + "\n")
        os.replace(file.with_suffix(".tmp"), file)

    def step_constants(self):
        program = self.bundle / "bin" / "machine_constants"
        if not program.is_file() and not build_constants(self.bundle / "bin"):
            raise Failed("machine_constants is not in the bundle and there is no nvcc")
        constants = json.loads(self.call(program, limit=90))
        self.results["constants"] = constants
        self.results["device"] = constants["device"]

    def step_tests(self):
        for name in TESTS:
            start = time.monotonic()
            filters = ["--gtest_filter=*Cuda*:*cuda*:CpuBackend.*"]
            try:
                text = self.call(self.program(name), *filters, limit=200)
                last = [line for line in text.splitlines() if "PASSED" in line or "tests ran" in line]
                self.results["tests"][name] = {"passed": True, "summary": " ".join(last)}
            except Failed as error:
                self.results["tests"][name] = {"passed": False, "summary": str(error)}
            self.results["tests"][name]["seconds"] = round(time.monotonic() - start, 1)

    def step_sanitizer(self):
        sanitizer = shutil.which("compute-sanitizer")
        if sanitizer is None:
            raise Failed("compute-sanitizer is not on this machine")
        for tool in ("memcheck", "racecheck"):
            try:
                text = self.call(sanitizer, "--tool", tool, "--error-exitcode", "3", self.program("backends_test"),
                                 "--gtest_filter=CpuBackend.QConv:CpuBackend.QAddAndQMul:CpuBackend.PoolsOfCodes", limit=75)
                self.results["sanitizer"][tool] = text.strip().splitlines()[-1]
            except Failed as error:
                self.results["sanitizer"][tool] = f"failed: {error}"

    def model(self, network):
        """A QDQ file with random weights, made once: speed does not depend on them (but zeros would)."""
        folder = self.out / "models"
        folder.mkdir(exist_ok=True)
        qdq = folder / f"{network}.qdq.onnx"
        if qdq.is_file():
            return qdq
        model = folder / f"{network}.onnx"
        shape = ["--input", self.options.input] if self.options.input else []
        self.kvant("zoo", "create", network, "-o", model, *shape)
        data = folder / f"{network}.npz"
        self.call(sys.executable, HERE / "random_images.py", data, self.input_shape(model))
        self.kvant("quantize", model, "--data", f"npz:{data}", "--preprocess", "none", "--samples", "8", "--adjust", "none",
                   "-o", qdq)
        model.unlink()
        return qdq

    def input_shape(self, model):
        shape = self.kvant("inspect", model)["inputs"][0]["shape"]
        return "x".join(str(d) for d in shape[1:])

    def step_networks(self):
        for network in self.options.networks:
            for batch in self.options.batches:
                entry = self.results["networks"].setdefault(network, {}).setdefault(str(batch), {})
                if time.monotonic() > self.step_end - 5:
                    entry["not_done"] = "no time was left"
                    continue
                try:
                    self.bench_network(network, batch, entry)
                except Failed as error:
                    entry["not_done"] = str(error)
            self.write()

    def bench_network(self, network, batch, entry):
        plan = self.out / "models" / f"{network}.{batch}.plan"
        cache = self.out / "timings"
        tune = ["--timing-cache", cache] if self.options.tune else []
        built = self.kvant("build", self.model(network), "--device", self.options.device, "--batch", batch, *tune, "-o", plan)
        bench = self.kvant("bench", plan, "--device", self.options.device, "--profile", "--iterations",
                           self.options.iterations, "--seconds", 20)
        self.results["device"] = self.results["device"] or bench.get("device_name")
        entry.update({"ms": bench["device_ms"]["median"], "p99_ms": bench["device_ms"]["p99"],
                      "with_copies_ms": bench["latency_ms"]["median"], "layers": built["layers"],
                      "host_layers": bench["host_layers"], "build_seconds": round(built["seconds"], 2)})
        if batch == 1:
            entry["slowest"] = [{"name": l["name"], "tactic": l["tactic"], "backend": l["backend"], "us": round(1000 * l["ms"], 3)}
                                for l in sorted(bench["layers"], key=lambda l: -l["ms"])[:12]]
        plan.unlink()

    def step_torch(self):
        try:
            import torch
        except ImportError as error:
            raise Failed("PyTorch is not on this machine") from error
        if not torch.cuda.is_available():
            raise Failed("PyTorch sees no card")
        for network in self.options.networks:
            for batch in self.options.batches:
                entry = self.results["networks"].setdefault(network, {}).setdefault(str(batch), {})
                if time.monotonic() > self.step_end - 10:
                    entry.setdefault("torch_not_done", "no time was left")
                    continue
                try:
                    compiled = [] if batch > 8 else ["--compile"]
                    text = self.call(sys.executable, HERE / "torch_baselines.py", NETWORKS[network][0], batch, *compiled,
                                     limit=120)
                    entry.update(json.loads(text.strip().splitlines()[-1]))
                except Failed as error:
                    entry["torch_not_done"] = str(error)
            self.write()

    def step_profile(self):
        ncu = shutil.which("ncu")
        if ncu is None:
            raise Failed("ncu (Nsight Compute) is not on this machine")
        network = self.options.networks[0]
        if not (self.out / "models" / f"{network}.qdq.onnx").is_file():
            raise Failed(f"{network} was not made in the step networks")
        text = self.call(ncu, "--set", "basic", "--csv", "--launch-count", "60", self.program("kvant"), "bench",
                         self.model(network), "--device", self.options.device, "--iterations", "1", "--warmup", "0", limit=110)
        self.results["profile"][network] = slowest_kernels(text)


def slowest_kernels(text, count=5):
    """The kernels that took longest in ncu's CSV: name, microseconds, and the metrics that ncu gives."""
    import csv
    lines = [line for line in text.splitlines() if line.startswith('"')]
    kernels = {}
    for row in csv.DictReader(lines):
        if "Metric Name" not in row:
            continue
        kernel = kernels.setdefault(row["ID"], {"name": row["Kernel Name"]})
        kernel[row["Metric Name"]] = f"{row['Metric Value']} {row['Metric Unit']}".strip()

    def microseconds(kernel):
        value, _, unit = kernel.get("Duration", "0 us").partition(" ")
        scale = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3}.get(unit, 1)
        return float(value.replace(",", "")) * scale

    return sorted(kernels.values(), key=microseconds, reverse=True)[:count]


# ---- merge and table


def merge(results):
    """One file of many: by device the latest of each part; networks by name and batch."""
    machines = {}
    for result in sorted(results, key=lambda r: r.get("date") or ""):
        name = result.get("device") or result.get("requested") or "unknown"
        machine = machines.setdefault(name, {"device": name, "networks": {}})
        for key, value in result.items():
            if key == "networks":
                for network, batches in value.items():
                    for batch, entry in batches.items():
                        machine["networks"].setdefault(network, {}).setdefault(batch, {}).update(entry)
            elif key != "device" and value not in (None, {}, []):
                machine[key] = value
    return {"machines": list(machines.values())}


def read_results(path):
    try:
        data = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as error:
        raise Failed(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise Failed(f"{path} holds no results")
    return data["machines"] if "machines" in data else [data]


def number(value, digits=3):
    return "-" if value is None else f"{value:.{digits}f}"


def goal_of(network, ms):
    """The best goal that a time at batch 1 reaches."""
    goals = NETWORKS.get(network, (None, ()))[1]
    reached = [name for name, goal in zip(("good", "strong", "moonshot"), goals) if ms is not None and ms <= goal]
    return reached[-1] if reached else "-"


def table(merged):
    lines = []
    for machine in merged["machines"]:
        lines += [f"{machine['device']}, {machine.get('date', 'no date')}: GPU time of a replay in ms, inputs on the card.", "",
                  "| network | batch | kvant INT8 | goal reached | PyTorch eager FP32 | ratio | torch.compile FP16 | ratio | layers on the host |",
                  "|---|---|---|---|---|---|---|---|---|"]
        for network, batches in machine["networks"].items():
            for batch, e in sorted(batches.items(), key=lambda item: int(item[0])):
                ms, eager, compiled = e.get("ms"), e.get("torch_eager_fp32_ms"), e.get("torch_compile_fp16_ms")
                ratio = lambda other: "-" if not ms or not other else f"{other / ms:.1f}x"
                goal = goal_of(network, ms) if batch == "1" else ""
                lines.append(f"| {network} | {batch} | {number(ms)} | {goal} | {number(eager)} | {ratio(eager)} | "
                             f"{number(compiled)} | {ratio(compiled)} | {e.get('host_layers', '-')} |")
        lines.append("")
        for step, why in machine.get("not_done", {}).items():
            lines.append(f"Not done: {step} ({why}).")
    return "\n".join(lines).rstrip() + "\n"


def put_between_marks(text, content):
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise Failed(f"the file has no place for the table: {BEGIN} and {END} on lines of their own")
    return text[:begin + len(BEGIN)] + "\n" + content + text[end:]


def main(arguments):
    parser = argparse.ArgumentParser(prog="gpu.sh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("pack")
    p.add_argument("--build", default="build")
    p.add_argument("--out", default="build/gpu-bundle")
    p.add_argument("--limit", type=float, default=60, help="MiB that the bundle may have")
    p.add_argument("--no-strip", action="store_true")
    r = commands.add_parser("run")
    r.add_argument("--bundle", default="build/gpu-bundle")
    r.add_argument("--out", default=os.environ.get("OUT", "build/gpu-results"))
    r.add_argument("--device", default="cuda:0")
    r.add_argument("--minutes", type=float, default=24)
    r.add_argument("--steps", default=",".join(STEPS))
    r.add_argument("--networks", default=",".join(NETWORKS))
    r.add_argument("--batches", default="1,8,128")
    r.add_argument("--iterations", type=int, default=200)
    r.add_argument("--input", default="", help="CxHxW instead of each network's own, for trying the script out")
    r.add_argument("--no-tune", dest="tune", action="store_false")
    m = commands.add_parser("merge")
    m.add_argument("results", nargs="+")
    m.add_argument("--into", default=str(ROOT / "bench/results/gpu.json"))
    t = commands.add_parser("table")
    t.add_argument("--results", default=str(ROOT / "bench/results/gpu.json"))
    t.add_argument("--readme", help="put it between its marks in this file")
    options = parser.parse_args(arguments)
    if options.command == "run":
        options.steps = options.steps.split(",")
        options.networks = options.networks.split(",")
        options.batches = [int(b) for b in options.batches.split(",")]
        for name, known in (("steps", STEPS), ("networks", NETWORKS)):
            unknown = [x for x in getattr(options, name) if x not in known]
            if unknown:
                raise Failed(f"--{name} does not know '{unknown[0]}': {', '.join(known)}")
        results = Run(options).all_steps()
        print(table(merge([results])))
    elif options.command == "pack":
        pack(options)
    elif options.command == "merge":
        into = pathlib.Path(options.into)
        known = read_results(into) if into.exists() else []
        new = [machine for path in options.results for machine in read_results(path)]
        into.write_text(json.dumps(merge(known + new), indent=1) + "\n")
    else:
        text = table({"machines": read_results(options.results)})
        if options.readme:
            readme = pathlib.Path(options.readme)
            readme.write_text(put_between_marks(readme.read_text(), text))
        else:
            print(text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failed as error:
        sys.exit(f"gpu.sh: {error}")
