# SPDX-License-Identifier: Apache-2.0
"""kvant auto: stops where it may, says what it tried, goes on from its state, writes nothing that loses too much."""
import json
import os
import signal
import struct
import subprocess
import time
import zipfile

from kvant_run import FASHION, KVANT, Checks, kvant, kvant_json, scratch, skip

MODEL = os.path.join(os.path.dirname(__file__), "..", "models", "fashion_resnet8.onnx")
PREPROCESS = ["--preprocess", "scale", "--mean", "0.286", "--std", "0.353"]
QUICK = ["--samples", "64", "--iterations", "10", "--threads", "1", *PREPROCESS]
FIELDS = {"name", "stage", "float_layers", "top1", "agreement", "drop", "relative_error", "latency_ms", "float_latency_ms",
          "speedup", "front", "verdict", "seconds"}


def main():
    if not os.path.isdir(FASHION):
        skip("Debian's package dataset-fashion-mnist is not installed")
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        data = ["--data", f"idx:{FASHION}#train", "--val", f"idx:{FASHION}#test", "--val-samples", "500", *QUICK]

        # A drop that anything keeps to: the first variant, or the float model where INT8 is not faster on this machine.
        out = at("easy.onnx")
        done = kvant_json("auto", MODEL, *data, "--max-drop", "20", "-o", out)
        c.that(done["met"] and done["output"] == out and os.path.exists(out), f"easy: {done}")
        c.that(all(FIELDS == set(trial) for trial in done["tried"]), f"{done['tried'][0]}")
        c.that(done["tried"][0]["name"] == "float" and done["tried"][0]["speedup"] == 1, f"{done['tried'][0]}")
        chosen = [trial for trial in done["tried"] if trial["verdict"] == "chosen"]
        c.that(len(chosen) == 1 and chosen[0]["name"] == done["chosen"] and chosen[0]["drop"] <= 0.2, f"chosen: {chosen}")
        c.that(chosen[0]["stage"] == "float" or chosen[0]["speedup"] > 1, "slower than float")
        c.that(done["samples"] == 500 and done["by"] == "top1" and done["max_drop"] == 0.2, f"{done}")
        judged = kvant_json("eval", out, "--data", f"idx:{FASHION}#test", "--samples", "500")
        c.that(abs(judged["top1"] - chosen[0]["top1"]) < 1e-9, f"eval says {judged['top1']}, auto {chosen[0]['top1']}")
        whole = open(out, "rb").read()

        # The same again from what was measured: the same file, at once.
        again = kvant_json("auto", MODEL, *data, "--max-drop", "20", "-o", out, "--resume")
        c.that([t["latency_ms"] for t in again["tried"]] == [t["latency_ms"] for t in done["tried"]], "times were measured again")
        c.that(open(out, "rb").read() == whole, "the resumed search wrote another model")

        # A drop that cannot be met.
        bad = at("bad")
        os.mkdir(bad)
        strict = [MODEL, "--data", f"idx:{FASHION}#test", "--samples", "16", "--holdout", "0.5", *QUICK[2:], "--by", "agreement",
                  "--max-drop", "0", "--calibrators", "max", "--adjust", "none", "--no-mixed", "--no-qat", "-o", at("bad/m.onnx")]
        failed = kvant("auto", *strict, "--json", "--quiet", check=False)
        said = json.loads(failed.stdout)
        if said["met"]:  # INT8 is not faster here: float is the answer
            c.that(said["chosen"] == "float", f"{said}")
        else:
            c.that(failed.returncode == 1 and said["exit"] == 1 and said["error"] == said["sentence"], f"{failed.stdout}")
            c.that("--max-drop" in said["error"] and "the best, ptq max, loses" in said["error"], said["error"])
            c.that(said["output"] is None and not os.path.exists(at("bad/m.onnx")), "a model that loses too much was written")
            kept = kvant_json("auto", *strict, "--resume", "--keep-best")
            c.that(not kept["met"] and kept["chosen"] == "ptq max" and os.path.exists(at("bad/m.onnx")), f"{kept}")
            text = kvant("auto", *strict, "--resume", "--keep-best", "--quiet").stdout
            c.that(max(map(len, text.splitlines()[:4])) <= 100 and "loses too much" in text, text)

        # A budget ends the search between two steps; --resume goes on.
        short = ["auto", MODEL, *data, "--max-drop", "0", "--by", "agreement", "--calibrators", "max,mse", "--no-qat", "--adjust",
                 "none", "-o", at("short.onnx")]
        cut = json.loads(kvant(*short, "--budget", "0.00001", "--json", "--quiet", check=False).stdout)
        c.that(cut["out_of_time"] and [t["name"] for t in cut["tried"]] == ["float"], f"{cut}")
        c.that("go on with --resume" in cut["error"] and cut["skipped"][0]["name"] == "ptq max", f"{cut}")
        on = json.loads(kvant(*short, "--resume", "--json", "--quiet", check=False).stdout)
        names = [t["name"] for t in on["tried"]]
        c.that(on["tried"][0]["latency_ms"] == cut["tried"][0]["latency_ms"], "the float model was timed again")
        c.that(names[:3] == ["float", "ptq max", "ptq mse"], f"{names}")
        c.that(any(name.startswith("mixed ") for name in names), f"{names}")
        c.that(not os.path.exists(at("short.onnx.auto.layers")), "the layers' state was left behind")

        # Training comes last, and where it cannot be it says so.
        last = ["auto", MODEL, "--data", f"idx:{FASHION}#test", "--holdout", "0.5", *QUICK, "--by", "agreement", "--max-drop", "0",
                "--calibrators", "max", "--adjust", "none", "--no-mixed", "--epochs", "1", "-o", at("last.onnx"), "--json", "--quiet"]
        none = json.loads(kvant(*last, check=False, env={**os.environ, "KVANT_TRAIN_PLUGIN": at("nowhere.so")}).stdout)
        if none["tried"][1]["drop"] > 0 and none["tried"][1]["speedup"] > 1:
            c.that([s["name"] for s in none["skipped"]] == ["qat"] and "plug-in" in none["skipped"][0]["reason"], f"{none['skipped']}")
            trained = json.loads(kvant(*last, "--resume", check=False).stdout)
            if not trained["skipped"]:  # the plug-in is here
                qat = trained["tried"][-1]
                c.that(qat["stage"] == "qat" and qat["agreement"] > 0.9, f"{qat}")
                c.that(os.path.exists(at("last.onnx.auto.ckpt")) != trained["met"], "the checkpoint stays just as long as it is needed")

        # Ctrl-C leaves what was measured, and nothing half written.
        stopped = ["auto", MODEL, *data, "--max-drop", "0", "--by", "agreement", "--no-qat", "-o", at("stopped.onnx")]
        running = subprocess.Popen([KVANT, *stopped, "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(600):
            if os.path.exists(at("stopped.onnx.auto")) or running.poll() is not None:
                break
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
        c.that(running.returncode == 130 and "stopped on request" in said, f"Ctrl-C: {running.returncode} {said}")
        c.that(not os.path.exists(at("stopped.onnx")), "Ctrl-C left a model")
        before = json.load(open(at("stopped.onnx.auto")))["measured"]
        after = json.loads(kvant(*stopped, "--resume", "--budget", "0.00001", "--json", "--quiet", check=False).stdout)
        c.that("float" in before and after["tried"][0]["latency_ms"] == before["float"]["ms"], f"{before.keys()} {after['tried']}")

        # Without labels it is agreement, and a part of the data is held out.
        bare = at("bare.npz")
        write_images(bare, 40)
        done = kvant("auto", MODEL, "--data", "npz:" + bare, "--max-drop", "100", "--iterations", "5", "--threads", "1", "--json",
                     "--quiet", "-o", at("folder/"))
        found = json.loads(done.stdout)
        c.that("agreement with it" in done.stderr and found["by"] == "agreement", done.stderr)
        c.that(found["samples"] == 13 and found["output"] == at("folder/fashion_resnet8.auto.onnx"), f"{found}")
        c.that(os.path.exists(found["output"]), "no file in the folder")

        # Refusals.
        out = at("refused.onnx")
        refuse = lambda name, args, pattern, status=1: c.refused(name, ["auto", *args, "-o", out], pattern, status, [out])
        refuse("no drop", [MODEL, *data], r"--max-drop", 2)
        refuse("drop below 0", [MODEL, *data, "--max-drop", "-1"], r"--max-drop", 2)
        refuse("calibrator", [MODEL, *data, "--max-drop", "1", "--calibrators", "max,entrpy"], r"no calibrator 'entrpy'.*entropy", 2)
        refuse("repair", [MODEL, *data, "--max-drop", "1", "--adjust", "adaruond"], r"--adjust:.*adaround", 2)
        refuse("labels", [MODEL, "--data", "npz:" + bare, "--max-drop", "1", "--by", "top1"], r"have no labels that fit the model")
        write_images(at("two.npz"), 2)
        refuse("two samples", [MODEL, "--data", "npz:" + at("two.npz"), "--max-drop", "1"], r"2 samples are too few to hold out")
        kvant("quantize", MODEL, "--data", f"idx:{FASHION}#train", "--samples", "8", *PREPROCESS, "-o", at("q.onnx"))
        refuse("quantized", [at("q.onnx"), *data, "--max-drop", "1"], r"quantized already: auto starts from the float model")
        c.refused("no folder", ["auto", MODEL, *data, "--max-drop", "1", "-o", "/proc/nobody"], r"/proc/nobody")
        os.rename(at("short.onnx.auto"), at("refused.onnx.auto"))
        refuse("other search", [MODEL, *data, "--max-drop", "1", "--seed", "5", "--resume"], r"another model, other data or other options")
    c.end()


def write_images(path, count):
    """Images without labels, as numpy would write them."""
    pixels = b"".join(struct.pack("<f", (i * 37 % 101) / 50 - 1) for i in range(28 * 28 * count))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 1, 28, 28), }}"
    header += " " * (64 - (10 + len(header) + 1) % 64) + "\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + pixels)


if __name__ == "__main__":
    main()
