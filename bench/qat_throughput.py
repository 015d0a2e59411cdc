#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput of fine-tuning with simulated quantization: kvant train against PyTorch's own modules (torch.ao).

  python3 bench/qat_throughput.py KVANT [--python PYTHON | --install VERSION --venv FOLDER]
      [--networks resnet20,mobilenet-v2-cifar,resnet8] [--modes fixed,average,learned] [--threads 1,2] [--rounds 3]
      [--steps 8] [--out FILE]

The same networks (checked by their parameter counts), batch 128 of 3x32x32 images from memory, SGD with momentum, on
the same threads; each round times every contender after the other. Contenders, in pairs that do the same work:
  fixed    scales of activations given, those of weights from their maxima
           torch: FakeQuantize modules on the inputs and weights of every convolution and Linear, batch norms folded
  average  scales of activations follow a moving average
           torch: prepare_qat_fx with its default configuration, as its tutorial does
  learned  scales of both trained (LSQ)
           torch: as fixed, with its learnable FakeQuantize modules
PyTorch gets the memory format in which it is faster (tried once for each line). Its time is the mean of `steps` steps
after 3 others; kvant's is that of a run of `steps` + 3 steps less that of a run of 3, so that neither counts its start.
CPU seconds are given beside the seconds on the clock, for machines that others use too: ratios of both are printed.

--python names a Python that has torch (default: python3); --install makes an environment with this torch from PyPI,
which is a download of some gigabytes where the wheel is one for CUDA."""
import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

MODES = ("fixed", "average", "learned")
BATCH, WARMUP = 128, 3


# ---- the peer's side, run by a Python that has torch: prints one JSON object ----

def peer_networks():
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, channels, out, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
                                      nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
            self.stride, self.wider = stride, out - channels
            self.relu = nn.ReLU()

        def forward(self, x):
            y = self.body(x)
            if self.stride > 1:  # He et al.'s option A: every other pixel, zeros for the new channels
                x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.wider // 2, self.wider - self.wider // 2))
            return self.relu(y + x)

    class Inverted(nn.Module):
        def __init__(self, channels, out, stride, expansion):
            super().__init__()
            wide = channels * expansion
            layers = [] if expansion == 1 else [nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
            layers += [nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
                       nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out)]
            self.body, self.shortcut = nn.Sequential(*layers), stride == 1 and channels == out

        def forward(self, x):
            return x + self.body(x) if self.shortcut else self.body(x)

    def resnet20():
        layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        for stage in range(3):
            for i in range(3):
                first = stage > 0 and i == 0
                layers.append(Residual(16 << (stage - first), 16 << stage, 2 if first else 1))
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    def mobilenet():
        layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()], 16
        for expansion, out, count, stride in ((1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 2, 1), (6, 64, 3, 2), (6, 96, 2, 1)):
            for i in range(count):
                layers.append(Inverted(channels, out, stride if i == 0 else 1, expansion))
                channels = out
        last = [m for m in layers[-1].modules() if isinstance(m, nn.BatchNorm2d)][-1].num_features
        layers += [nn.Conv2d(last, 256, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU6()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))

    class Tiny(nn.Module):  # a block of MLPerf Tiny's resnet: convolutions with biases, a 1x1 one in the shortcut
        def __init__(self, channels, out, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1), nn.BatchNorm2d(out), nn.ReLU(),
                                      nn.Conv2d(out, out, 3, 1, 1), nn.BatchNorm2d(out))
            self.shortcut = nn.Conv2d(channels, out, 1, stride) if stride > 1 else nn.Identity()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.body(x) + self.shortcut(x))

    def resnet8():
        return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), Tiny(16, 16, 1), Tiny(16, 32, 2),
                             Tiny(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    return {"resnet20": resnet20, "mobilenet-v2-cifar": mobilenet, "resnet8": resnet8}


def with_fake_quantize(model, learned):
    """Batch norms folded, a FakeQuantize on the input and one on the weight of every convolution and Linear."""
    import torch
    from torch import nn
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver, PerChannelMinMaxObserver
    from torch.ao.quantization._learnable_fake_quantize import _LearnableFakeQuantize
    model = torch.fx.symbolic_trace(torch.fx.experimental.optimization.fuse(model.eval()))

    class Quantized(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer
            grid = dict(quant_min=-127, quant_max=127, dtype=torch.qint8)
            by_channel = dict(grid, qscheme=torch.per_channel_symmetric, ch_axis=0)
            if learned:
                self.input = _LearnableFakeQuantize(MovingAverageMinMaxObserver, qscheme=torch.per_tensor_symmetric,
                                                    scale=0.03, use_grad_scaling=True, **grid)
                self.weight = _LearnableFakeQuantize(PerChannelMinMaxObserver, channel_len=layer.weight.shape[0],
                                                     scale=0.01, use_grad_scaling=True, **by_channel)
                for module in (self.input, self.weight):
                    module.enable_param_learning()
            else:
                self.input = FakeQuantize(MovingAverageMinMaxObserver, qscheme=torch.per_tensor_symmetric, **grid)
                self.weight = FakeQuantize(PerChannelMinMaxObserver, **by_channel)
                self.input.scale.fill_(0.03)
                self.input.disable_observer()

        def forward(self, x):
            x, w = self.input(x), self.weight(self.layer.weight)
            if isinstance(self.layer, nn.Linear):
                return nn.functional.linear(x, w, self.layer.bias)
            return self.layer._conv_forward(x, w, self.layer.bias)

    for name, module in list(model.named_modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            parent = model.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], Quantized(module))
    return model.train()


def peer_model(network, mode):
    import torch
    import torch.fx.experimental.optimization
    torch.manual_seed(0)
    model = peer_networks()[network]()
    parameters = sum(p.numel() for p in model.parameters())
    if mode != "average":
        return with_fake_quantize(model, mode == "learned"), parameters
    from torch.ao.quantization import get_default_qat_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_qat_fx
    return prepare_qat_fx(model.train(), get_default_qat_qconfig_mapping("fbgemm"), torch.randn(2, 3, 32, 32)), parameters


def peer_time(network, mode, threads, steps, layouts):
    import torch
    torch.set_num_threads(threads)
    best = None
    for layout in [getattr(torch, name) for name in layouts.split(",")]:
        model, parameters = peer_model(network, mode)
        model = model.to(memory_format=layout)
        images = [torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=layout) for _ in range(4)]
        labels = [torch.randint(0, 10, (BATCH,)) for _ in range(4)]
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
        for step in range(WARMUP + steps):
            if step == WARMUP:
                wall, cpu = time.perf_counter(), time.process_time()
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(images[step % 4]), labels[step % 4]).backward()
            optimizer.step()
        wall, cpu = (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps
        if best is None or cpu < best["cpu"]:
            best = {"wall": wall, "cpu": cpu, "parameters": parameters, "layout": str(layout).split(".")[1], "torch": torch.__version__}
    return best


# ---- our side ----

def run(command, environment=None):
    """Seconds on the clock, CPU seconds, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-3000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def write_images(path, count):
    """An .npz without numpy: `count` images of noise and their labels."""
    import random
    import struct
    import zipfile
    generator = random.Random(0)
    image = [struct.pack("<f", generator.gauss(0, 1)) for _ in range(3 * 32 * 32 + 997)]

    def array(dtype, shape, data):
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
        header += " " * (63 - (10 + len(header)) % 64) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data
    pixels = b"".join(b"".join(image[i % 997:i % 997 + 3072]) for i in range(count))
    labels = b"".join(struct.pack("<q", i % 10) for i in range(count))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", array("<f4", (count, 3, 32, 32), pixels))
        file.writestr("y.npy", array("<i8", (count,), labels))


def our_time(kvant, model, mode, threads, data, out, steps):
    took = []
    for count in (WARMUP, WARMUP + steps):
        wall, cpu, said = run([kvant, "train", model, "--data", "npz:" + data, "--samples", str(BATCH * count), "--epochs", "1",
                               "--batch", str(BATCH), "--lr", "0.0001", "--ranges", mode, "--threads", str(threads), "--seed", "1",
                               "--checkpoint-seconds", "100000", "-o", out, "--json", "--quiet"])
        took.append((wall, cpu, json.loads(said)["images_per_second"]))
    return {"wall": (took[1][0] - took[0][0]) / steps, "cpu": (took[1][1] - took[0][1]) / steps}


def bench(args, network, threads, folder):
    at = lambda name: os.path.join(folder, name)
    data = at("images.npz")
    if not os.path.exists(data):
        write_images(data, BATCH * (WARMUP + args.steps))
    created = json.loads(run([args.kvant, "zoo", "create", network, "-o", at("m.onnx"), "--json", "--quiet"])[2])
    run([args.kvant, "quantize", at("m.onnx"), "--data", "npz:" + data, "--samples", "64", "-o", at("q.onnx"), "--quiet"])
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    environment.setdefault("GOMP_SPINCOUNT", "2000")  # as kvant's: waiting threads do not take the time of others
    modes = args.modes.split(",")
    times, layouts = {mode: {"kvant": [], "torch": []} for mode in modes}, {}
    for _ in range(args.rounds):
        for mode in modes:
            times[mode]["kvant"].append(our_time(args.kvant, at("q.onnx"), mode, threads, data, at("t.onnx"), args.steps))
            said = run([args.python, os.path.abspath(__file__), "--peer", network, mode, str(threads), str(args.steps),
                        layouts.get(mode, "contiguous_format,channels_last")], environment)[2]
            theirs = json.loads(said.splitlines()[-1])
            layouts[mode] = theirs["layout"]
            times[mode]["torch"].append(theirs)
            if theirs["parameters"] != created["parameters"]:
                sys.exit(f"{network}: kvant's has {created['parameters']} parameters, the peer's {theirs['parameters']}")
    rows = []
    for mode, t in times.items():
        row = {"network": network, "threads": threads, "mode": mode, "torch_layout": t["torch"][-1]["layout"]}
        for kind in ("wall", "cpu"):
            for who in ("kvant", "torch"):
                row[f"{who}_{kind}_images_per_second"] = round(BATCH / statistics.median(x[kind] for x in t[who]), 1)
            row[f"{kind}_ratio"] = round(statistics.median(b[kind] / a[kind] for a, b in zip(t["kvant"], t["torch"])), 3)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    return rows, theirs["torch"]


def installed(version, folder):
    """A Python in an environment of its own, `folder`, with torch from PyPI."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        run([sys.executable, "-m", "venv", folder])
    asked = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    if asked.stdout.strip().split("+")[0] != version:
        run([python, "-m", "pip", "install", "--quiet", f"torch=={version}", "numpy"])
    return python


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.processor())


def keep(path, rows):
    """Puts the rows into the file, which keeps those of other networks, threads and ranges."""
    def line(row):
        return row["network"], row["threads"], row["mode"]
    old = []
    if os.path.exists(path):
        with open(path) as file:
            old = json.load(file)["rows"]
    mine = {line(row) for row in rows}
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as file:
        json.dump({"batch": BATCH, "rows": [row for row in old if line(row) not in mine] + rows}, file, indent=2)
        file.write("\n")


def main():
    if sys.argv[1:2] == ["--peer"]:
        network, mode, threads, steps, layouts = sys.argv[2:7]
        print(json.dumps(peer_time(network, mode, int(threads), int(steps), layouts)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kvant")
    parser.add_argument("--python", default="python3", help="a Python that has torch")
    parser.add_argument("--install", metavar="VERSION", help="torch of this version from PyPI, in an environment of its own")
    parser.add_argument("--venv", default="build/venv-torch", help="folder of that environment")
    parser.add_argument("--networks", default="resnet20,mobilenet-v2-cifar,resnet8")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.install:
        args.python = installed(args.install, args.venv)
    rows, torch = [], ""
    with tempfile.TemporaryDirectory(prefix="kvant-bench-") as folder:
        for network in args.networks.split(","):
            for threads in map(int, args.threads.split(",")):
                more, torch = bench(args, network, threads, folder)
                rows += more
    machine, date = f"{cpu_name()}, {os.cpu_count()} cores", time.strftime("%Y-%m-%d")
    for row in rows:
        row.update(machine=machine, date=date, torch=torch, rounds=args.rounds, steps=args.steps)
    if args.out:
        keep(args.out, rows)
    print(f"images/s (by CPU seconds), batch {BATCH}; {machine}, {date}, torch {torch}\n")
    print("| network | threads | ranges | kvant | torch.ao | ratio | ratio of CPU seconds |\n|---|--:|---|--:|--:|--:|--:|")
    for r in rows:
        cells = [r["network"], str(r["threads"]), r["mode"]]
        for who in ("kvant", "torch"):
            cells.append(f"{r[who + '_wall_images_per_second']:.0f} ({r[who + '_cpu_images_per_second']:.0f})")
        print("| " + " | ".join(cells) + f" | {r['wall_ratio']:.2f}x | {r['cpu_ratio']:.2f}x |")


if __name__ == "__main__":
    main()
