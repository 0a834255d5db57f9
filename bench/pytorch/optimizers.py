"""Print ten parameter values after 1, 10 and 50 steps of torch.optim.SGD and
Adam on a fixed quadratic, for train/optimizer_test.go.

The gradient of parameter i at value w is (i + 1) * (w - i / 8).
"""

import torch


def trajectory(make):
    w = torch.linspace(-1.0, 1.25, 10, requires_grad=True)
    with torch.no_grad():
        index = torch.arange(10, dtype=torch.float32)
    optimizer = make([w])
    for step in range(1, 51):
        w.grad = (index + 1) * (w.detach() - index / 8)
        optimizer.step()
        if step in (1, 10, 50):
            print(step, "{" + ", ".join(f"{x:.9g}" for x in w.tolist()) + "}")


print("torch", torch.__version__)
print("sgd lr 0.01 momentum 0.9 weight decay 0.01")
trajectory(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.01))
print("adam lr 0.05 weight decay 0.01")
trajectory(lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.01))
