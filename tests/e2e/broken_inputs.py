# SPDX-License-Identifier: Apache-2.0
"""Broken inputs: each gives one clear sentence, exit status 1 (2 for usage), no crash, and leaves nothing behind."""
import os
import stat
import struct
import sys

from kvant_run import Checks, kvant, kvant_json, scratch

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny(weight=None, **options):
    """Conv + Relu + global pool on 1x8x8."""
    weight = np.ones((4, 1, 3, 3), np.float32) if weight is None else weight
    nodes = options.get("nodes") or [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["y"], name="flat")]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [options.get("batch", "N"), 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [options.get("batch", "N"), 4])],
        initializer=options.get("initializers", [numpy_helper.from_array(weight, "w")]))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def save(path, model):
    with open(path, "wb") as file:
        file.write(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def main():
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        good = save(at("good.onnx"), tiny())
        images = at("images.npz")
        rng = np.random.default_rng(0)
        np.savez(images, x=rng.random((32, 1, 8, 8), np.float32), y=rng.integers(0, 4, 32))
        qdq, plan = at("good.qdq.onnx"), at("good.plan")
        kvant("quantize", good, "--data", f"npz:{images}", "-o", qdq, "--quiet")
        kvant("build", qdq, "-o", plan, "--quiet")
        data = open(good, "rb").read()
        out = at("out.onnx")

        def refuse_model(name, model, pattern):
            path = save(at("broken.onnx"), model)
            c.refused(name, ["quantize", path, "--data", f"npz:{images}", "-o", out, "--quiet"], pattern, folder=folder)

        # A model whose batch is fixed is run with that batch; another one is refused.
        fixed, fixed_qdq = save(at("fixed.onnx"), tiny(batch=1)), at("fixed.qdq.onnx")
        labelled = f"npz:{images}"
        kvant("quantize", fixed, "--data", labelled, "-o", fixed_qdq, "--quiet")
        kvant("sensitivity", fixed, "--data", labelled, "--iterations", "2", "--quiet")
        for runner in ("engine", "interpreter"):
            done = kvant_json("eval", fixed_qdq, "--data", labelled, "--runner", runner)
            c.that(done["samples"] == 32, f"a fixed batch with {runner}: {done}")
        kvant("compare", fixed_qdq, fixed, "--data", labelled, "--quiet")
        for command in ("quantize", "sensitivity", "eval"):
            c.refused(f"{command} with another batch than the model's", [command, fixed, "--data", labelled, "--batch", "4",
                      *(("-o", out) if command == "quantize" else ())], "takes 1 image at a time, not 4: leave out --batch",
                      folder=folder)

        # Model files.
        refuse_model("truncated", data[: len(data) // 2], "truncated or damaged")
        refuse_model("empty file", b"", "(empty|truncated or damaged)")
        refuse_model("wrong magic", b"PK\x03\x04 this is a zip" * 20, "not an ONNX model")
        refuse_model("absurd dimensions", tiny(initializers=[TensorProto(
            name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 1 << 40, 3, 3], raw_data=b"1234")]), "'w'|too large")
        refuse_model("data shorter than its shape", tiny(initializers=[TensorProto(
            name="w", data_type=TensorProto.FLOAT, dims=[4, 1, 3, 3], raw_data=b"1234")]), "'w'")
        refuse_model("cyclic graph", tiny(nodes=[
            helper.make_node("Add", ["x", "b"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"], name="second"),
            helper.make_node("Flatten", ["b"], ["y"], name="flat")]), "cycl")
        refuse_model("unknown operator", tiny(nodes=[helper.make_node("Convolve", ["x", "w"], ["y"], name="conv")]), "Convolve")
        refuse_model("missing initializer", tiny(initializers=[]), "'w'")
        refuse_model("wrong weight shape", tiny(weight=np.ones((4, 3, 3, 3), np.float32)), "(channel|shape)")
        nan = np.ones((4, 1, 3, 3), np.float32)
        nan[1, 0, 2, 2] = np.nan
        refuse_model("NaN weights", tiny(weight=nan), "(NaN|nan|not finite).*|'w'")
        external = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 1, 3, 3], data_location=TensorProto.EXTERNAL)
        external.external_data.add(key="location", value="weights.bin")
        refuse_model("missing external file", tiny(initializers=[external]), "weights.bin")
        external.external_data[0].value = "../../etc/passwd"
        refuse_model("external file outside", tiny(initializers=[external]), "etc/passwd")
        zero = tiny()
        qdq_model = onnx.load(qdq)
        for initializer in qdq_model.graph.initializer:
            if initializer.name.endswith("scale"):
                values = numpy_helper.to_array(initializer)
                initializer.CopyFrom(numpy_helper.from_array(np.zeros_like(values), initializer.name))
                break
        save(at("zero_scale.onnx"), qdq_model)
        c.refused("scale of zero", ["build", at("zero_scale.onnx"), "-o", at("z.plan")], "positive", folder=folder)
        os.remove(at("zero_scale.onnx"))
        c.refused("missing model", ["inspect", at("none.onnx")], "none.onnx: No such file", folder=folder)

        # Plans.
        plan_bytes = bytearray(open(plan, "rb").read())
        flipped = bytearray(plan_bytes)
        flipped[len(flipped) - 100] ^= 4
        save(at("flipped.plan"), bytes(flipped))
        c.refused("plan with a flipped bit", ["inspect", at("flipped.plan")], "damaged", folder=folder)
        save(at("short.plan"), bytes(plan_bytes[: len(plan_bytes) // 2]))
        c.refused("truncated plan", ["eval", at("short.plan"), "--data", f"npz:{images}"], "truncated", folder=folder)
        other = bytearray(plan_bytes)
        other[8:12] = struct.pack("<I", 99)
        save(at("other.plan"), bytes(other))
        c.refused("plan of another version", ["bench", at("other.plan")], "version", folder=folder)
        c.refused("a plan where a model is needed", ["build", plan, "-o", at("z.plan")], "is a plan", folder=folder)

        # Data.
        evaluate = lambda spec: ["eval", plan, "--data", spec, "--quiet"]
        c.refused("missing data", evaluate("idx:" + at("nowhere")), "nowhere", folder=folder)
        os.mkdir(at("empty"))
        c.refused("empty dataset", evaluate("imagefolder:" + at("empty")), "empty", folder=folder)
        np.savez(at("unlabelled.npz"), x=np.zeros((4, 1, 8, 8), np.float32))
        c.refused("missing labels", evaluate("npz:" + at("unlabelled.npz")), "label", folder=folder)
        np.savez(at("beyond.npz"), x=np.zeros((4, 1, 8, 8), np.float32), y=np.array([0, 1, 2, 77]))
        c.refused("label beyond the classes", evaluate("npz:" + at("beyond.npz")), "77", folder=folder)
        np.savez(at("shape.npz"), x=np.zeros((4, 3, 9, 9), np.float32), y=np.zeros(4, np.int64))
        c.refused("wrong image size", evaluate("npz:" + at("shape.npz")), "3x9x9", folder=folder)
        nans = np.full((32, 1, 8, 8), np.nan, np.float32)
        np.savez(at("nan.npz"), x=nans, y=np.zeros(32, np.int64))
        affine = ["quantize", good, "--data", "npz:" + images, "-o", out, "--quiet", "--activations", "affine"]
        c.refused("affine codes for TensorRT", affine, "symmetrically only", status=2, folder=folder)
        c.refused("affine codes of 4 bits", [*affine, "--target", "kvant", "--bits", "4"], "affine codes are of 8 bits", folder=folder)
        c.refused("NaN activations", ["quantize", good, "--data", "npz:" + at("nan.npz"), "-o", out, "--quiet"], "(NaN|nan)", folder=folder)
        os.makedirs(at("photos/a"))
        save(at("photos/a/1.jpg"), b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\x00" * 50)
        c.refused("corrupt JPEG", evaluate("imagefolder:" + at("photos")), "1.jpg", folder=folder)
        c.refused("unknown data format", evaluate("imagefoldr:" + at("photos")), "imagefolder", folder=folder)

        # Output and usage.
        c.refused("output folder missing", ["quantize", good, "--data", f"npz:{images}", "-o", at("no/where.onnx")], "does not exist", folder=folder)
        c.refused("output is a folder", ["build", qdq, "-o", at("empty")], "is a folder", folder=folder)
        if os.geteuid() != 0:  # root may write anywhere
            os.chmod(at("empty"), stat.S_IRUSR | stat.S_IXUSR)
            c.refused("no permission", ["build", qdq, "-o", at("empty/x.plan")], "Permission denied", folder=folder)
        c.refused("full disk", ["build", qdq, "-o", at("z.plan"), "--quiet"], "z.plan: File too large", folder=folder,
                  preexec_fn=limit_file_size)
        c.refused("unknown flag", ["quantize", good, "--dta", "x", "-o", out], "unknown flag --dta.*--data", 2, folder=folder)
        c.refused("unknown command", ["quantise"], "unknown command 'quantise'.*quantize", 2, folder=folder)
        c.refused("unknown value", ["quantize", good, "--data", "x", "-o", out, "--calibrator", "maxx"], "--calibrator.*max", 2, folder=folder)
        c.refused("missing flag", ["build", qdq], "output.* missing", 2, folder=folder)
        c.refused("no shape", ["bench", "kernels"], "needs --shape", 2, folder=folder)
        for shape in ("5x5", "8x8x4:8:3x3:0", "2x2x4:8:3x3", "8x8x4:8:3x3:1:1:3", "8x8x4:8:3x", "99999x9x9:9:1x1"):
            c.refused(f"shape {shape}", ["bench", "kernels", "--shape", shape], "--shape takes", 2, folder=folder)
        c.refused("activation", ["bench", "kernels", "--shape", "8x8x16:32:3x3", "--activation", "Swoosh"],
                  "--activation 'Swoosh' is not one", 2, folder=folder)
        c.refused("not a number", ["bench", plan, "--iterations", "many"], "--iterations takes a whole number", 2, folder=folder)
        c.refused("no data", ["quantize", good, "-o", out], "--data", 2, folder=folder)
        c.refused("unknown pass", ["build", qdq, "-o", at("z.plan"), "--skip-pass", "fuse"], "no pass 'fuse'", folder=folder)

        # --json says the same in its own form.
        done = kvant("inspect", at("none.onnx"), "--json", check=False)
        import json
        error = json.loads(done.stdout)
        c.that(error["exit"] == 1 and "none.onnx" in error["error"] and isinstance(error["trail"], list), "errors as JSON")
    c.end()


def limit_file_size():
    import resource
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


if __name__ == "__main__":
    main()
