"""Write net/testdata/*.safetensors: what PyTorch computes for small networks.

    pip install torch safetensors
    python bench/pytorch/steps.py net/testdata

Everything is computed in float64 on the CPU and stored as float32. Inputs and
initial weights are not stored: both sides make them from `numbers`. The Go test
that reads the files is net/pytorch_test.go.
"""

import sys
from collections import OrderedDict

import torch
from safetensors.torch import save_file
from torch import nn

# name: dims, channels, size, classes, width, blocks, norm, batch size
CASES = {
    "3d-norm": (3, 1, (9, 10, 11), 3, 5, 2, True, 3),
    "3d-plain": (3, 2, (8, 7, 9), 2, 4, 2, False, 3),
    "2d-norm": (2, 3, (17, 22), 2, 4, 4, True, 5),
    "2d-plain": (2, 1, (16, 19), 4, 3, 3, False, 4),
    "2d-wide": (2, 20, (6, 7), 2, 18, 2, True, 3),
}
STEPS = 10


def numbers(count, stream):
    """Evenly spread multiples of 2**-24 in [-0.5, 0.5), by a hash of the index."""
    mask = 0xFFFFFFFF
    values = []
    for i in range(count):
        x = (i * 0x9E3779B9 + stream * 0x85EBCA6B + 1) & mask
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & mask
        x = ((x ^ (x >> 15)) * 0x846CA68B) & mask
        x ^= x >> 16
        values.append((x >> 8) / 2**24 - 0.5)
    return torch.tensor(values, dtype=torch.float64)


def network(dims, channels, classes, width, blocks, norm):
    conv, batch_norm, pool, average = {
        2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AdaptiveAvgPool3d),
    }[dims]
    layers = OrderedDict()
    for block in range(blocks):
        parts = OrderedDict(conv=conv(channels, width, 3, padding=1, bias=not norm))
        if norm:
            parts["norm"] = batch_norm(width)
        parts["relu"], parts["pool"] = nn.ReLU(), pool(2)
        layers[f"block{block + 1}"] = nn.Sequential(parts)
        channels, width = width, 2 * width
    layers["average"], layers["flatten"] = average(1), nn.Flatten()
    layers["head"] = nn.Linear(channels, classes)
    net = nn.Sequential(layers).double()
    with torch.no_grad():
        for index, (name, value) in enumerate(net.named_parameters()):
            spread = numbers(value.numel(), index).reshape(value.shape)
            if name.endswith("norm.weight"):
                value.copy_(1 + spread)
            else:
                value.copy_(spread)
    return net


def batch(case, step):
    dims, channels, size, classes, _, _, _, count = case
    shape = (count, channels, *size)
    images = 4 * numbers(torch.Size(shape).numel(), 100 + step).reshape(shape)
    labels = ((numbers(count, 200 + step) + 0.5) * classes).long()
    return images, labels


def train(case, make_optimizer, prefix, out):
    net = network(case[0], case[1], case[3], case[4], case[5], case[6])
    optimizer = make_optimizer(net.parameters())
    losses = []
    for step in range(STEPS):
        images, labels = batch(case, step)
        optimizer.zero_grad()
        logits = net(images)
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        if step == 0 and prefix == "sgd":
            out["first.logits"] = logits.detach()
            for name, value in net.named_parameters():
                out["first.gradient." + name] = value.grad.clone()
        losses.append(loss.detach())
        optimizer.step()
    out[prefix + ".losses"] = torch.stack(losses)
    for name, value in net.state_dict().items():
        if "num_batches" not in name:
            out[f"{prefix}.norm.{name}"] = value.norm().reshape(1)
    net.eval()
    images, labels = batch(case, STEPS)
    net.zero_grad()
    logits = net(images)
    out[prefix + ".inference.logits"] = logits.detach()
    nn.functional.cross_entropy(logits, labels).backward()
    for name, value in net.named_parameters():
        out[f"{prefix}.inference.gradient.{name}"] = value.grad.norm().reshape(1)
    if case[6]:
        batches = [batch(case, step)[0] for step in range(3)]
        torch.optim.swa_utils.update_bn(batches, net)
        for name, value in net.state_dict().items():
            if "running" in name:
                out[f"{prefix}.update_bn.{name}"] = value.clone()


def cross_entropy(out):
    logits = (200 * numbers(7 * 5, 300).reshape(7, 5)).requires_grad_()
    labels = ((numbers(7, 301) + 0.5) * 5).long()
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    out["loss"] = loss.detach().reshape(1)
    out["probabilities"] = logits.detach().softmax(1)
    out["gradient"] = logits.grad


def save(folder, name, tensors):
    tensors = {key: value.to(torch.float32).contiguous() for key, value in tensors.items()}
    save_file(tensors, f"{folder}/{name}.safetensors", metadata={"torch": torch.__version__.split("+")[0]})


def main(folder):
    for name, case in CASES.items():
        out = {}
        train(case, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), "sgd", out)
        train(case, lambda p: torch.optim.Adam(p, lr=0.002), "adam", out)
        save(folder, name, out)
    out = {}
    cross_entropy(out)
    save(folder, "cross-entropy", out)


if __name__ == "__main__":
    main(sys.argv[1])
