# SPDX-License-Identifier: Apache-2.0
"""Training that is interrupted (Ctrl-C, kill -9) and resumed gives the same bytes as training that was not."""
import glob
import os
import signal
import subprocess
import sys
import time

from kvant_run import FASHION, KVANT, Checks, kvant, scratch, skip


def main():
    if not os.path.isdir(FASHION):
        skip("Debian's package dataset-fashion-mnist is not installed")
    c = Checks()
    with scratch() as folder:
        start = os.path.join(folder, "start.onnx")
        kvant("zoo", "create", "resnet8", "--input", "1x28x28", "--classes", "10", "-o", start)

        def command(out, *more):
            return ["train", start, "--data", f"idx:{FASHION}#train", "--samples", "4000", "--holdout", "0.1", "--epochs", "2",
                    "--batch", "64", "--pad-crop", "2", "--flip", "--checkpoint-seconds", "0.3", "--threads", "2", "--seed", "5",
                    "-o", out, "--quiet", *more]

        whole = os.path.join(folder, "whole.onnx")
        done = kvant(*command(whole), check=False)
        if "plug-in" in done.stderr:
            skip(done.stderr.strip())
        c.that(done.returncode == 0, done.stderr)
        expected = open(whole, "rb").read()

        for name, kill in (("ctrl-c", signal.SIGINT), ("kill -9", signal.SIGKILL)):
            out = os.path.join(folder, name.replace(" ", "") + ".onnx")
            process = subprocess.Popen([KVANT, *command(out)], stderr=subprocess.PIPE, text=True)
            deadline = time.time() + 120
            while not os.path.exists(out + ".ckpt") and time.time() < deadline and process.poll() is None:
                time.sleep(0.02)
            c.that(os.path.exists(out + ".ckpt"), f"{name}: no checkpoint was written")
            process.send_signal(kill)
            said = process.communicate()[1]
            c.that(process.returncode != 0, f"{name}: the training had ended already")
            c.that(not os.path.exists(out), f"{name}: a result exists though the training was interrupted")
            if kill == signal.SIGINT:
                c.that(process.returncode == 130 and "stopped on request" in said, f"{name}: {process.returncode} {said}")
            kvant(*command(out, "--resume"))
            c.that(open(out, "rb").read() == expected, f"{name}: the resumed training gives another file")
            c.that(not os.path.exists(out + ".ckpt"), f"{name}: the checkpoint stayed")

        # A checkpoint of another run is refused, not mixed in.
        out = os.path.join(folder, "other.onnx")
        process = subprocess.Popen([KVANT, *command(out)], stderr=subprocess.DEVNULL)
        while not os.path.exists(out + ".ckpt") and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        process.wait()
        other = [x if x != "64" else "32" for x in command(out, "--resume")]
        done = kvant(*other, check=False)
        c.that(done.returncode == 1 and "checkpoint" in done.stderr, f"another run's checkpoint: {done.returncode} {done.stderr}")
        c.that(not glob.glob(os.path.join(folder, ".*")), "temporary files stayed")
    c.end()


if __name__ == "__main__":
    main()
