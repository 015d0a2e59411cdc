# SPDX-License-Identifier: Apache-2.0
"""Every placement case of the design documents (expected sites of NVIDIA's TensorFlow toolkit on small and large networks)
through `kvant quantize`, checked by the checker that stands beside them; with batch norms folded and without."""
import json
import os
import subprocess
import sys

import onnx

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from kvant_run import Checks, kvant_json, scratch, skip

CASES = os.environ.get("KVANT_PLACEMENT_CASES") or os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared", "design", "placement-cases")
CLASSES = {"Conv2D": "Conv", "DepthwiseConv2D": "DepthwiseConv", "Dense": "Linear", "MaxPooling2D": "MaxPool", "Add": "Add",
           "Multiply": "Mul", "Concatenate": "Concat", "BatchNormalization": "BatchNormalization"}
CUSTOM = {"ResNetV1": "resnet-v1", "ResNetV2": "resnet-v2", "MobileNet": "mobilenet", "EfficientNet": "efficientnet",
          "Inception": "inception"}


def spec_of(entries):
    layers = []
    for entry in entries or []:
        layer = {"class": CLASSES[entry["name"]]} if entry.get("is_class") else {"name": entry["name"]}
        for flag in ("quantize_input", "quantize_weight"):
            if flag in entry:
                layer[flag] = entry[flag]
        if entry.get("index") is not None:
            layer["inputs"] = entry["index"]
        layers.append(layer)
    return layers


def write_ranges(model, path):
    """A range for every tensor: placement does not depend on the values."""
    graph = onnx.load(model).graph
    names = [value.name for value in graph.input] + [name for node in graph.node for name in node.output]
    with open(path, "w") as file:
        json.dump({"format": "kvant-ranges", "version": 1, "calibrator": "", "samples": 1,
                   "ranges": {name: [-1.0, 1.0] for name in names}}, file)


class Case:
    def __init__(self, case, folder):
        self.name, self.case, self.folder = case["name"], case, folder
        settings = case["settings"]
        self.model = os.path.join(folder, case["network"] + ".onnx")
        self.layers = spec_of(settings["spec"])
        self.arguments = ["--mode", settings["mode"]]
        cases = [CUSTOM[name] for name in settings["custom_cases"]]
        if cases:
            self.arguments += ["--case", ",".join(cases)]
        elif settings["mode"] == "full":
            self.arguments += ["--case", "none"]
        self.ranges = os.path.join(folder, case["network"] + ".ranges.json")
        if not os.path.exists(self.ranges):
            write_ranges(self.model, self.ranges)

    def command(self, layers, output, adjust):
        arguments = ["quantize", self.model, "-o", output, "--load-ranges", self.ranges, "--adjust", adjust, *self.arguments]
        if layers:
            spec = os.path.join(self.folder, self.name + ".spec.json")
            with open(spec, "w") as file:
                json.dump({"layers": layers}, file)
            arguments += ["--spec", spec]
        return arguments

    def refused_entry(self, checks):
        """The toolkit warns of entries that fit nothing and of wrong indices; kvant refuses them. What is left stays."""
        names = {node.name for node in onnx.load(self.model).graph.node}
        bad = [layer for layer in self.layers
               if layer.get("name", "") not in names | {""} or any(i > 1 for i in layer.get("inputs", []))]
        checks.that(len(bad) == 1, f"{self.name}: entries to refuse: {bad}")
        output = os.path.join(self.folder, "refused.onnx")
        pattern = "has no input 3: it has 2" if "inputs" in bad[0] else f"name '{bad[0]['name']}' fits no layer.*nearest"
        checks.refused(self.name, self.command(self.layers, output, "none"), pattern, outputs=[output])
        self.layers = [layer for layer in self.layers if layer not in bad]

    def run(self, checks):
        if "warns" in self.case:
            self.refused_entry(checks)
        for adjust in ("none", "fold-batch-norm"):
            output = os.path.join(self.folder, f"{self.name}.{adjust}.onnx")
            said = kvant_json(*self.command(self.layers, output, adjust))
            for layer in said["layers"]:
                checks.that(layer["reason"], f"{self.name}: {layer['name']} has no reason")
            for pair in said["qdq"]:
                checks.that(pair["reason"], f"{self.name}: the pair on {pair['tensor']} has no reason")
            check = [sys.executable, os.path.join(CASES, "check_placement.py"), output, self.name, "--sharing", "shared", "--strict",
                     "--weights", "qdq"]
            if adjust == "none":
                check += ["--float", self.model, "--weight-scale"]
            done = subprocess.run(check, capture_output=True, text=True)
            checks.that(done.returncode == 0, f"{self.name} ({adjust}): {done.stdout}{done.stderr}")
            os.remove(output)


def main():
    if not os.path.exists(os.path.join(CASES, "cases.json")):
        skip(f"there is no {os.path.normpath(CASES)} (KVANT_PLACEMENT_CASES names another folder)")
    checks = Checks()
    with open(os.path.join(CASES, "cases.json")) as file:
        cases = json.load(file)["cases"]
    checks.that(len(cases) > 30, f"only {len(cases)} cases")
    with scratch() as folder:
        subprocess.run([sys.executable, os.path.join(CASES, "make_cases.py"), folder, "--big"], check=True,
                       stdout=subprocess.DEVNULL)
        for case in cases:
            Case(case, folder).run(checks)
    print(f"{len(cases)} cases")
    checks.end()


if __name__ == "__main__":
    main()
