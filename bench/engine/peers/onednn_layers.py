"""Time oneDNN's convolutions, through PyTorch, on the layers of R1 and R3.

    pip install torch numpy
    python bench/engine/peers/onednn_layers.py

Prints nominal GFLOP/s per second of CPU time on one thread: forward, backward to
the data and to the weights, in both memory formats, conversions of layout
included. Figures: docs/decisions/0006-own-engine.md.
"""

import time

import torch
from torch.nn import functional

# dims, batch, input and output channels, size
LAYERS = [
    (3, 4, 1, 16, 64), (3, 4, 16, 32, 32), (3, 4, 32, 64, 16), (3, 4, 64, 128, 8),
    (2, 32, 1, 16, 128), (2, 32, 16, 32, 64), (2, 32, 32, 64, 32), (2, 32, 64, 128, 16),
]  # fmt: skip
FORMATS = {2: (torch.contiguous_format, torch.channels_last), 3: (torch.contiguous_format, torch.channels_last_3d)}
RUNS = 6


def rate(flops, run):
    run()
    times = []
    for _ in range(RUNS):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return flops / min(times) / 1e9


def measure(dims, batch, channels, width, size, layout):
    x = torch.randn(batch, channels, *[size] * dims).contiguous(memory_format=layout)
    weight = torch.randn(width, channels, *[3] * dims).contiguous(memory_format=layout)
    conv = {2: functional.conv2d, 3: functional.conv3d}[dims]
    dy = torch.randn_like(conv(x, weight, padding=1))
    flops = 2 * batch * channels * width * size**dims * 3**dims

    def backward(data, weights):
        ones = [1] * dims
        torch.ops.aten.convolution_backward(dy, x, weight, None, ones, ones, ones, False, [0] * dims, 1, [data, weights, False])

    rates = [rate(flops, lambda: conv(x, weight, padding=1))]
    rates.append(rate(flops, lambda: backward(True, False)) if channels > 1 else float("nan"))
    rates.append(rate(flops, lambda: backward(False, True)))
    return " / ".join(f"{r:.0f}" for r in rates)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}; plain, channels_last: forward / data / weights")
    with torch.no_grad():
        for layer in LAYERS:
            dims, batch, channels, width, size = layer
            plain, last = (measure(*layer, layout) for layout in FORMATS[dims])
            print(f"{dims}D {batch} x {channels}→{width}, {size}: {plain}; {last}", flush=True)
