"""Train and evaluate small plans in PyTorch, for train/pytorch_test.go.

    pip install torch safetensors
    go test ./train -run TestRunsAgreeWithPyTorch -export DIR
    python bench/pytorch/replay.py DIR train/testdata

Each file in DIR holds a plan, its subjects, the initial weights, the order of the
training images in each epoch, the mixtures of the batches and the images of the
recalibration; where subjects are pooled by attention, orders of subjects, and
their covariates. This program does the rest again, by PyTorch's own layers and optimisers and by the
documentation of the views, in float64, and stores what a run records as float32.
"""

import json
import math
import pathlib
import sys
from copy import deepcopy

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from bags import Network
from health import Health
from losses import objective
from steps import Case, network, numbers


def load_images(sets, size, names):
    """For each set the images, their subjects and their classes, in order."""
    stream, loaded = 0, {}
    for name in names:
        images, subjects, classes = [], [], []
        for index, subject in enumerate(sets.get(name, [])):
            for _ in range(subject["images"]):
                voxels = numbers(math.prod(size), stream).reshape(1, *size)
                images.append(4 * voxels + 0.25 * subject["class"])
                subjects.append(index)
                classes.append(subject["class"])
                stream += 1
        loaded[name] = torch.stack(images), subjects, torch.tensor(classes)
    return loaded


def batches(indices, size):
    """The fewest batches of at most size, as equal as possible."""
    count = -(-len(indices) // size)
    edges = [i * len(indices) // count for i in range(count + 1)]
    return [indices[a:b] for a, b in zip(edges, edges[1:])]


class Replay:
    def __init__(self, file):
        with safe_open(file, "pt") as f:
            self.start = {name: f.get_tensor(name) for name in f.keys()}
            metadata = f.metadata()
        self.metadata = metadata
        self.plan, self.sets = json.loads(metadata["plan"]), json.loads(metadata["sets"])
        size = self.plan["Prep"]["Grid"]
        self.images = load_images(self.sets, size, ["train", "validation", "test"])
        net = self.plan["Net"]
        self.norm = net["Norm"] == "batch"
        self.net = self.make_network(len(size), net)
        initial = {name[len("initial."):]: value.double() for name, value in self.start.items() if name.startswith("initial.")}
        missing, unexpected = self.net.load_state_dict(initial, strict=False)
        assert not unexpected and all("num_batches" in name for name in missing), (missing, unexpected)
        for module in self.net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = net["Momentum"]
        self.averaged = deepcopy(self.net)
        self.optimizer = self.make_optimizer()
        self.weights = None
        if self.plan["Loss"]["Weights"] == "balanced":
            counts = torch.bincount(self.images["train"][2], minlength=3).double()
            self.weights = counts.sum() / (3 * counts)
        self.steps = 0
        self.out = {}

    def make_network(self, dims, net):
        return network(Case(dims, 1, (), 3, net["Width"], int(net["Name"][-1]), net["Norm"], 0))

    def make_optimizer(self):
        o = self.plan["Optimizer"]
        decayed, spared = [], []
        for name, value in self.net.named_parameters():
            (decayed if name.endswith(("conv.weight", "head.weight", "hidden.weight", "score.weight")) else spared).append(value)
        groups = [{"params": decayed, "weight_decay": o["WeightDecay"]}, {"params": spared, "weight_decay": 0}]
        if o["Name"] == "sgd":
            return torch.optim.SGD(groups, lr=o["LR"], momentum=o["Momentum"])
        return torch.optim.Adam(groups, lr=o["LR"])

    def put(self, name, loss, accuracy):
        self.out[name] = torch.tensor([loss, accuracy])

    def indices(self, name):
        return [int(i) for i in self.start[name]]

    def mixed(self, part):
        """The images of a batch, its labels, their partners' and the share of the former."""
        images, _, classes = self.images["train"]
        if self.plan["Augment"]["Mixup"]["Alpha"] == 0:
            return images[part], classes[part], classes[part], 1.0
        share, *partners = self.start[f"mixture.{self.steps}"].double().tolist()
        other = [part[int(i)] for i in partners]
        return share * images[part] + (1 - share) * images[other], classes[part], classes[other], share

    def objective(self, logits, labels):
        loss = self.plan["Loss"]
        gamma = loss["Gamma"] if loss["Name"] == "focal" else 0
        return objective(logits, labels, self.weights, loss["Smoothing"], gamma)

    def train_epoch(self, epoch):
        order = self.indices(f"order.{epoch}")
        parts = batches(order, self.plan["Batch"])
        loss_sum, correct, norms = 0.0, 0.0, []
        lessened, weight = 0.0, 0.0
        self.net.train()
        health = Health(self.net, len(parts))
        for part in parts:
            self.optimizer.zero_grad()
            images, labels, others, share = self.mixed(part)
            logits = self.net(images)
            plain = share * nn.functional.cross_entropy(logits, labels) + (1 - share) * nn.functional.cross_entropy(logits, others)
            loss = share * self.objective(logits, labels) + (1 - share) * self.objective(logits, others)
            loss.backward()
            norms.append(math.sqrt(sum((p.grad**2).sum().item() for p in self.net.parameters())))
            health.backward(labels, plain.item())
            self.optimizer.step()
            health.stepped()
            self.steps += 1
            self.average(len(parts))
            loss_sum += plain.item() * len(part)
            hit = [(logits.argmax(1) == wanted).sum().item() for wanted in (labels, others)]
            correct += share * hit[0] + (1 - share) * hit[1]
            of_batch = len(part) if self.weights is None else self.weights[labels].sum().item()
            lessened, weight = lessened + loss.item() * of_batch, weight + of_batch
        prefix = f"epoch{epoch}."
        health.end(prefix, self.out)
        self.out[prefix + "step"] = torch.tensor([float(self.steps)])
        self.out[prefix + "gradient_norm"] = torch.tensor([sum(norms) / len(norms)])
        plan = self.plan["Loss"]
        if plan["Name"] == "focal" or plan["Smoothing"] or plan["Weights"] != "none":
            self.out[prefix + "objective"] = torch.tensor([lessened / weight])
        self.put(prefix + "logged.train", loss_sum / len(order), correct / len(order))

    def average(self, steps_per_epoch):
        """An epoch leaves `decay` of the average in place, less at the start."""
        keep = min(self.plan["Views"]["Decay"] ** (1 / steps_per_epoch), (self.steps - 1) / self.steps)
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.net.parameters()):
                mean.mul_(keep).add_(now, alpha=1 - keep)

    def pool(self, name, set_name, indices, logits):
        """Record the mean probability over the images of each subject."""
        _, subjects, _ = self.images[set_name]
        rows, loss, correct, seen = [], 0.0, 0, 0
        for index, subject in enumerate(self.sets[set_name]):
            own = [k for k, i in enumerate(indices) if subjects[i] == index]
            if not own:
                rows.append(torch.full((3,), -1.0))
                continue
            row = logits[own].softmax(1).mean(0)
            rows.append(row)
            loss -= row[subject["class"]].log().item()
            correct += row.argmax().item() == subject["class"]
            seen += 1
        self.put(name, loss / seen, correct / seen)
        self.out[name + ".probabilities"] = torch.cat(rows)

    def evaluate(self, net, name, set_name):
        net.eval()
        images = self.images[set_name][0]
        with torch.no_grad():
            self.pool(f"{name}.{set_name}", set_name, range(len(images)), net(images))

    def recalibrate(self, net, name):
        """Fresh statistics; the predictions on training images are those of this pass."""
        images, calibration = self.images["train"][0], self.indices("calibration")
        parts = batches(calibration, self.plan["Batch"])
        with torch.no_grad():
            if self.norm:
                seen = deepcopy(net).train()
                torch.optim.swa_utils.update_bn([images[part] for part in parts], net)
            else:
                seen = net
            logits = torch.cat([seen(images[part]) for part in parts])
            if name:
                self.pool(name + ".train", "train", calibration, logits)

    def views(self, epoch):
        prefix = f"epoch{epoch}."
        if self.plan["Validation"]["Recalibrate"] and self.norm:
            self.recalibrate(self.net, None)
        self.evaluate(self.net, prefix + "logged", "validation")
        every = self.plan["Views"]["Every"]
        if not every or epoch % every:
            return
        self.evaluate(self.net, prefix + "deterministic", "train")
        self.evaluate(self.net, prefix + "deterministic", "validation")
        if self.norm:
            other = deepcopy(self.net)
            self.recalibrate(other, prefix + "recalibrated")
            self.evaluate(other, prefix + "recalibrated", "validation")
        else:
            for set_name in ("train", "validation"):
                self.evaluate(self.net, prefix + "recalibrated", set_name)
        self.recalibrate(self.averaged, prefix + "averaged")
        self.evaluate(self.averaged, prefix + "averaged", "validation")
        self.fresh = deepcopy(self.averaged)

    def run(self):
        """Train, evaluate and keep the weights."""
        epochs = self.plan["Epochs"]
        for epoch in range(1, epochs + 1):
            self.train_epoch(epoch)
            self.views(epoch)
        self.evaluate(self.net, "test.deterministic", "test")
        if epochs % self.plan["Views"]["Every"] == 0:
            self.evaluate(self.averaged, "test.averaged", "test")
        for prefix, net in (("last.", self.net), ("averaged.", self.fresh)):
            for name, value in net.state_dict().items():
                if "num_batches" not in name:
                    self.out[prefix + name] = value


class Trunk(nn.Module):
    """What of a network works on single images, for update_bn."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net.features(images)


class BagReplay(Replay):
    """A plan with attention: orders are of subjects, none of whom has so many images
    that a step takes some of them only."""

    def make_network(self, dims, net):
        self.covariates = {name: self.start["covariates." + name].double() for name in self.images}
        width = self.covariates["train"].shape[1]
        return Network(dims, 1, 3, net["Width"], int(net["Name"][-1]), self.norm, width, True).double()

    def batch(self, set_name, part):
        """The images of some subjects, how many each has, their covariates and classes."""
        images, subjects, _ = self.images[set_name]
        own = [[k for k, s in enumerate(subjects) if s == subject] for subject in part]
        classes = torch.tensor([self.sets[set_name][subject]["class"] for subject in part])
        return images[sum(own, [])], [len(k) for k in own], self.covariates[set_name][part], classes

    def train_epoch(self, epoch):
        order = self.indices(f"order.{epoch}")
        parts = batches(order, self.plan["Batch"])
        loss_sum, correct, norms = 0.0, 0, []
        self.net.train()
        health = Health(self.net, len(parts))
        for part in parts:
            self.optimizer.zero_grad()
            *inputs, labels = self.batch("train", part)
            logits = self.net(*inputs)
            loss = nn.functional.cross_entropy(logits, labels)
            loss.backward()
            norms.append(math.sqrt(sum((p.grad**2).sum().item() for p in self.net.parameters())))
            health.backward(labels, loss.item())
            self.optimizer.step()
            health.stepped()
            self.steps += 1
            self.average(len(parts))
            loss_sum += loss.item() * len(part)
            correct += (logits.argmax(1) == labels).sum().item()
        prefix = f"epoch{epoch}."
        health.end(prefix, self.out)
        self.out[prefix + "step"] = torch.tensor([float(self.steps)])
        self.out[prefix + "gradient_norm"] = torch.tensor([sum(norms) / len(norms)])
        self.put(prefix + "logged.train", loss_sum / len(order), correct / len(order))

    def keep(self, name, set_name, order, logits):
        """Record the predictions for some subjects."""
        rows = torch.full((len(self.sets[set_name]), 3), -1.0, dtype=torch.float64)
        rows[order] = logits.softmax(1)
        classes = torch.tensor([self.sets[set_name][subject]["class"] for subject in order])
        loss = nn.functional.cross_entropy(logits, classes).item()
        self.put(name, loss, (logits.argmax(1) == classes).double().mean().item())
        self.out[name + ".probabilities"] = rows.flatten()

    def evaluate(self, net, name, set_name):
        net.eval()
        everybody = list(range(len(self.sets[set_name])))
        with torch.no_grad():
            self.keep(f"{name}.{set_name}", set_name, everybody, net(*self.batch(set_name, everybody)[:3]))

    def recalibrate(self, net, name):
        calibration = self.indices("calibration")
        parts = [self.batch("train", part)[:3] for part in batches(calibration, self.plan["Batch"])]
        with torch.no_grad():
            seen = deepcopy(net).train()
            torch.optim.swa_utils.update_bn([images for images, _, _ in parts], Trunk(net))
            if name:
                self.keep(name + ".train", "train", calibration, torch.cat([seen(*part) for part in parts]))


def main(source, target):
    for file in sorted(pathlib.Path(source).glob("*.safetensors")):
        replay = (BagReplay if file.stem == "bags" else Replay)(file)
        replay.run()
        tensors = dict(replay.start)
        tensors.update({name: value.to(torch.float32).contiguous() for name, value in replay.out.items()})
        save_file(tensors, pathlib.Path(target) / file.name, metadata={"torch": torch.__version__.split("+")[0]})


if __name__ == "__main__":
    main(*sys.argv[1:])
