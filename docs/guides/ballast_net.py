"""The networks of ballast in PyTorch, for weights that `ballast export --safetensors` wrote.

    from ballast_net import network

    net = network("model.safetensors")    # in inference mode
    logits = net(images)                  # (N, C, D, H, W), in 2D (N, C, H, W)

Needs torch and safetensors. The names of the modules are those of the tensors, so that
`load_state_dict(strict=True)` holds every one of them. Dropout, which does nothing in inference, is left out.
"""

import json
import math

import torch
from safetensors import safe_open
from torch import nn

LAYERS = {2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d), 3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)}
VGG = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}
RESNET = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


def network(path):
    """The network of a file with its weights, in inference mode."""
    with safe_open(path, "pt") as file:
        net = Net(json.loads(file.metadata()["network"]))
        net.load_state_dict({name: file.get_tensor(name) for name in file.keys()}, strict=True)
    return net.eval()


class Net(nn.Module):
    """A network by its description, the JSON object under "network" in the metadata of a file."""

    def __init__(self, c):
        super().__init__()
        self.config = c
        self.body = []  # names of the modules from the image to the features
        name, width = c["name"], c["width"]
        if name in VGG:
            features = self.vgg(c, VGG[name])
        elif name in RESNET:
            features = self.resnet(c, RESNET[name])
        elif name == "linear":
            features = c["channels"] * math.prod(self.bins())
        else:
            features = c["channels"]
            for block in range(1, (c["depth"] or int(name.removeprefix("cnn"))) + 1):
                self.append(f"block{block}", Block(c, features, width, pooled=True))
                features, width = width, 2 * width
        if c["pooling"] == "attention":
            self.attention = Attention(features)
        self.head = nn.Linear(features + c["covariates"], c["classes"])

    def append(self, name, module):
        self.add_module(name, module)
        self.body.append(name)

    def bins(self):
        """The size to which the linear baseline averages an image."""
        return [min(size, 8) for size in self.config["size"]]

    def vgg(self, c, groups):
        channels = c["channels"]
        for group, blocks in enumerate(groups):
            width = c["width"] * 2 ** min(group, 3)
            parts = {}
            for block in range(1, blocks + 1):
                parts[f"block{block}"] = Block(c, channels, width, pooled=block == blocks)
                channels = width
            self.append(f"group{group + 1}", Sequence(parts))
        return channels

    def resnet(self, c, groups):
        channels = width = c["width"]
        self.append("stem", Block(c, c["channels"], width, pooled=True))
        for group, blocks in enumerate(groups):
            parts = {}
            for block in range(1, blocks + 1):
                stride = 2 if group > 0 and block == 1 else 1
                width *= stride
                parts[f"block{block}"] = Residual(c, channels, width, stride)
                channels = width
            self.append(f"group{group + 1}", Sequence(parts))
        return channels

    def forward(self, images, covariates=None):
        """Logits (N, classes). With attention pooling the images are those of one subject: logits (1, classes).
        Covariates have a row for each row of the logits."""
        x = images
        for name in self.body:
            x = getattr(self, name)(x)
        if self.body:
            x = x.mean(tuple(range(2, x.dim())))
        else:
            average = nn.functional.adaptive_avg_pool2d if x.dim() == 4 else nn.functional.adaptive_avg_pool3d
            x = average(x, self.bins()).flatten(1)
        if self.config["pooling"] == "attention":
            x = self.attention(x)
        if self.config["covariates"]:
            x = torch.cat([x, covariates], 1)
        return self.head(x)


class Sequence(nn.Sequential):
    """Modules with names, one after another."""

    def __init__(self, parts):
        super().__init__()
        for name, module in parts.items():
            self.add_module(name, module)


def convolution(c, channels, width, kernel, stride, bias):
    return LAYERS[c["dims"]][0](channels, width, kernel, stride, padding=kernel // 2, bias=bias)


def normalisation(c, channels):
    if c["norm"] == "none":
        return None
    if c["norm"] == "group":
        return nn.GroupNorm(math.gcd(c["groups"], channels), channels)
    return LAYERS[c["dims"]][1](channels)


def activate(c, x):
    return nn.functional.leaky_relu(x, c["slope"]) if c["activation"] == "leaky-relu" else x.relu()


class Block(nn.Module):
    """Convolution, normalisation, activation and perhaps max pooling by 2; "batch-after-pool" normalises last."""

    def __init__(self, c, channels, width, pooled):
        super().__init__()
        self.config = c
        self.after = c["norm"] == "batch-after-pool"
        self.norm = normalisation(c, width)
        self.conv = convolution(c, channels, width, 3, 1, bias=self.after or self.norm is None)
        self.pool = LAYERS[c["dims"]][2](2) if pooled else nn.Identity()

    def forward(self, x):
        x = self.conv(x)
        if self.norm is None:
            return self.pool(activate(self.config, x))
        if self.after:
            return self.norm(self.pool(activate(self.config, x)))
        return self.pool(activate(self.config, self.norm(x)))


class Residual(nn.Module):
    """The basic block of He et al. (2016)."""

    def __init__(self, c, channels, width, stride):
        super().__init__()
        self.config = c
        self.conv1 = convolution(c, channels, width, 3, stride, bias=False)
        self.norm1 = normalisation(c, width)
        self.conv2 = convolution(c, width, width, 3, 1, bias=False)
        self.norm2 = normalisation(c, width)
        self.shortcut = nn.Identity()
        if channels != width or stride != 1:
            self.shortcut = Sequence({"conv": convolution(c, channels, width, 1, stride, bias=False), "norm": normalisation(c, width)})

    def forward(self, x):
        y = activate(self.config, self.norm1(self.conv1(x)))
        return activate(self.config, self.norm2(self.conv2(y)) + self.shortcut(x))


class Attention(nn.Module):
    """Pools the features of a subject's images with learnt weights (Ilse, Tomczak and Welling 2018)."""

    def __init__(self, features):
        super().__init__()
        self.hidden = nn.Linear(features, 64, bias=False)
        self.score = nn.Linear(64, 1, bias=False)

    def forward(self, x):
        return self.score(self.hidden(x).tanh()).softmax(0).T @ x
