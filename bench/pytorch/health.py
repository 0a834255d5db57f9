"""How an epoch of training goes, as docs/format/run.md describes run.Health, for
replay.py."""

import torch
from torch import nn


def size(x):
    """Root mean square."""
    return x.double().pow(2).mean().sqrt().item()


class Health:
    """Watches an epoch of so many steps. Of what it returns, -1 stands for NaN."""

    def __init__(self, net, steps):
        self.net, self.steps = net, steps
        self.layers = {
            name + ".weight": module for name, module in net.named_modules()
            if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear))
        }
        self.losses, self.counts, self.gradients, self.step = [], [], [], 0
        self.seen = {name: [] for name in self.layers}
        self.outputs, self.hooks = {}, []
        for name, module in net.named_modules():
            if name.startswith("block") and isinstance(module, nn.Sequential):
                self.hooks.append(module.register_forward_hook(lambda _, __, out, name=name: self.outputs.update({name: out.detach()})))

    def looks(self):
        return self.step in (0, self.steps // 2, self.steps - 1)

    def backward(self, labels, loss):
        """After the gradients of a batch with these labels and this mean loss."""
        self.counts.append(torch.bincount(labels, minlength=3).double())
        self.losses.append(loss)
        self.gradients.append(torch.cat([p.grad.flatten().clone() for p in self.net.parameters()]))
        self.before = {name: layer.weight.detach().clone() for name, layer in self.layers.items()}
        self.grads = {name: layer.weight.grad.clone() for name, layer in self.layers.items()}

    def stepped(self):
        """After the optimiser's step."""
        if self.looks():
            for name, layer in self.layers.items():
                grad = self.grads[name]
                self.seen[name].append((size(grad), (grad == 0).double().mean().item(), size(layer.weight.detach() - self.before[name])))
        self.step += 1

    def mixing(self):
        counts = torch.stack(self.counts)  # batches x classes
        m, total = counts.sum(1, keepdim=True), counts.sum()
        p = counts.sum(0, keepdim=True) / total
        expected = (m * p * (1 - p) * (total - m) / (total - 1)).sum()
        return ((counts - m * p).pow(2).sum() / expected).item() if expected > 0 else -1.0

    def end(self, prefix, out):
        for hook in self.hooks:
            hook.remove()
        gradients = torch.stack(self.gradients)
        agreement = gradients.mean(0).pow(2).sum() / gradients.pow(2).sum(1).mean()
        spread = torch.tensor(self.losses).std().item() if len(self.losses) > 1 else -1.0
        out[prefix + "health"] = torch.tensor([self.mixing(), spread, agreement.item()])
        for name, layer in self.layers.items():
            gradient, zero, change = torch.tensor(self.seen[name], dtype=torch.float64).mean(0).tolist()
            weight = size(layer.weight.detach())
            of_block = [-1.0, -1.0, -1.0]
            if name.split(".")[0] in self.outputs:
                x = self.outputs[name.split(".")[0]].transpose(0, 1).flatten(1)  # channels x everything else
                of_block = [(x == 0).all(1).double().mean().item(), (x > 0).double().mean().item(), size(x)]
            out[prefix + "health." + name] = torch.tensor([weight, gradient, zero, change / weight, *of_block])
