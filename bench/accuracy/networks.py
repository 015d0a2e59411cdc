# SPDX-License-Identifier: Apache-2.0
"""The networks of docs/accuracy.md: where each comes from, on what it is calibrated, fine-tuned and judged.

`preprocess` and the training recipes are flags of kvant. A network of the `trained` kind comes from
bench/models/NAME.onnx when that is there; `accuracy.py --train NAME` makes it again with its recipe.
"""
SHARED = "../shared/data"
SAMPLE = f"csv:{SHARED}/imagenet-sample/images.tar"
CIFAR = f"{SHARED}/cifar10/cifar10-jpeg.tar.zst"

KERAS_TF = ["--preprocess", "keras-tf", "--crop", "224"]
CIFAR_INPUT = ["--preprocess", "scale", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
CIFAR_AUGMENTED = ["--pad-crop", "4", "--flip"]

# Photographs of ImageNet-1k classes: one a class, so the parts share no class and fine-tuning imitates the float network.
IMAGENET = dict(data="imagenet-sample", calibrate="calibrate", evaluate="evaluate", calibration_images=250, qat_images="all",
                qat=["--epochs", "4", "--lr", "0.0005", "--batch", "16", "--distill-weight", "1",
                     "--distill-temperature", "1", "--clip-norm", "1"])
# Labelled and large: fine-tuning uses labels and the float network.
CIFAR10 = dict(data="cifar10", calibrate="train", evaluate="test", calibration_images=512, qat_images="12800",
               qat=["--epochs", "1", "--lr", "0.001", "--batch", "128", "--distill-weight", "0.5", "--clip-norm", "1",
                    *CIFAR_AUGMENTED])

NETWORKS = {
    "mobilenet-v1-0.75": dict(IMAGENET, file=f"{SHARED}/models/mobilenet_v1_0.75_224.onnx", preprocess=KERAS_TF),
    "mobilenet-v2-from-int8": dict(IMAGENET, file=f"{SHARED}/models/mobilenet_v2_1.0_224_deq_from_int8_ptq.onnx",
                                   preprocess=KERAS_TF),
    "squeezenet1.1": dict(IMAGENET, file=f"{SHARED}/models/squeezenet1.1_224.onnx",
                          preprocess=["--preprocess", "keras-caffe", "--mean", "104,117,123", "--crop", "224"]),
    "efficientnet-lite0": dict(IMAGENET, script="bench/models/efficientnet_lite0.py", preprocess=KERAS_TF),
    "resnet8-mlperf": dict(CIFAR10, file=f"{SHARED}/models/cifar10_resnet8_mlperf_tiny.onnx", preprocess=["--preprocess", "none"],
                           tuned=["--epochs", "3", "--lr", "0.02", *CIFAR_AUGMENTED]),
    "resnet20-pretrained": dict(CIFAR10, file=f"{SHARED}/models/cifar10_resnet20.onnx", preprocess=CIFAR_INPUT,
                                tuned=["--epochs", "3", "--lr", "0.02", *CIFAR_AUGMENTED]),
    "resnet20": dict(CIFAR10, zoo="resnet20", preprocess=CIFAR_INPUT,
                     train=["--epochs", "16", "--lr", "0.2", "--batch", "128", "--weight-decay", "0.0005", *CIFAR_AUGMENTED]),
    "mobilenet-v2-cifar": dict(CIFAR10, zoo="mobilenet-v2-cifar", preprocess=CIFAR_INPUT,
                               train=["--epochs", "4", "--lr", "0.1", "--batch", "128", *CIFAR_AUGMENTED]),
    "efficientnet-cifar": dict(CIFAR10, zoo="efficientnet-cifar", preprocess=CIFAR_INPUT,
                               train=["--epochs", "4", "--lr", "0.1", "--batch", "128", *CIFAR_AUGMENTED]),
    "vit-cifar": dict(CIFAR10, zoo="vit-cifar", preprocess=CIFAR_INPUT,
                      train=["--epochs", "4", "--optimizer", "adamw", "--lr", "0.001", "--weight-decay", "0.05", "--batch", "128",
                             *CIFAR_AUGMENTED]),
}
CALIBRATORS = ["max", "percentile", "entropy", "mse", "auto"]
