# SPDX-License-Identifier: Apache-2.0
"""Writes ONNX's backend node tests into a folder, one sub-folder each: model.onnx and test_data_set_N/{input,output}_M.pb.

usage: onnx_node_tests_export.py FOLDER

Newer releases of the Python package `onnx` make the tests in memory only. Cases with inputs that are no tensors
(sequences, maps, optionals) are written without data; the runner skips them by their model. FOLDER/version.txt names the
package's version and is written last, so that a folder with it is complete.
"""
import pathlib
import sys
import warnings

import numpy
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests


def write_values(folder, kind, values, infos):
    for i, value in enumerate(values):
        if not isinstance(value, (onnx.TensorProto, numpy.ndarray, numpy.generic)):
            return
        if not isinstance(value, onnx.TensorProto):
            value = numpy_helper.from_array(numpy.asarray(value), infos[i].name)
        (folder / f"{kind}_{i}.pb").write_bytes(value.SerializeToString())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    for case in cases:
        folder = root / case.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(case.model.SerializeToString())
        (folder / "tolerance.txt").write_text(f"{case.rtol} {case.atol}\n")
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = folder / f"test_data_set_{i}"
            data.mkdir(exist_ok=True)
            write_values(data, "input", inputs, case.model.graph.input)
            write_values(data, "output", outputs, case.model.graph.output)
    (root / "version.txt").write_text(onnx.__version__ + "\n")
    print(f"{len(cases)} node tests of onnx {onnx.__version__} in {root}")


if __name__ == "__main__":
    main()
