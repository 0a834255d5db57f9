"""Write net/testdata/gradcam.safetensors: activations, gradients and Grad-CAM
maps of small networks, by PyTorch's autograd.

    pip install torch safetensors
    python bench/pytorch/gradcam.py net/testdata

The networks are those of steps.py in eval mode, with running statistics from
`numbers`; the class is 1. Two images are computed and the second one is stored.
The map is the formula of Selvaraju et al. (2017). The Go test that reads the file
is net/gradcam_test.go.
"""

import sys

from steps import CASES, batch, network, numbers, save

# case: modules whose output is dumped
LAYERS = {
    "3d-norm": ["block1.relu", "block1.pool", "block2.relu", "block2.pool"],
    "2d-norm": ["block3.relu", "block4.pool"],
    "2d-plain": ["block2.pool", "block3.relu"],
    "3d-signs": ["block2.relu"],
    "3d-after-pool": ["block1.norm", "block2.relu", "block2.norm"],
    "2d-residual": ["stem.relu", "group2.block1", "group3.block2", "group4.block2"],
    "3d-residual": ["group4.block1"],
}


def with_statistics(net):
    index = 400
    for name, value in net.named_buffers():
        if "running" in name:
            spread = numbers(value.numel(), index)
            value.copy_(1 + spread if name.endswith("var") else spread)
            index += 1
    return net.eval()


def main(folder):
    out = {}
    for name, layers in LAYERS.items():
        case = CASES[name]
        net = with_statistics(network(case[0], case[1], case[3], case[4], case[5], case[6]))
        kept = {}

        def keep(layer):
            def hook(module, inputs, output):
                output.retain_grad()
                kept[layer] = output
            return hook

        for layer in layers:
            net.get_submodule(layer).register_forward_hook(keep(layer))
        logits = net(batch(case, 0)[0][:2])
        out[f"{name}.logits"] = logits.detach()
        logits[:, 1].sum().backward()  # images do not touch each other in eval mode
        for layer in layers:
            a, g = kept[layer].detach()[1:], kept[layer].grad[1:]
            axes = tuple(range(2, a.dim()))
            weights = g.mean(axes, keepdim=True)
            out[f"{name}.{layer}.activation"] = a
            # Of what a pooling pools, only the mean is defined where all elements of a
            # window are zero: PyTorch sends the gradient to the first of them.
            out[f"{name}.{layer}.gradient"] = weights if layer.endswith("relu") else g
            out[f"{name}.{layer}.map"] = (weights * a).sum(1).relu()
            # what the sums over voxels and channels would be without cancellation
            out[f"{name}.{layer}.scale"] = (g.abs().mean(axes, keepdim=True) * a.abs()).sum(1).max().reshape(1)
    save(folder, "gradcam", out)


if __name__ == "__main__":
    main(sys.argv[1])
