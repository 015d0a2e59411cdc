#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch_baselines.py NETWORK BATCH [--compile]: what a user of PyTorch has on this card, as one line of JSON: eager FP32, and with
--compile torch.compile(mode="max-autotune") of the FP16 network, channels last (CUDA graphs are part of that mode). Random
weights and inputs; the median of events around single passes."""
import json
import statistics
import sys

import torch


def network(name):
    if name.startswith("timm:"):
        import timm
        return timm.create_model(name.removeprefix("timm:"), pretrained=False)
    import torchvision
    extra = {"aux_logits": False, "init_weights": True} if name == "inception_v3" else {}
    return getattr(torchvision.models, name)(weights=None, **extra)


def milliseconds(run, warmup, repeats):
    for _ in range(warmup):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def main(name, batch, compiled):
    torch.manual_seed(0)
    side = {"inception_v3": 299, "efficientnet_b3": 300}.get(name, 224)
    model = network(name).cuda().eval()
    x = torch.randn(batch, 3, side, side, device="cuda")
    result = {"torch": torch.__version__}
    with torch.inference_mode():
        result["torch_eager_fp32_ms"] = milliseconds(lambda: model(x), 10, 50)
        if compiled:
            model = model.half().to(memory_format=torch.channels_last)
            x = x.half().to(memory_format=torch.channels_last)
            fast = torch.compile(model, mode="max-autotune")
            result["torch_compile_fp16_ms"] = milliseconds(lambda: fast(x), 5, 100)
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "--compile" in sys.argv[3:])
