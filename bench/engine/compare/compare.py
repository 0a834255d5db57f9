"""Time the reference networks in PyTorch, on command.

    pip install torch numpy

`go run ./bench/engine/compare` starts this program and alternates it with
ballast. It reads one request a line and answers each with one line, both JSON:

    {"open": NETWORK, "threads": 2}                  -> {}
    {"run": "plain", "warm": 1, "steps": 2}          -> {"ms": [123.4, 125.6]}

NETWORK is a reference network as the Go side states it. An error is answered
with {"error": "..."}. With NETWORK and threads as arguments it runs one step and
prints the peak memory instead.
"""

import json
import pathlib
import sys
import time

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "pytorch"))
from steps import LAYERS, Case, plain, residual  # noqa: E402

RESIDUAL = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class Workload:
    """A network with a batch of noise, in one memory format."""

    def __init__(self, spec, channels_last):
        dims, size = spec["dims"], spec["size"][3 - spec["dims"] :]
        kind = RESIDUAL.get(spec["name"]) or int(spec["name"].removeprefix("cnn"))
        case = Case(dims, spec["channels"], size, spec["classes"], spec["width"], kind, spec["norm"], spec["batch"])
        layers, features = residual(case) if spec["name"] in RESIDUAL else plain(case)
        layers["average"], layers["flatten"] = LAYERS[dims][3](1), nn.Flatten()
        layers["head"] = nn.Linear(features, spec["classes"])
        self.net = nn.Sequential(layers)
        self.images = torch.randn(spec["batch"], spec["channels"], *size)
        self.labels = torch.arange(spec["batch"]) % spec["classes"]
        if channels_last:
            self.net = self.net.to(memory_format=LAST[dims])
            self.images = self.images.contiguous(memory_format=LAST[dims])
        self.inference = spec["inference"]
        if self.inference:
            self.net.eval()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=spec["lr"])

    def run(self):
        if self.inference:
            with torch.inference_mode():
                self.net(self.images)
            return
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.net(self.images), self.labels).backward()
        self.optimizer.step()

    def time(self):
        begin = time.perf_counter()
        self.run()
        return 1000 * (time.perf_counter() - begin)


def answer(request, workloads):
    if "open" in request:
        torch.set_num_threads(request["threads"])
        workloads.clear()
        for name in ("plain", "channels_last"):
            workloads[name] = Workload(request["open"], name == "channels_last")
        return {"torch": torch.__version__, "threads": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability()}
    workload = workloads[request["run"]]
    for _ in range(request["warm"]):
        workload.run()
    return {"ms": [workload.time() for _ in range(request["steps"])]}


def peak_memory():
    """Returns the largest resident size so far, in bytes."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def once(spec, threads):
    before = peak_memory()
    torch.set_num_threads(threads)
    Workload(spec, False).run()
    print(json.dumps({"peak": peak_memory(), "imported": before}))


def serve():
    workloads = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), workloads)
        except Exception as error:  # whatever PyTorch cannot do, the other side reports
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        once(json.loads(sys.argv[1]), int(sys.argv[2]))
    else:
        serve()
