# SPDX-License-Identifier: Apache-2.0
"""docs/accuracy.md from the measured rows."""
HEAD = """# Accuracy on real networks and images

Made by `make accuracy` (bench/accuracy/accuracy.py; rows as JSON in bench/results/accuracy.json). Top-1 in per cent, of
kvant's engine running the INT8 plan; below it the difference from the float network in points, and the share of images on
which both have the same top-1. PTQ rows fold batch norms; *repair* is `--calibrator auto --adjust auto`; *QAT* fine-tunes
the repaired file and imitates the float network; *onnxruntime* is its quantize_static (per channel, uint8 activations) on the
same images, evaluated by kvant. ImageNet rows: 500 photographs of a 750-image sample that probably comes from the
training set, calibrated and fine-tuned on the other 250, so they compare float with INT8 and are not ImageNet's validation
accuracy. CIFAR-10 rows: 10,000 test images as JPEG copies, so they compare only with one another. `resnet20` was trained by
`kvant train` from scratch for 16 epochs, the other networks of the zoo for 4, as far as the CPU at hand allowed
(bench/accuracy/networks.py; the results lie in bench/models): their float accuracy is not what such networks can reach. The
recipe of the ImageNet rows' QAT was chosen among six on squeezenet1.1 and efficientnet-lite0 by these same images; a picture
more or less right is 0.2 points.
"""
PEERS = """
## What others publish

Drops in points of ImageNet top-1 as their documentation gives them; other checkpoints and all 50,000 images, so a guide only.

| network | toolkit | float | PTQ | QAT |
|---|---|--:|--:|--:|
| ResNet-50 v1 | NVIDIA TensorFlow toolkit with TensorRT 8.4 | 75.05 | -0.09 | +0.07 |
| ResNet-50 v1 | NNCF (PyTorch) | 76.15 | | +0.31 |
| ResNet-50 v1 | torchvision fbgemm | 76.13 | -0.21 | |
| MobileNetV1 | NVIDIA TensorFlow toolkit with TensorRT 8.4 | 70.60 | -1.29 | -0.17 |
| MobileNetV2 | NVIDIA TensorFlow toolkit with TensorRT 8.4 | 71.77 | -0.90 | -0.15 |
| MobileNetV2 | Brevitas | 71.90 | -0.36 | |
| MobileNetV2 | AIMET (data-free) | 71.72 | -0.64 | |
| EfficientNet-Lite0 | TensorFlow Lite | 75.1 | -0.7 | |
| EfficientNet-Lite0 | AIMET (AdaRound) | 75.40 | -0.04 | |
| EfficientNet-B0 | NVIDIA TensorFlow toolkit with TensorRT 8.4 | 76.97 | -5.26 | -1.15 |
"""


def percent(value):
    return f"{100 * value:.2f}"


def cell(row, base):
    if row is None:
        return ""
    drop = f"{100 * (row['engine_top1'] - base):+.2f}"
    return f"{percent(row['engine_top1'])} ({drop}; {percent(row['agreement'])})"


def text(rows, networks, order):
    lines = [HEAD, "| network | " + " | ".join(order) + " |", "|---|" + "--:|" * len(order)]
    for name in networks:
        base = rows.get(f"{name}/float")
        if base is None:
            continue
        cells = [percent(base["top1"])] + [cell(rows.get(f"{name}/{key}"), base["top1"]) for key in order[1:]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    missing = [name for name in networks if f"{name}/float" not in rows]
    if missing:
        lines += ["", "Not measured yet: " + ", ".join(missing) + "."]
    repairs = [(name, rows[f"{name}/repair"]) for name in networks if rows.get(f"{name}/repair", {}).get("adjust")]
    if repairs:
        lines += ["", "## What repair did", "", "Error of the model's output on held-out calibration images, before and after each step.", "",
                  "| network | step | kept | before | after |", "|---|---|---|--:|--:|"]
        for name, row in repairs:
            for step in row["adjust"]:
                lines.append(f"| {name} | {step['name']} | {'yes' if step['kept'] else 'no'} | "
                             f"{number(step.get('error_before'))} | {number(step.get('error_after'))} |")
    machines = sorted({f"{row['machine']}, {row['date']}" for row in rows.values()})
    return "\n".join(lines) + "\n" + PEERS + "\nMeasured on: " + "; ".join(machines) + ".\n"


def number(value):
    return "" if value is None else f"{value:.3g}"
