#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The host parts of bench/gpu.sh: packing, a run with the emulator in the card's place, merging, the table, refusals."""
import json
import os
import pathlib
import subprocess
import sys

from kvant_run import KVANT, Checks, scratch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/gpu"))
import gpu_bench  # noqa: E402

SCRIPT = ROOT / "bench/gpu.sh"


def script(*arguments, check=True):
    environment = dict(os.environ, KVANT_PYTHON=sys.executable)
    done = subprocess.run([str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=280)
    if check and done.returncode != 0:
        sys.exit(f"gpu.sh {arguments} failed:\n{done.stderr}")
    return done


def check_refusals(c, folder):
    def refused(name, arguments, sentence):
        done = script(*arguments, check=False)
        c.that(done.returncode == 1 and sentence in done.stderr, f"{name}: {done.returncode} {done.stderr}")
    refused("unknown step", ("run", "--steps", "constants,fly"), "gpu.sh: --steps does not know 'fly'")
    refused("unknown network", ("run", "--networks", "lenet"), "gpu.sh: --networks does not know 'lenet'")
    refused("no build", ("pack", "--build", folder / "nothing", "--out", folder / "b"), "is not built: ninja -C")
    refused("no results", ("table", "--results", folder / "none.json"), "none.json cannot be read")
    (folder / "list.json").write_text("[]")
    refused("other results", ("table", "--results", folder / "list.json"), "holds no results")
    (folder / "plain.md").write_text("no marks\n")
    (folder / "one.json").write_text(json.dumps({"device": "H100", "networks": {}}))
    refused("no place", ("table", "--results", folder / "one.json", "--readme", folder / "plain.md"),
            "the file has no place for the table")


def check_merge(c, folder):
    first = {"device": "H100", "date": "2026-01-01", "constants": {"flag_hop_us": 0.7}, "not_done": {},
             "networks": {"keras-resnet50-v1": {"1": {"ms": 0.2}, "8": {"ms": 0.5}}}}
    second = {"device": "H100", "date": "2026-01-02", "constants": {}, "not_done": {"torch": "PyTorch is not on this machine"},
              "networks": {"keras-resnet50-v1": {"1": {"ms": 0.16, "torch_eager_fp32_ms": 4.0, "host_layers": 0}}}}
    other = {"device": "H200", "date": "2026-01-03", "networks": {"keras-mobilenet-v2": {"1": {"ms": 0.3}}}}
    for name, result in (("a", first), ("b", second), ("c", other)):
        (folder / f"{name}.json").write_text(json.dumps(result))
    into = folder / "gpu.json"
    script("merge", folder / "b.json", folder / "a.json", "--into", into)
    script("merge", folder / "c.json", "--into", into)
    merged = json.loads(into.read_text())["machines"]
    c.that([m["device"] for m in merged] == ["H100", "H200"], f"machines {merged}")
    resnet = merged[0]["networks"]["keras-resnet50-v1"]
    c.that(resnet["1"]["ms"] == 0.16 and resnet["8"]["ms"] == 0.5, f"the later time replaces, the rest stays: {resnet}")
    c.that(merged[0]["constants"] == {"flag_hop_us": 0.7}, "an empty part replaces nothing")
    readme = folder / "R.md"
    readme.write_text(f"before\n{gpu_bench.BEGIN}\nold\n{gpu_bench.END}\nafter\n")
    script("table", "--results", into, "--readme", readme)
    text = readme.read_text()
    c.that(text.startswith("before\n") and text.endswith("after\n") and "old" not in text, text)
    c.that("| keras-resnet50-v1 | 1 | 0.160 | strong | 4.000 | 25.0x | - | - | 0 |" in text, text)
    c.that("| keras-mobilenet-v2 | 1 | 0.300 | - |" in text, "a missed goal is no goal")
    c.that("Not done: torch (PyTorch is not on this machine)." in text, text)


def check_run(c, folder):
    """The real program on a small input; what is not on this machine is said in the result."""
    bundle = folder / "bundle"
    (bundle / "bin").mkdir(parents=True)
    (bundle / "bin" / "kvant").symlink_to(KVANT)
    out = folder / "out"
    done = script("run", "--bundle", bundle, "--out", out, "--device", "emulated-cuda", "--steps", "networks,profile",
                  "--networks", "keras-mobilenet-v2", "--batches", "1", "--iterations", "2", "--input", "3x32x32", "--no-tune")
    result = json.loads((out / "gpu.json").read_text())
    entry = result["networks"]["keras-mobilenet-v2"]["1"]
    c.that(entry.get("ms", 0) > 0 and entry["host_layers"] == 0 and len(entry["slowest"]) == 12, f"{entry}")
    c.that("| keras-mobilenet-v2 | 1 |" in done.stdout, done.stdout)
    c.that("ncu" in result["not_done"].get("profile", "ncu"), f"{result['not_done']}")
    again = script("run", "--bundle", bundle, "--out", out, "--steps", "networks", "--networks", "keras-mobilenet-v2",
                   "--batches", "1", "--minutes", "0.1")
    c.that("no time was left" in again.stderr, again.stderr)


def main():
    c = Checks()
    csv = ('"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n"0","slow","Duration","us","12.5"\n'
           '"1","fast","Duration","ns","900"\n"2","slowest","Duration","ms","1"\n')
    names = [k["name"] for k in gpu_bench.slowest_kernels("==PROF== connected\n" + csv, 2)]
    c.that(names == ["slowest", "slow"], f"slowest kernels {names}")
    with scratch() as path:
        folder = pathlib.Path(path)
        check_refusals(c, folder)
        check_merge(c, folder)
        check_run(c, folder)
    c.end()


if __name__ == "__main__":
    main()
