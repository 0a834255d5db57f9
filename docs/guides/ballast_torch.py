"""PyTorch beside ballast_recorder: the views of a network, the average of its weights, the health of its layers.

    from ballast_torch import Watch, average, views

A batch of a loader is (images, labels) or (images, labels, ...); the network maps images to logits, one per class or a
single one for two classes. Works on any device and leaves the training as it was: weights, statistics, modes and
random numbers are those without it, bit for bit.
"""

import copy
import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from ballast_recorder import undisturbed

NORMS = nn.modules.batchnorm._BatchNorm
DROPOUTS = nn.modules.dropout._DropoutNd
WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


def probabilities(logits):
    """Softmax of logits (N, classes), or the sigmoid of (N) or (N, 1), in 64 bits on the CPU."""
    logits = logits.detach().double().cpu()
    return logits.softmax(1) if logits.ndim > 1 and logits.shape[1] > 1 else logits.reshape(-1).sigmoid()


def predict(model, loader, classes=None):
    """The probabilities of every image of a loader, in its order, in inference mode. The labels of the loader must be
    the given classes: others show that it shuffles."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    rows, labels = [], []
    model.eval()
    try:
        with torch.no_grad():
            for batch in loader:
                rows.append(probabilities(model(batch[0].to(device))))
                labels += batch[1].reshape(-1).tolist()
    finally:
        for module, training in modes:
            module.training = training
    if classes is not None and [int(label) for label in labels] != list(classes):
        raise ValueError(f"the loader gave {len(labels)} labels, which are not those of the {len(classes)} images in their "
                         "order; evaluate with shuffle=False and drop_last=False")
    return torch.cat(rows)


def recalibrated(model, loader):
    """A copy of a network with batch-norm statistics recomputed on the images of a loader, dropout off."""
    twin = copy.deepcopy(model)
    for module in twin.modules():
        if isinstance(module, DROPOUTS):
            module.p = 0.0
    update_bn(loader, twin, device=next(twin.parameters()).device)
    return twin


def average(model, steps, keep=0.8):
    """An average of the weights: call update_parameters(model) after every step. An epoch of so many steps leaves the
    part `keep` of it in place; over the first steps it is their plain mean."""
    decay = keep ** (1 / steps)
    return AveragedModel(model, avg_fn=lambda mean, weight, count: mean + (1 - min(decay, float(count / (count + 1)))) * (weight - mean))


def views(recorder, model, validation, train=None, logged=None, averaged=None):
    """What Recorder.epoch takes, as far as the loaders allow.

    validation  loader of the validation set in the order of the run: not shuffled, not augmented, nothing dropped.
    train       loader of the training set, the same way.
    logged      the probabilities of the validation set that the loop itself computed; by default those of `validation`.
    averaged    an average of the weights, as from `average`.
    """
    loaders = {name: loader for name, loader in (("train", train), ("validation", validation)) if loader is not None}

    def rows(net):
        return {name: predict(net, loader, recorder.image_classes(name)) for name, loader in loaders.items()}

    with undisturbed():
        result = {"logged": {}, "deterministic": rows(model)}
        result["logged"]["validation"] = result["deterministic"]["validation"] if logged is None else logged
        normed = any(isinstance(module, NORMS) for module in model.modules())
        if normed and train is not None:
            result["recalibrated"] = rows(recalibrated(model, train))
        if averaged is not None and (train is not None or not normed):
            result["averaged"] = rows(recalibrated(averaged.module, train) if normed else averaged.module)
    return result


class Watch:
    """Watches the layers of a network while it trains: `health` and `gradient_norm` for Recorder.epoch.

        watch = Watch(model)
        ...
        loss.backward()                 # with a GradScaler: scaler.unscale_(optimizer) after it
        watch.gradients()
        optimizer.step()
        watch.step(loss, labels)        # labels may be left out; without them the mixing of the batches is not known
        ...
        recorder.epoch(..., gradient_norm=watch.gradient_norm, health=watch.health())

    What a layer passes on is read where the next layer with weights takes it in: after ReLU, norm and pooling, whether they
    are modules or functions. It is known where that input has the layer's channels and nothing negative.
    """

    def __init__(self, model):
        self.layers = {}  # module: its record
        for name, module in model.named_modules():
            if isinstance(module, WEIGHTED) and module.weight.requires_grad:
                self.layers[module] = {"name": f"{name}.weight" if name else "weight"}
                module.register_forward_pre_hook(self._enters)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.previous = None
        self._begin()

    def _begin(self):
        self.steps, self.norms, self.squares = 0, 0.0, 0.0
        self.losses, self.batches = [], []
        self.sums = [torch.zeros_like(p) for p in self.parameters]
        for record in self.layers.values():
            record.update(looks=0, gradient=0.0, zero=0.0, update=0.0, before=None)

    def __deepcopy__(self, memo):
        """A copy of the network keeps its hooks; they watch nothing, since its layers are others."""
        return self

    def _enters(self, module, inputs):
        """Sees the input of a layer: what the layer before it passes on."""
        if not module.training or module not in self.layers:
            return
        before, self.previous = self.previous, module
        order = list(self.layers)
        if before is None or before is module or order.index(module) <= order.index(before):
            return  # the first layer, or the next pass
        x = inputs[0].detach()
        width = before.weight.shape[0]
        if x.shape[1] % width or isinstance(module, nn.modules.conv._ConvNd) and x.shape[1] != width:
            return  # comes from elsewhere, as in a branch
        self.layers[before]["passed"] = x.reshape(x.shape[0], width, -1)

    @torch.no_grad()
    def gradients(self):
        """Call after backward and before the optimiser's step."""
        sizes = []
        for parameter, total in zip(self.parameters, self.sums):
            if parameter.grad is not None:
                total += parameter.grad
                sizes.append(parameter.grad.double().norm())
        norm = float(torch.stack(sizes).norm())
        self.norms, self.squares = self.norms + norm, self.squares + norm * norm
        if self.steps & (self.steps - 1) == 0:  # looks at the layers in steps 0, 1, 2, 4, 8 and so on of an epoch
            for module, record in self.layers.items():
                if module.weight.grad is not None:
                    record["looks"] += 1
                    record["gradient"] += _size(module.weight.grad)
                    record["zero"] += float((module.weight.grad == 0).double().mean())
                    record["before"] = module.weight.detach().clone()
        self.steps += 1

    @torch.no_grad()
    def step(self, loss=None, labels=None):
        """Call after the optimiser's step."""
        self.previous = None
        for module, record in self.layers.items():
            if record["before"] is not None:
                record["update"] += _size(module.weight - record["before"])
                record["before"] = None
        if loss is not None:
            self.losses.append(float(loss))
        if labels is not None:
            self.batches.append([int(label) for label in labels.reshape(-1).tolist()])

    @property
    def gradient_norm(self):
        """The Euclidean norm of the gradient, mean over the steps since the last call of health."""
        return self.norms / self.steps if self.steps else math.nan

    def health(self):
        """The health of the epoch as the format has it; begins the next one."""
        agreement = math.nan
        if self.steps and self.squares > 0:
            agreement = float(torch.stack([total.double().norm() for total in self.sums]).norm()) ** 2 / self.steps / self.squares
        result = {"mixing": _json(mixing(self.batches)), "loss_spread": _json(_spread(self.losses)), "agreement": _json(agreement),
                  "layers": [self._layer(module, record) for module, record in self.layers.items()]}
        self._begin()
        return result

    def _layer(self, module, record):
        looks, weight = record["looks"] or math.nan, _size(module.weight)
        dead = active = output = math.nan
        passed = record.pop("passed", None)
        if passed is not None and float(passed.min()) >= 0:
            dead = float((passed == 0).all(dim=2).all(dim=0).double().mean())
            active, output = float((passed > 0).double().mean()), _size(passed)
        numbers = {"weight": weight, "gradient": record["gradient"] / looks, "zero_gradient": record["zero"] / looks,
                   "update": record["update"] / looks / weight if weight > 0 else math.nan,
                   "dead": dead, "active": active, "output": output}
        return {"name": record["name"], **{key: _json(x) for key, x in numbers.items()}}


def mixing(batches):
    """The variance over batches of the number of images of each class, over that of batches drawn at random without
    replacement: about 1 for shuffled images, about the batch size for sorted ones."""
    labels = [label for batch in batches for label in batch]
    n, seen, expected = len(labels), 0.0, 0.0
    for label in set(labels):
        share = labels.count(label) / n
        for batch in batches:
            b = len(batch)
            seen += (batch.count(label) - b * share) ** 2
            expected += b * share * (1 - share) * (n - b) / (n - 1) if n > 1 else 0.0
    return seen / expected if expected > 0 else math.nan


def _spread(losses):
    """The standard deviation, divisor n - 1."""
    if len(losses) < 2:
        return math.nan
    mean = sum(losses) / len(losses)
    return math.sqrt(sum((loss - mean) ** 2 for loss in losses) / (len(losses) - 1))


def _size(x):
    """The root mean square."""
    return math.sqrt(float(x.detach().double().square().mean()))


def _json(x):
    return x if math.isfinite(x) else "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"
