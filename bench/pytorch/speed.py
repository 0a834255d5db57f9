"""Time a training step of PyTorch on the networks of net/bench_test.go.

    pip install torch
    python bench/pytorch/speed.py

Prints the fastest of the steps (forward, loss, backward; no optimiser) in ms, as
`go test ./net -run xxx -bench Step` does for ballast.
"""

import time

import torch
from torch import nn

from steps import network

STEPS = 20


def fastest(dims, size, count, threads):
    torch.set_num_threads(threads)
    net = network(dims, 1, 2, 16, 4, True).float()
    images, labels = torch.randn(count, 1, *size), torch.zeros(count, dtype=torch.long)
    best = float("inf")
    for _ in range(STEPS):
        begin = time.perf_counter()
        net.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        best = min(best, time.perf_counter() - begin)
    return 1000 * best


for name, dims, size, count in (("cnn4 3D 32^3 batch 8", 3, (32, 32, 32), 8), ("cnn4 2D 128^2 batch 16", 2, (128, 128), 16)):
    for threads in (1, 2):
        print(f"torch {torch.__version__}, {name}, {threads} threads: {fastest(dims, size, count, threads):.1f} ms/step")
