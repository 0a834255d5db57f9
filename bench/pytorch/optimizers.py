"""Write the values that train/optimizer_test.go and train/schedule_test.go hold
ballast's optimisers and schedules against, from torch.optim.

    python3 optimizers.py DIR

writes optimizers.json and schedules.json. Parameter i at value w has the gradient
(i + 1) * (w - i / 8), ten of them from -1 to 1.25, for fifty steps.
"""

import json
import sys

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, OneCycleLR, ReduceLROnPlateau, SequentialLR, StepLR

STEPS = 50

# Plan keys of section optimizer, and the optimiser that they name. "falling":
# the rate of step t is lr / (1 + t / 10).
OPTIMIZERS = [
    ({"name": "sgd", "lr": 0.01}, False),
    ({"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01}, False),
    ({"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, False),
    ({"name": "sgd", "lr": 0.02, "momentum": 0.8, "nesterov": True}, True),
    ({"name": "rmsprop", "lr": 0.01, "alpha": 0.99, "epsilon": 1e-8}, False),
    ({"name": "rmsprop", "lr": 0.02, "alpha": 0.9, "epsilon": 1e-3, "weight_decay": 0.05}, True),
    ({"name": "adam", "lr": 0.05, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01}, False),
    ({"name": "adam", "lr": 0.03, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4}, True),
    ({"name": "adamw", "lr": 0.05, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.1}, False),
    ({"name": "adamw", "lr": 0.03, "beta1": 0.7, "beta2": 0.9, "epsilon": 1e-6, "weight_decay": 0.5}, True),
    ({"name": "sgd", "lr": 0.01, "momentum": 0.9, "clip": 2.0}, False),
    ({"name": "adam", "lr": 0.05, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "clip": 0.5}, False),
]


def make(plan, parameters):
    lr, decay = plan["lr"], plan.get("weight_decay", 0.0)
    if plan["name"] == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=plan.get("momentum", 0.0), nesterov=plan.get("nesterov", False), weight_decay=decay)
    if plan["name"] == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=lr, alpha=plan["alpha"], eps=plan["epsilon"], weight_decay=decay)
    kind = torch.optim.AdamW if plan["name"] == "adamw" else torch.optim.Adam
    return kind(parameters, lr=lr, betas=(plan["beta1"], plan["beta2"]), eps=plan["epsilon"], weight_decay=decay)


def trajectory(plan, falling):
    w = torch.linspace(-1.0, 1.25, 10, requires_grad=True)
    index = torch.arange(10, dtype=torch.float32)
    optimizer = make(plan, [w])
    rates = LambdaLR(optimizer, lambda t: 1 / (1 + t / 10) if falling else 1)
    values, norms = {}, []
    for step in range(1, STEPS + 1):
        w.grad = (index + 1) * (w.detach() - index / 8)
        if "clip" in plan:
            norms.append(torch.nn.utils.clip_grad_norm_([w], plan["clip"]).item())
        optimizer.step()
        rates.step()
        if step in (1, 10, STEPS):
            values[step] = w.tolist()
    return {"optimizer": plan, "falling": falling, "values": values, "norms": norms}


def rates_of(plan, epochs, per_epoch, losses=()):
    """The rate of every step, of a scheduler built from a plan's keys."""
    base, total = plan["optimizer"]["lr"], epochs * per_epoch
    schedule = plan["schedule"]
    name, warm = schedule["name"], round(schedule.get("warm_up", 0) * per_epoch)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    rates = []
    if name == "plateau":
        scheduler = ReduceLROnPlateau(optimizer, factor=schedule["factor"], patience=schedule["patience"], min_lr=schedule["final"] * base, eps=0)
        for loss in losses:
            rates += [optimizer.param_groups[0]["lr"]] * per_epoch
            scheduler.step(loss)
        return rates
    if name == "one-cycle":
        scheduler = OneCycleLR(optimizer, base, total_steps=total, pct_start=schedule["rise"], div_factor=25,
                               final_div_factor=1 / (25 * schedule["final"]), cycle_momentum=False)
    elif name == "cosine":
        scheduler = CosineAnnealingLR(optimizer, T_max=total - warm - 1, eta_min=schedule["final"] * base)
    elif name == "step":
        scheduler = StepLR(optimizer, schedule["every"] * per_epoch, gamma=schedule["factor"])
    else:
        scheduler = LambdaLR(optimizer, lambda t: 1)
    if warm:
        rise = LinearLR(optimizer, start_factor=1 / (warm + 1), total_iters=warm)
        scheduler = SequentialLR(optimizer, [rise, scheduler], milestones=[warm])
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


SCHEDULES = [
    ({"optimizer": {"lr": 0.1}, "schedule": {"name": "constant"}}, 3, 4, ()),
    ({"optimizer": {"lr": 0.1}, "schedule": {"name": "constant", "warm_up": 1.5}}, 4, 4, ()),
    ({"optimizer": {"lr": 0.1}, "schedule": {"name": "step", "every": 2, "factor": 0.3}}, 7, 3, ()),
    ({"optimizer": {"lr": 0.003}, "schedule": {"name": "cosine", "final": 0.01}}, 5, 4, ()),
    ({"optimizer": {"lr": 0.003}, "schedule": {"name": "cosine", "final": 0.0, "warm_up": 1}}, 6, 5, ()),
    ({"optimizer": {"lr": 0.01}, "schedule": {"name": "one-cycle", "rise": 0.3, "final": 0.001}}, 10, 3, ()),
    ({"optimizer": {"lr": 0.01}, "schedule": {"name": "one-cycle", "rise": 0.45, "final": 0.004}}, 7, 4, ()),
    ({"optimizer": {"lr": 0.01}, "schedule": {"name": "plateau", "factor": 0.5, "patience": 1, "final": 0.1}}, 14, 2,
     (1.0, 0.9, 0.95, 0.89995, 0.91, 0.92, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)),
    ({"optimizer": {"lr": 0.02}, "schedule": {"name": "plateau", "factor": 0.1, "patience": 0, "final": 0.0}}, 6, 3,
     (0.7, 0.8, 0.6, float("nan"), 0.59999, 0.1)),
]


def write(name, content):
    with open(f"{sys.argv[1]}/{name}", "w", encoding="utf-8") as file:
        file.write("{\n" + f' "torch": "{torch.__version__}",\n "cases": [\n  ')
        file.write(",\n  ".join(json.dumps(case) for case in content) + "\n ]\n}\n")


if len(sys.argv) != 2:
    sys.exit("usage: python3 optimizers.py DIR")
write("optimizers.json", [trajectory(*case) for case in OPTIMIZERS])
write("schedules.json", [
    {"plan": plan, "epochs": epochs, "steps_per_epoch": per_epoch,
     "losses": [str(loss) for loss in losses], "rates": rates_of(plan, epochs, per_epoch, losses)}
    for plan, epochs, per_epoch, losses in SCHEDULES
])
