"""Write net/testdata/losses.safetensors: values and gradients of the training
objectives by PyTorch.

    pip install torch safetensors
    python bench/pytorch/losses.py net/testdata

Weighted and smoothed cross-entropy is torch.nn.functional.cross_entropy itself;
the focal loss is written out and differentiated by autograd. Mixed labels are
lambda * loss(a) + (1 - lambda) * loss(b), as in the program of the mixup paper.
Everything is computed in float64 and stored as float32. The Go test is
net/loss_test.go.
"""

import sys

import torch
from safetensors.torch import save_file

from steps import numbers

COUNT, CLASSES, SHARE = 9, 4, 0.6875
WEIGHTS = torch.tensor([0.5, 2.0, 1.25, 0.75], dtype=torch.float64)

# name: class weights, smoothing, gamma, mixed
CASES = {
    "plain": (None, 0.0, 0.0, False),
    "weighted": (WEIGHTS, 0.0, 0.0, False),
    "smoothed": (None, 0.1, 0.0, False),
    "weighted-smoothed": (WEIGHTS, 0.25, 0.0, False),
    "focal": (None, 0.0, 2.0, False),
    "focal-half": (None, 0.0, 0.5, False),
    "focal-weighted": (WEIGHTS, 0.0, 1.5, False),
    "focal-weighted-smoothed": (WEIGHTS, 0.125, 2.0, False),
    "mixed": (None, 0.0, 0.0, True),
    "mixed-weighted-smoothed": (WEIGHTS, 0.1, 0.0, True),
    "mixed-focal-weighted": (WEIGHTS, 0.0, 2.0, True),
}


def objective(logits, labels, weights, smoothing, gamma):
    if gamma == 0:
        return torch.nn.functional.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    classes = logits.shape[1]
    weights = torch.ones(classes, dtype=torch.float64) if weights is None else weights
    target = torch.nn.functional.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    log_p = logits.log_softmax(1)
    terms = -weights * target * (-torch.expm1(log_p)) ** gamma * log_p
    return terms.sum() / weights[labels].sum()


def main(folder):
    out = {}
    labels = ((numbers(COUNT, 401) + 0.5) * CLASSES).long()
    partners = torch.tensor([3, 0, 1, 8, 4, 7, 2, 5, 6])
    for name, (weights, smoothing, gamma, mixed) in CASES.items():
        logits = (24 * numbers(COUNT * CLASSES, 400).reshape(COUNT, CLASSES)).requires_grad_()
        loss = objective(logits, labels, weights, smoothing, gamma)
        if mixed:
            loss = SHARE * loss + (1 - SHARE) * objective(logits, labels[partners], weights, smoothing, gamma)
        loss.backward()
        out[name + ".loss"] = loss.detach().reshape(1)
        out[name + ".gradient"] = logits.grad
    out = {key: value.to(torch.float32).contiguous() for key, value in out.items()}
    save_file(out, f"{folder}/losses.safetensors", metadata={"torch": torch.__version__.split("+")[0]})


if __name__ == "__main__":
    main(sys.argv[1])
