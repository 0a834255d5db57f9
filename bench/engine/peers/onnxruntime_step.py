"""Time training steps of the reference networks R1 to R3 in ONNX Runtime.

    pip install onnxruntime-training==1.19.2 onnx==1.16.2 "protobuf<5" torch
    python bench/engine/peers/onnxruntime_step.py [THREADS]

onnxruntime-training 1.19.2 is the last on the package registry. It imports torch
without using it here. Figures: docs/decisions/0006-own-engine.md.
"""

import statistics
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.training import api, artifacts

NETWORKS = {"R1": (3, 64, 4), "R2": (3, 32, 16), "R3": (2, 128, 32)}
RUNS = 5


class Model:
    """Four blocks of convolution, batch norm or none, ReLU and max pooling."""

    def __init__(self, dims, size, batch, norm):
        self.random = np.random.default_rng(0)
        self.nodes, self.tensors, self.learnt = [], [], []
        x, channels = "input", 1
        for i, width in enumerate((16, 32, 64, 128)):
            x = self.block(f"block{i + 1}", x, dims, channels, width, norm)
            channels = width
        x = self.add("GlobalAveragePool", "average", [x])
        x = self.add("Flatten", "flatten", [x])
        head = [x, self.weights("head.weight", 2, channels), self.weights("head.bias", 2)]
        self.add("Gemm", "logits", head, transB=1)
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 1] + [size] * dims)
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2])
        graph = helper.make_graph(self.nodes, "network", [image], [logits], self.tensors)
        self.proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
        self.proto.ir_version = 8
        onnx.checker.check_model(self.proto)

    def weights(self, name, *shape, value=None, learnt=True):
        data = self.random.standard_normal(shape) * 0.1 if value is None else np.full(shape, value)
        self.tensors.append(numpy_helper.from_array(data.astype(np.float32), name))
        if learnt:
            self.learnt.append(name)
        return name

    def add(self, kind, name, inputs, extra=(), **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [name, *extra], name=name, **attributes))
        return name

    def block(self, name, x, dims, channels, width, norm):
        inputs = [x, self.weights(f"{name}.conv.weight", width, channels, *[3] * dims)]
        if not norm:
            inputs.append(self.weights(f"{name}.conv.bias", width, value=0))
        x = self.add("Conv", f"{name}.conv", inputs, pads=[1] * 2 * dims, kernel_shape=[3] * dims)
        if norm:
            inputs = [x, self.weights(f"{name}.gamma", width, value=1), self.weights(f"{name}.beta", width, value=0)]
            inputs.append(self.weights(f"{name}.mean", width, value=0, learnt=False))
            inputs.append(self.weights(f"{name}.variance", width, value=1, learnt=False))
            running = (f"{name}.newmean", f"{name}.newvariance")
            x = self.add("BatchNormalization", f"{name}.norm", inputs, running, training_mode=1)
        x = self.add("Relu", f"{name}.relu", [x])
        return self.add("MaxPool", f"{name}.pool", [x], kernel_shape=[2] * dims, strides=[2] * dims)


def measure(name, norm, threads):
    dims, size, batch = NETWORKS[name]
    model = Model(dims, size, batch, norm)
    with tempfile.TemporaryDirectory() as folder:
        artifacts.generate_artifacts(
            model.proto,
            requires_grad=model.learnt,
            frozen_params=[t.name for t in model.tensors if t.name not in model.learnt],
            loss=artifacts.LossType.CrossEntropyLoss,
            optimizer=artifacts.OptimType.AdamW,
            artifact_directory=folder,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        state = api.CheckpointState.load_checkpoint(f"{folder}/checkpoint")
        network = api.Module(f"{folder}/training_model.onnx", state, device="cpu", session_options=options)
        optimizer = api.Optimizer(f"{folder}/optimizer_model.onnx", network)
    images = model.random.standard_normal((batch, 1) + (size,) * dims).astype(np.float32)
    labels = np.arange(batch) % 2
    network.train()
    wall, cpu = [], []
    for _ in range(RUNS + 1):
        begin, used = time.perf_counter(), time.process_time()
        network(images, labels.astype(np.int64))
        optimizer.step()
        network.lazy_reset_grad()
        wall.append(1000 * (time.perf_counter() - begin))
        cpu.append(1000 * (time.process_time() - used))
    print(f"{name}{'' if norm else '-nobn'}: median {statistics.median(wall[1:]):.0f} ms; CPU time at least {min(cpu[1:]):.0f} ms", flush=True)


if __name__ == "__main__":
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    print(f"onnxruntime-training {onnxruntime.__version__}, {threads} threads")
    for name in NETWORKS:
        for norm in (True, False):
            measure(name, norm, threads)
