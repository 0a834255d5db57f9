"""Write net/testdata/*.safetensors: what PyTorch computes for small networks.

    pip install torch safetensors
    python bench/pytorch/steps.py net/testdata

Everything is computed in float64 on the CPU and stored as float32. Inputs and
initial weights are not stored: both sides make them from `numbers`. The Go test
that reads the files is net/pytorch_test.go.
"""

import sys
from collections import OrderedDict
from dataclasses import dataclass
from math import gcd

import torch
from safetensors.torch import save_file
from torch import nn



@dataclass
class Case:
    """A network and its batches. Kind is a number of blocks, or of the residual blocks
    in each of four groups, or of the convolutions in each of five groups of a VGG. Norm
    "signs" is batch norm whose gamma has both signs and, in channel 0, is zero; a number
    is group norm in that many groups. Weights are drawn within scale/2."""

    dims: int
    channels: int
    size: tuple
    classes: int
    width: int
    kind: int | tuple
    norm: str | int
    count: int
    slope: float = 0.0
    scale: float = 1.0

    def batch_norm(self):
        return self.norm in ("batch", "signs", "batch-after-pool")


CASES = {
    "3d-norm": Case(3, 1, (9, 10, 11), 3, 5, 2, "batch", 3),
    "3d-plain": Case(3, 2, (8, 7, 9), 2, 4, 2, "none", 3),
    "2d-norm": Case(2, 3, (17, 22), 2, 4, 4, "batch", 5),
    "2d-plain": Case(2, 1, (16, 19), 4, 3, 3, "none", 4),
    "2d-wide": Case(2, 20, (6, 7), 2, 18, 2, "batch", 3),
    "3d-signs": Case(3, 1, (9, 8, 13), 2, 20, 2, "signs", 4),
    "3d-after-pool": Case(3, 1, (9, 8, 13), 2, 5, 2, "batch-after-pool", 4),
    "2d-residual": Case(2, 1, (40, 34), 3, 4, (2, 2, 2, 2), "batch", 6),
    "3d-residual": Case(3, 2, (20, 18, 22), 2, 3, (1, 1, 1, 1), "batch", 5),
    "2d-leaky": Case(2, 2, (13, 18), 3, 5, 2, "none", 4, 0.1),
    "2d-leaky-norm": Case(2, 1, (12, 15), 2, 4, 2, "batch", 4, 0.25),
    "3d-group": Case(3, 2, (9, 8, 13), 2, 6, 3, 4, 3),
    "2d-vgg": Case(2, 1, (33, 32), 2, 3, (1, 1, 2, 2, 2), "batch", 6),
    "2d-vgg-plain": Case(2, 1, (32, 34), 2, 2, (2, 2, 2, 2, 2), "none", 6, 0.0, 0.5),
    "3d-vgg-group": Case(3, 1, (32, 33, 34), 2, 2, (1, 1, 2, 2, 2), 4, 3, 0.1),
    "2d-residual-group": Case(2, 1, (40, 34), 3, 3, (1, 1, 1, 1), 2, 4, 0.2),
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


def normalisation(case, width):
    if isinstance(case.norm, int):
        return nn.GroupNorm(gcd(case.norm, width), width)
    return LAYERS[case.dims][1](width)


def activation(case):
    return nn.LeakyReLU(case.slope) if case.slope else nn.ReLU()


def block(case, channels, width, pooled=True):
    conv, _, pool, _ = LAYERS[case.dims]
    with_norm = case.norm not in ("none", "batch-after-pool")
    parts = OrderedDict(conv=conv(channels, width, 3, padding=1, bias=not with_norm))
    if with_norm:
        parts["norm"] = normalisation(case, width)
    parts["relu"] = activation(case)
    if pooled:
        parts["pool"] = pool(2)
    return nn.Sequential(parts)


class Residual(nn.Module):
    """The basic block of He et al. (2016)."""

    def __init__(self, case, channels, width, stride):
        super().__init__()
        conv = LAYERS[case.dims][0]
        self.conv1 = conv(channels, width, 3, stride, padding=1, bias=False)
        self.norm1 = normalisation(case, width)
        self.conv2 = conv(width, width, 3, padding=1, bias=False)
        self.norm2 = normalisation(case, width)
        self.activation = activation(case)
        self.shortcut = nn.Sequential()
        if channels != width or stride != 1:
            self.shortcut = nn.Sequential(
                OrderedDict(conv=conv(channels, width, 1, stride, bias=False), norm=normalisation(case, width)))

    def forward(self, x):
        y = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(y)) + self.shortcut(x))


def plain(case):
    layers = OrderedDict()
    channels, width = case.channels, case.width
    for index in range(1, case.kind + 1):
        layers[f"block{index}"] = block(case, channels, width)
        if case.norm == "batch-after-pool":
            layers[f"block{index}"].add_module("norm", normalisation(case, width))
        channels, width = width, 2 * width
    return layers, channels


def vgg(case):
    """Simonyan and Zisserman (2015), with the end of the other networks."""
    layers = OrderedDict()
    channels = case.channels
    for index, convolutions in enumerate(case.kind):
        group, width = OrderedDict(), case.width * (1, 2, 4, 8, 8)[index]
        for b in range(convolutions):
            group[f"block{b + 1}"] = block(case, channels, width, pooled=b == convolutions - 1)
            channels = width
        layers[f"group{index + 1}"] = nn.Sequential(group)
    return layers, channels


def residual(case):
    width = channels = case.width
    layers = OrderedDict(stem=block(case, case.channels, width))
    for index, blocks in enumerate(case.kind):
        group = OrderedDict()
        for b in range(blocks):
            stride = 2 if index > 0 and b == 0 else 1
            width *= stride
            group[f"block{b + 1}"] = Residual(case, channels, width, stride)
            channels = width
        layers[f"group{index + 1}"] = nn.Sequential(group)
    return layers, channels


def network(case):
    if isinstance(case.kind, int):
        layers, features = plain(case)
    elif len(case.kind) == 5:
        layers, features = vgg(case)
    else:
        layers, features = residual(case)
    layers["average"], layers["flatten"] = LAYERS[case.dims][3](1), nn.Flatten()
    layers["head"] = nn.Linear(features, case.classes)
    net = nn.Sequential(layers).double()
    with torch.no_grad():
        for index, (name, value) in enumerate(net.named_parameters()):
            spread = numbers(value.numel(), index).reshape(value.shape)
            if "norm" in name and name.endswith(".weight"):
                value.copy_(spread if case.norm == "signs" else 1 + spread)
                if case.norm == "signs":
                    value[0] = 0
            else:
                value.copy_(case.scale * spread)
    return net


def batch(case, step):
    shape = (case.count, case.channels, *case.size)
    images = 4 * numbers(torch.Size(shape).numel(), 100 + step).reshape(shape)
    labels = ((numbers(case.count, 200 + step) + 0.5) * case.classes).long()
    return images, labels


def train(case, make_optimizer, prefix, out):
    net = network(case)
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
    if case.batch_norm():
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
        if case.norm != "batch-after-pool":
            # There the gradient of a bias is a sum that nearly cancels, which Adam
            # would divide by its own size.
            train(case, lambda p: torch.optim.Adam(p, lr=0.002), "adam", out)
        save(folder, name, out)
    out = {}
    cross_entropy(out)
    save(folder, "cross-entropy", out)


if __name__ == "__main__":
    main(sys.argv[1])
