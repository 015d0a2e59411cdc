#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--device through the program: a plan for a card built, run, compared and refused, with the emulator in the card's place."""
import os
import subprocess
import sys

from kvant_run import Checks, kvant, kvant_json, scratch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RANDOM_IMAGES = os.path.join(ROOT, "bench/gpu/random_images.py")
EMULATED = ("--device", "emulated-cuda")


def main():
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        subprocess.run([sys.executable, RANDOM_IMAGES, at("x.npz"), "3x32x32", "4"], check=True)
        data = ("--data", "npz:" + at("x.npz"), "--preprocess", "none")
        kvant("zoo", "create", "resnet8", "-o", at("m.onnx"))
        kvant("quantize", at("m.onnx"), *data, "--adjust", "none", "-o", at("q.onnx"))
        kvant("quantize", at("m.onnx"), *data, "--adjust", "none", *EMULATED, "-o", at("q2.onnx"))
        # Calibration on the device finds the same ranges but for the rounding of float sums.
        pairs = [kvant_json("inspect", at(name))["qdq"]["activation_pairs"] for name in ("q.onnx", "q2.onnx")]
        c.that(pairs[0] == pairs[1], f"pairs {pairs}")
        built = kvant_json("build", at("q.onnx"), *EMULATED, "-o", at("card.plan"))
        c.that(built["device"] == "emulated-cuda" and built["host_layers"] == 0, f"build says {built}")
        kvant("build", at("q.onnx"), "-o", at("cpu.plan"))
        compared = kvant_json("compare", at("cpu.plan"), at("card.plan"), *data, *EMULATED)
        c.that(compared["max_differing"] == 0 and compared["top1_agreement"] == 1, f"compare says {compared}")
        on_card = kvant_json("eval", at("card.plan"), *data, *EMULATED)
        on_cpu = kvant_json("eval", at("cpu.plan"), *data)
        c.that(on_card["top1"] == on_cpu["top1"] and on_card["loss"] == on_cpu["loss"], f"{on_card} against {on_cpu}")
        bench = kvant_json("bench", at("card.plan"), *EMULATED, "--iterations", "2", "--warmup", "2", "--profile")
        c.that(bench["device"] == "emulated-cuda" and bench["device_ms"]["median"] > 0, "bench gives no time of the device")
        c.that(bench["copies"]["count"] == 2, f"one copy in and one out, not {bench['copies']}")
        c.that(all(layer["backend"] in ("cuda", "view") for layer in bench["layers"]), "a layer runs on the host")
        explained = kvant("explain", at("q.onnx"), *EMULATED).stdout
        c.that("all layers run on emulated-cuda" in explained, explained)
        partly = kvant("explain", at("m.onnx"), *EMULATED).stdout
        c.that("emulated-cuda" in partly, partly)

        c.refused("unknown device", ("build", at("q.onnx"), "--device", "gpu", "-o", at("no.plan")),
                  r"--device does not take 'gpu': use cpu, cuda, cuda:N", status=2, outputs=[at("no.plan")])
        c.refused("no number", ("build", at("q.onnx"), "--device", "cuda:first", "-o", at("no.plan")),
                  r"a card is named by its number, as in cuda:0", status=2)
        c.refused("no device", ("inspect", at("q.onnx"), "--device", "cuda"),
                  r"kvant inspect computes on the CPU: leave out --device cuda", status=2)
        c.refused("a plan for a card on the CPU", ("bench", at("card.plan"), "--device", "cpu"),
                  r"the plan was built for a card \(sm_90\): run it with --device cuda")
        c.refused("a plan for the CPU on a card", ("bench", at("cpu.plan"), *EMULATED),
                  r"the plan was built for the CPU: build it again with --device emulated-cuda")
        c.refused("a plan for another card", ("bench", at("card.plan"), "--device", "emulated-cuda:sm_80"),
                  r"the plan was built for sm_90 and emulated-cuda \(emulated sm_80\) is sm_80: build it again for this card")
        training = ("train", at("m.onnx"), *data, "--epochs", "1", "-o", at("no.onnx"))
        c.refused("training in the emulator", (*training, *EMULATED), r"training does not run in the emulator",
                  outputs=[at("no.onnx")])
        if not os.path.exists("/dev/nvidia0"):
            c.refused("training without a card", (*training, "--device", "cuda"),
                      r"has no CUDA: train with --device cpu|sees no card on this machine|training needs the plug-in",
                      outputs=[at("no.onnx")])
            missing = r"no CUDA kernels|no NVIDIA driver is installed|finds no card|stub and no driver"
            c.refused("no card", ("build", at("q.onnx"), "--device", "cuda", "-o", at("no.plan")), missing)
            c.refused("a card of a plan that is not there", ("bench", at("card.plan")), missing)
    c.end()


if __name__ == "__main__":
    main()
