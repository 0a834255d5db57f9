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

# name: dims, channels, size, classes, width, network, norm, batch size. A network
# is a number of blocks, or of residual blocks in each of four groups. "signs"
# gives gamma both signs and, in channel 0, zero.
CASES = {
    "3d-norm": (3, 1, (9, 10, 11), 3, 5, 2, "batch", 3),
    "3d-plain": (3, 2, (8, 7, 9), 2, 4, 2, "none", 3),
    "2d-norm": (2, 3, (17, 22), 2, 4, 4, "batch", 5),
    "2d-plain": (2, 1, (16, 19), 4, 3, 3, "none", 4),
    "2d-wide": (2, 20, (6, 7), 2, 18, 2, "batch", 3),
    "3d-signs": (3, 1, (9, 8, 13), 2, 20, 2, "signs", 4),
    "3d-after-pool": (3, 1, (9, 8, 13), 2, 5, 2, "batch-after-pool", 4),
    "2d-residual": (2, 1, (40, 34), 3, 4, (2, 2, 2, 2), "batch", 6),
    "3d-residual": (3, 2, (20, 18, 22), 2, 3, (1, 1, 1, 1), "batch", 5),
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


LAYERS = {
    2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AdaptiveAvgPool3d),
}


def block(dims, channels, width, norm):
    conv, batch_norm, pool, _ = LAYERS[dims]
    with_norm = norm in ("batch", "signs")
    parts = OrderedDict(conv=conv(channels, width, 3, padding=1, bias=not with_norm))
    if with_norm:
        parts["norm"] = batch_norm(width)
    parts["relu"], parts["pool"] = nn.ReLU(), pool(2)
    return nn.Sequential(parts)


class Residual(nn.Module):
    """The basic block of He et al. (2016)."""

    def __init__(self, dims, channels, width, stride):
        super().__init__()
        conv, batch_norm, _, _ = LAYERS[dims]
        self.conv1 = conv(channels, width, 3, stride, padding=1, bias=False)
        self.norm1 = batch_norm(width)
        self.conv2 = conv(width, width, 3, padding=1, bias=False)
        self.norm2 = batch_norm(width)
        self.shortcut = nn.Sequential()
        if channels != width or stride != 1:
            self.shortcut = nn.Sequential(
                OrderedDict(conv=conv(channels, width, 1, stride, bias=False), norm=batch_norm(width)))

    def forward(self, x):
        y = self.norm1(self.conv1(x)).relu()
        return (self.norm2(self.conv2(y)) + self.shortcut(x)).relu()


def plain(dims, channels, width, blocks, norm):
    layers = OrderedDict()
    for index in range(1, blocks + 1):
        layers[f"block{index}"] = block(dims, channels, width, norm)
        if norm == "batch-after-pool":
            layers[f"block{index}"].add_module("norm", LAYERS[dims][1](width))
        channels, width = width, 2 * width
    return layers, channels


def residual(dims, channels, width, groups):
    layers = OrderedDict(stem=block(dims, channels, width, "batch"))
    channels = width
    for index, blocks in enumerate(groups):
        group = OrderedDict()
        for b in range(blocks):
            stride = 2 if index > 0 and b == 0 else 1
            width *= stride
            group[f"block{b + 1}"] = Residual(dims, channels, width, stride)
            channels = width
        layers[f"group{index + 1}"] = nn.Sequential(group)
    return layers, channels


def network(dims, channels, classes, width, kind, norm):
    if isinstance(kind, int):
        layers, features = plain(dims, channels, width, kind, norm)
    else:
        layers, features = residual(dims, channels, width, kind)
    layers["average"], layers["flatten"] = LAYERS[dims][3](1), nn.Flatten()
    layers["head"] = nn.Linear(features, classes)
    net = nn.Sequential(layers).double()
    with torch.no_grad():
        for index, (name, value) in enumerate(net.named_parameters()):
            spread = numbers(value.numel(), index).reshape(value.shape)
            if "norm" in name and name.endswith(".weight"):
                value.copy_(spread if norm == "signs" else 1 + spread)
                if norm == "signs":
                    value[0] = 0
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
    if case[6] != "none":
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
        if case[6] != "batch-after-pool":
            # There the gradient of a bias is a sum that nearly cancels, which Adam
            # would divide by its own size.
            train(case, lambda p: torch.optim.Adam(p, lr=0.002), "adam", out)
        save(folder, name, out)
    out = {}
    cross_entropy(out)
    save(folder, "cross-entropy", out)


if __name__ == "__main__":
    main(sys.argv[1])
