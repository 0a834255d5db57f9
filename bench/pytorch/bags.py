"""Write net/testdata/bags*.safetensors and covariates.safetensors: what PyTorch
computes for networks that pool the images of a subject by attention (Ilse, Tomczak
and Welling 2018) and for networks with covariates before the last layer.

    pip install torch safetensors
    python bench/pytorch/bags.py net/testdata

As steps.py, with which it shares inputs and the way of training: float64, ten
steps of SGD and of Adam. The Go test is net/bags_pytorch_test.go.
"""

import sys
from collections import OrderedDict

import torch
from torch import nn

from steps import numbers, save

STEPS = 10
UNITS = 64

# name: dims, channels, size, classes, width, blocks, batch norm, covariates,
# attention, images of each subject in even and in odd steps.
CASES = {
    "bags": (2, 1, (9, 10), 3, 5, 2, True, 0, True, ((3, 1, 2), (1, 4))),
    "covariates": (3, 1, (5, 4, 6), 2, 5, 1, True, 3, False, ((1,) * 4, (1,) * 3)),
    "bags-covariates": (3, 2, (4, 5, 4), 2, 17, 1, False, 2, True, ((2, 2), (5, 1, 1))),
}


class Attention(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.hidden = nn.Linear(features, UNITS, bias=False)
        self.score = nn.Linear(UNITS, 1, bias=False)

    def forward(self, features, bags):
        rows = []
        for bag in features.split(bags):
            weight = self.score(self.hidden(bag).tanh()).softmax(0)
            rows.append((weight * bag).sum(0))
        return torch.stack(rows)


class Network(nn.Module):
    def __init__(self, dims, channels, classes, width, blocks, norm, covariates, attention):
        super().__init__()
        conv, batch_norm, pool, average = {
            2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d),
            3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AdaptiveAvgPool3d),
        }[dims]
        for index in range(1, blocks + 1):
            parts = OrderedDict(conv=conv(channels, width, 3, padding=1, bias=not norm))
            if norm:
                parts["norm"] = batch_norm(width)
            parts["relu"], parts["pool"] = nn.ReLU(), pool(2)
            self.add_module(f"block{index}", nn.Sequential(parts))
            channels, width = width, 2 * width
        self.blocks, self.average = blocks, average(1)
        self.attention = Attention(channels) if attention else None
        self.head = nn.Linear(channels + covariates, classes)

    def features(self, images):
        x = images
        for index in range(1, self.blocks + 1):
            x = getattr(self, f"block{index}")(x)
        return self.average(x).flatten(1)

    def forward(self, images, bags, covariates):
        x = self.features(images)
        if self.attention is not None:
            x = self.attention(x, bags)
        return self.head(torch.cat([x, covariates], 1))


def network(case):
    dims, channels, _, *rest = case[:9]
    net = Network(dims, channels, *rest).double()
    with torch.no_grad():
        for index, (name, value) in enumerate(net.named_parameters()):
            spread = numbers(value.numel(), index).reshape(value.shape)
            if "norm" in name and name.endswith(".weight"):
                spread = 1 + spread
            if name.startswith("attention."):
                spread = 4 * spread  # so that tanh and softmax are far from linear
            value.copy_(spread)
    return net


def batch(case, step):
    _, channels, size, classes, _, _, _, width, _, sizes = case
    bags = sizes[step % 2]
    shape = (sum(bags), channels, *size)
    images = 4 * numbers(torch.Size(shape).numel(), 100 + step).reshape(shape)
    covariates = 4 * numbers(len(bags) * width, 400 + step).reshape(len(bags), width)
    labels = ((numbers(len(bags), 200 + step) + 0.5) * classes).long()
    return images, bags, covariates, labels


def train(case, make_optimizer, prefix, out):
    net = network(case)
    optimizer = make_optimizer(net.parameters())
    losses = []
    for step in range(STEPS):
        *inputs, labels = batch(case, step)
        optimizer.zero_grad()
        logits = net(*inputs)
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
    *inputs, _ = batch(case, STEPS)
    out[prefix + ".inference.logits"] = net(*inputs).detach()


def main(folder):
    for name, case in CASES.items():
        out = {}
        train(case, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), "sgd", out)
        train(case, lambda p: torch.optim.Adam(p, lr=0.002), "adam", out)
        save(folder, name, out)


if __name__ == "__main__":
    main(sys.argv[1])
