# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning by the program: every range mode, schedules, teachers, labels that are not there, and what is refused."""
import os
import sys

from kvant_run import FASHION, Checks, kvant, kvant_json, scratch, skip

MODEL = os.path.join(os.path.dirname(__file__), "..", "models", "fashion_resnet8.onnx")
PREPROCESS = ["--preprocess", "scale", "--mean", "0.286", "--std", "0.353"]
TRAIN = ["--data", f"idx:{FASHION}#train", "--samples", "640", "--epochs", "2", "--batch", "64", "--threads", "2", *PREPROCESS]


def main():
    if not os.path.isdir(FASHION):
        skip("Debian's package dataset-fashion-mnist is not installed")
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        probe = kvant("train", MODEL, *TRAIN, "-o", at("probe.onnx"), check=False)
        if "plug-in" in probe.stderr:
            skip(probe.stderr.strip())
        c.that(probe.returncode == 0, probe.stderr)
        qdq = at("m.qdq.onnx")
        kvant("quantize", MODEL, "--data", f"idx:{FASHION}#train", "--samples", "128", *PREPROCESS, "-o", qdq)

        # Range modes and schedules: each writes a file that the engine runs, and the modes differ.
        written = set()
        for mode, more in (("fixed", ["--freeze-ranges", "0"]), ("last", ["--freeze-ranges", "1.5"]),
                           ("average", ["--range-momentum", "0.9"]), ("learned", ["--scale-lr", "0.5", "--clip-norm", "2"])):
            out = at(f"{mode}.onnx")
            done = kvant_json("train", qdq, *TRAIN, "--holdout", "0.1", "--ranges", mode, "--keep", "last", "--nesterov", *more, "-o", out)
            c.that(done["best_by"] == "top1" and done["best_val_top1"] >= done["start_val_top1"], f"{mode}: {done}")
            c.that(len(done["history"]) == 2 and done["history"][0]["val_agreement"] is None, f"{mode}: {done['history']}")
            kvant("build", out, "-o", at("plan"))
            written.add(open(out, "rb").read())
        c.that(len(written) == 4, "two range modes gave the same file")

        # A teacher: the report measures nearness to it; without labels nothing else is needed.
        taught = ["--distill", MODEL, "--distill-weight", "1", "--distill-temperature", "2"]
        done = kvant_json("train", qdq, *TRAIN, "--holdout", "0.2", *taught, "--best-by", "divergence", "-o", at("t.onnx"))
        c.that(done["best_by"] == "divergence" and 0 <= done["best_val_divergence"] <= done["start_val_divergence"], f"{done}")
        c.that(done["best_val_agreement"] > 0.8, f"agreement {done['best_val_agreement']}")
        last = kvant_json("train", qdq, *TRAIN, "--holdout", "0.2", *taught, "--keep", "last", "--lr", "0.05", "-o", at("l.onnx"))
        c.that(last["best_val_divergence"] is not None, "divergence is measured wherever there is a teacher")
        bare = at("bare.npz")
        import struct, zipfile
        pixels = b"".join(struct.pack("<f", (i * 37 % 101) / 50 - 1) for i in range(28 * 28 * 64))
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (64, 1, 28, 28), }}"
        header = header + " " * (64 - (10 + len(header) + 1) % 64) + "\n"
        with zipfile.ZipFile(bare, "w") as file:
            file.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + pixels)
        unlabelled = ["--data", "npz:" + bare, "--epochs", "2", "--holdout", "0.25", "--threads", "2"]
        done = kvant_json("train", qdq, *unlabelled, *taught, "-o", at("b.onnx"))
        c.that(done["best_by"] == "divergence" and done["best_val_top1"] is None, f"without labels: {done}")
        # 48 images: by default three steps an epoch, not one smaller batch; and the gradient's norm is bounded.
        kvant("train", qdq, *unlabelled, *taught, "--batch", "16", "--clip-norm", "1", "-o", at("b16.onnx"))
        c.that(open(at("b.onnx"), "rb").read() == open(at("b16.onnx"), "rb").read(), "the defaults for few images are others")

        # Batch norms kept through training fold into the file that is written.
        net, kept, tuned = at("net.onnx"), at("kept.onnx"), at("tuned.onnx")
        kvant("zoo", "create", "resnet8", "--input", "1x28x28", "--classes", "10", "-o", net)
        kvant("quantize", net, "--adjust", "none", "--data", f"idx:{FASHION}#train", "--samples", "64", *PREPROCESS, "-o", kept)
        norms = kvant_json("inspect", kept)["ops"].get("BatchNormalization", 0)
        done = kvant_json("train", kept, *TRAIN, "--freeze-batch-norm", "1", "-o", tuned)
        c.that(norms > 5 and done["folded_batch_norms"] == norms, f"{norms} batch norms, {done['folded_batch_norms']} folded")
        c.that("BatchNormalization" not in kvant_json("inspect", tuned)["ops"], "a batch norm stayed")
        kvant("build", tuned, "-o", at("plan"))
        convs = [layer["op"] for layer in kvant_json("inspect", at("plan"))["layers"] if "Conv" in layer["op"]]
        c.that(len(convs) >= norms and set(convs) == {"QConv"}, f"after training with batch norms: {convs}")

        # Refusals.
        out = at("refused.onnx")
        refuse = lambda name, more, pattern, status=1: c.refused(
            name, ["train", qdq, *TRAIN, "-o", out, *more], pattern, status, [out, out + ".ckpt"])
        refuse("range mode", ["--ranges", "lerned"], r"--ranges.*lerned|lerned.*learned", 2)
        refuse("freeze beyond the end", ["--freeze-ranges", "2"], r"freezing the ranges after epoch 2 is out of range: training has 2 epochs")
        refuse("freeze statistics beyond the end", ["--freeze-batch-norm", "9"], r"freezing the batch norms' statistics after epoch 9")
        refuse("best by a teacher that is not there", ["--holdout", "0.1", "--best-by", "agreement"], r"needs a teacher \(--distill\)")
        refuse("teacher's weight", ["--distill", MODEL, "--distill-weight", "2"], r"--distill-weight", 2)
        refuse("keep", ["--keep", "first"], r"--keep", 2)
        refuse("learning rate that diverges", ["--clip-norm", "0", "--lr", "1000", "--ranges", "last"], r"training diverged: the loss is")
        c.refused("no labels", ["train", qdq, *unlabelled, "-o", out], r"the training images have no labels; give a teacher \(--distill\)",
                  outputs=[out, out + ".ckpt"])
        c.refused("no labels for validation", ["train", qdq, *TRAIN, "--val", "npz:" + bare, "-o", out],
                  r"the validation images have no labels; give a teacher", outputs=[out])
    c.end()


if __name__ == "__main__":
    main()
