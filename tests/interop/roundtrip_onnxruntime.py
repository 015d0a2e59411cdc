# SPDX-License-Identifier: Apache-2.0
"""Model files in and out. What roundtrip_tool wrote passes onnx.checker's full check, computes in onnxruntime what the
file that it read computes, reads back as the same graph, and written once more has the same bytes. The models: some made
here (forms of old and new opsets, integer operators, all kinds of weights), and those of ../shared/data where it is."""
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

TOOL = os.environ["ROUNDTRIP_TOOL"]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
rng = np.random.default_rng(7)


def weight(name, *shape, dtype=np.float32):
    return numpy_helper.from_array((rng.standard_normal(shape) * 0.3).astype(dtype), name)


def array(name, values, dtype):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def model(opset, nodes, inputs, outputs, initializers=(), initializers_are_inputs=False):
    """inputs and outputs: name -> (element type, shape); a text in a shape is a symbolic dimension."""
    info = lambda table: [helper.make_tensor_value_info(n, t, s) for n, (t, s) in table.items()]
    given = info(inputs)
    if initializers_are_inputs:
        given += [helper.make_tensor_value_info(i.name, i.data_type, list(i.dims)) for i in initializers]
    graph = helper.make_graph(nodes, "made", given, info(outputs), list(initializers))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="roundtrip")
    made.ir_version = 3 if initializers_are_inputs else min(made.ir_version, 10)
    made.metadata_props.add(key="made.for", value="test")
    onnx.checker.check_model(made, full_check=True)
    return made


F = TensorProto.FLOAT
N = helper.make_node


def opset7():
    """Attributes that are inputs today, Dropout with a mask, initializers among the inputs (IR 3)."""
    nodes = [N("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
             N("BatchNormalization", ["c", "s", "o", "m", "v"], ["n"], "norm"),
             N("Clip", ["n"], ["k"], "clip", min=-0.5, max=1.0),
             N("Dropout", ["k"], ["d"], "drop", ratio=0.4),
             N("Upsample", ["d"], ["u"], "up", mode="nearest", scales=[1.0, 1.0, 2.0, 2.0]),
             N("Pad", ["u"], ["p"], "pad", pads=[0, 0, 1, 0, 0, 0, 0, 2], value=0.25),
             N("Slice", ["p"], ["l"], "slice", axes=[2, 3], starts=[1, 0], ends=[9, 9]),
             N("ReduceMean", ["l"], ["r"], "mean", axes=[3], keepdims=0),
             N("Softmax", ["r"], ["t"], "soft"),
             N("Squeeze", ["t"], ["y"], "squeeze", axes=[0])]
    channels = [array(n, v, np.float32) for n, v in (("s", [1, 2, .5, 1]), ("o", [0, .1, .2, .3]), ("m", [0, 0, .1, 0]), ("v", [1, 2, 1, .5]))]
    return model(7, nodes, {"x": (F, [1, 3, 4, 5])}, {"y": (F, [4, 8])}, [weight("w", 4, 3, 3, 3), weight("b", 4), *channels], True)


def opset11():
    """Shape arithmetic over a symbolic batch, Resize with empty inputs, Split and Unsqueeze by attribute."""
    nodes = [N("Resize", ["x", "none", "scales"], ["u"], "resize", mode="linear", coordinate_transformation_mode="align_corners"),
             N("Split", ["u"], ["head", "tail"], "split", axis=1, split=[1, 2]),
             N("Concat", ["tail", "head"], ["c"], "concat", axis=1),
             N("Shape", ["c"], ["shape"], "shape"), N("Gather", ["shape", "zero"], ["n"], "gather"),
             N("Unsqueeze", ["n"], ["n1"], "unsqueeze", axes=[0]),
             N("Concat", ["n1", "rest"], ["target"], "target", axis=0),
             N("Reshape", ["c", "target"], ["flat"], "reshape"),
             N("Gemm", ["flat", "w", "b"], ["g"], "gemm", transB=1),
             N("LogSoftmax", ["g"], ["y"], "log")]
    constants = [array("none", [], np.float32), array("scales", [1, 1, 2, 2], np.float32), array("zero", 0, np.int64),
                 array("rest", [-1], np.int64), weight("w", 7, 48), weight("b", 7)]
    return model(11, nodes, {"x": (F, ["N", 3, 2, 2])}, {"y": (F, ["N", 7])}, constants)


def integers():
    """QLinearConv with an INT32 bias per channel, QLinearMatMul, ConvInteger and MatMulInteger."""
    codes = lambda name, *shape: array(name, rng.integers(-127, 128, shape), np.int8)
    nodes = [N("QuantizeLinear", ["x", "sx", "zx"], ["q"], "quantize"),
             N("QLinearConv", ["q", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"], ["c"], "conv", kernel_shape=[3, 3]),
             N("DequantizeLinear", ["c", "sy", "zy"], ["y"], "dequantize"),
             N("Reshape", ["c", "shape"], ["flat"], "flatten"),
             N("QLinearMatMul", ["flat", "sy", "zy", "wm", "sm", "zm", "sy", "zy"], ["m"], "matmul"),
             N("ConvInteger", ["q", "w", "zx"], ["ci"], "conv_integer"),
             N("MatMulInteger", ["flat", "wm", "zy"], ["mi"], "matmul_integer")]
    constants = [array("sx", 0.02, np.float32), array("zx", 120, np.uint8), codes("w", 2, 3, 3, 3), array("sw", [.01, .02], np.float32),
                 array("zw", [0, 0], np.int8), array("sy", 0.05, np.float32), array("zy", 117, np.uint8), array("b", [400, -900], np.int32),
                 array("shape", [2, 4], np.int64), codes("wm", 4, 3), array("sm", 0.01, np.float32), array("zm", 0, np.int8)]
    outputs = {"y": (F, [1, 2, 2, 2]), "m": (TensorProto.UINT8, [2, 3]), "ci": (TensorProto.INT32, [1, 2, 2, 2]), "mi": (TensorProto.INT32, [2, 3])}
    return model(13, nodes, {"x": (F, [1, 3, 4, 4])}, outputs, constants)


def opset18():
    """Axes as inputs, Pad with axes, Split by count, half precision."""
    nodes = [N("InstanceNormalization", ["x", "gs", "gb"], ["g"], "instance"),
             N("Pad", ["g", "pads", "", "axes"], ["p"], "pad", mode="reflect"),
             N("ReduceL2", ["p", "axes"], ["r"], "norm"),
             N("Split", ["p"], ["a", "b"], "split", axis=3, num_outputs=2),
             N("Mul", ["a", "r"], ["m"], "mul"),
             N("Cast", ["m"], ["h"], "narrow", to=TensorProto.FLOAT16),
             N("Mul", ["h", "k"], ["y"], "half")]
    constants = [weight("gs", 4), weight("gb", 4), array("pads", [1, 1], np.int64), array("axes", [3], np.int64),
                 array("k", 1.5, np.float16)]
    return model(18, nodes, {"x": (F, [2, 4, 3, 3])}, {"y": (TensorProto.FLOAT16, [2, 4, 3, 3]), "b": (F, [2, 4, 3, 2])}, constants)


def opset22():
    """A transformer's piece: LayerNormalization, Gelu, MatMul over a symbolic length, a Constant node, Where over a mask."""
    nodes = [N("LayerNormalization", ["x", "s", "b"], ["n"], "norm", axis=-1), N("MatMul", ["n", "w"], ["h"], "expand"),
             N("Gelu", ["h"], ["g"], "gelu", approximate="tanh"), N("MatMul", ["g", "v"], ["o"], "project"),
             N("Constant", [], ["low"], "low", value_float=-3.0), N("Greater", ["o", "low"], ["mask"], "mask"),
             N("Where", ["mask", "o", "low"], ["bounded"], "where"), N("Add", ["bounded", "x"], ["y"], "residual")]
    constants = [weight("s", 8), weight("b", 8), weight("w", 8, 64), weight("v", 64, 8)]
    return model(22, nodes, {"x": (F, ["N", "length", 8])}, {"y": (F, ["N", "length", 8])}, constants)


def feeds_of(path, batch=2):
    session_inputs = session(path).get_inputs()
    feeds = {}
    for info in session_inputs:
        height = [d if isinstance(d, int) and d > 0 else batch if i == 0 else 64 for i, d in enumerate(info.shape)]
        if info.type == "tensor(float)":
            feeds[info.name] = rng.standard_normal(height).astype(np.float32)
        elif info.type == "tensor(uint8)":
            feeds[info.name] = rng.integers(0, 256, height).astype(np.uint8)
        else:
            sys.exit(f"{path}: no random data for {info.type}")
    return feeds


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # the model's operators, no others
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_tool(source, target, *flags):
    done = subprocess.run([TOOL, source, target, *flags], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"roundtrip_tool {' '.join(flags)}: {done.stderr}")


def largest_difference(want, have):
    worst = 0.0
    if len(want) != len(have):
        raise AssertionError(f"{len(have)} outputs instead of {len(want)}")
    for w, h in zip(want, have):
        if w.dtype != h.dtype or w.shape != h.shape:
            raise AssertionError(f"an output is {h.dtype}{h.shape} instead of {w.dtype}{w.shape}")
        if w.size:
            worst = max(worst, float(np.max(np.abs(w.astype(np.float64) - h.astype(np.float64)))))
    return worst


def check(source, folder, flags):
    """The largest difference of the outputs of `source` and of what the tool makes of it."""
    first, second = os.path.join(folder, "first.onnx"), os.path.join(folder, "second.onnx")
    # Below opset 18 Pad has no axes: what is written is an equivalent graph then, not the same.
    changes = os.path.basename(source) == "opset18.onnx" and "--opset" not in flags
    run_tool(source, first, *([] if changes else ["--same"]), *flags)
    onnx.checker.check_model(first, full_check=True)
    run_tool(first, second, "--same", *flags)
    # External weights are named after the model's file, so only models that hold their weights have the same bytes.
    if "--external" not in flags and open(first, "rb").read() != open(second, "rb").read():
        raise AssertionError("written again, the file has other bytes")
    feeds = feeds_of(source)
    want = session(source).run(None, feeds)
    worst = 0.0
    for written in (first, second):
        worst = max(worst, largest_difference(want, session(written).run(None, feeds)))
    if not worst <= 1e-5:
        raise AssertionError(f"the outputs in onnxruntime differ by {worst}")
    return worst


def main():
    failed = checked = 0
    with tempfile.TemporaryDirectory(prefix="kvant-roundtrip-") as folder:
        sources = {}
        for make in (opset7, opset11, integers, opset18, opset22):
            sources[make.__name__] = os.path.join(folder, make.__name__ + ".onnx")
            onnx.save(make(), sources[make.__name__])
        for pattern in ("tests/models/*.onnx", "../shared/data/models/*.onnx", "../shared/data/models/*/*.onnx"):
            for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
                sources[os.path.basename(path)] = path
        for name, source in sources.items():
            for flags in ([], ["--external"], ["--opset", "21"]):
                checked += 1
                try:
                    worst = check(source, folder, flags)
                    print(f"{name} {' '.join(flags)}: largest difference {worst:.2g}")
                except (AssertionError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
                    failed += 1
                    print(f"FAILED: {name} {' '.join(flags)}: {error}")
    print(f"{checked - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
