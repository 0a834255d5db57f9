"""Write prep/testdata/augment.json: augmentations computed by scipy and numpy.

Everything is computed from the formulas in the doc comments of prep/augment_*.go
by code that shares nothing with it: scipy.ndimage for interpolation and blur,
scipy.interpolate.BSpline for the elastic field, numpy.fft over all axes for
k-space, numpy for the rest.

    python bench/augmentation/reference.py > prep/testdata/augment.json

Made with Python 3.11, numpy 2.4.6, scipy 1.17.1.
"""

import json

import numpy as np
from scipy import ndimage
from scipy.interpolate import BSpline

rng = np.random.default_rng(20250713)
BACKGROUND = -3.25


def image(size):
    """The test image: the same formula stands in augment_reference_test.go."""
    n = np.arange(np.prod(size))
    values = ((n * 7919 + 13) % 1009) / 100 - 3
    return values.astype(np.float32).astype(np.float64).reshape(size)


def rotation(degrees):
    """R_D R_H R_W; each turns the earlier of the other two axes to the later."""
    m = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = [a for a in range(3) if a != axis]
        r = np.eye(3)
        r[first, first] = r[second, second] = np.cos(angle)
        r[first, second], r[second, first] = -np.sin(angle), np.sin(angle)
        m = m @ r
    return m


def affine_coordinates(size, draw):
    """Voxel coordinates of the image for every voxel of the result."""
    spacing = np.array(draw["spacing_mm"])
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = draw.get("shear", [0, 0, 0])
    matrix = rotation(draw["rotation_degrees"]) @ (draw.get("scale", 1) * shear)
    centre = (np.array(size) - 1) / 2
    q = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1) - centre
    p = (q * spacing - np.array(draw["translation_mm"])) @ np.linalg.inv(matrix).T
    return np.moveaxis(p / spacing + centre, -1, 0)


def elastic_field(size, draw):
    """Displacement of every voxel in voxels."""
    points = draw["points"]
    control = np.array(draw["displacement_mm"]).reshape(3, *points)
    bases = []
    for n, p in zip(size, points):
        if p == 1:
            bases.append(np.ones((n, 1)))
            continue
        knots = np.arange(-3.0, p + 1)
        at = np.linspace(0, p - 3, n)
        bases.append(np.stack([BSpline(knots, np.eye(p)[i], 3)(at) for i in range(p)], -1))
    field = np.einsum("aijk,di,hj,wk->adhw", control, *bases)
    return field / np.array(draw["spacing_mm"]).reshape(3, 1, 1, 1)


def sample(x, coordinates):
    return ndimage.map_coordinates(x, coordinates, order=1, mode="grid-constant", cval=BACKGROUND)


def warp(x, draw):
    size = x.shape
    coordinates = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")).astype(float)
    if "affine" in draw:
        coordinates = affine_coordinates(size, draw["affine"])
    if "elastic" in draw:
        coordinates = coordinates + elastic_field(size, draw["elastic"])
    return sample(x, coordinates)


def bias(x, draw):
    zero = min(BACKGROUND, x.min())
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in x.shape]
    z, y, w = np.meshgrid(*axes, indexing="ij")
    order, c = draw["bias"]["order"], list(draw["bias"]["coefficients"][0])
    exponent = np.zeros(x.shape)
    for k in range(order + 1 if x.shape[0] > 1 else 1):
        for j in range(order + 1 - k):
            for i in range(order + 1 - k - j):
                if i + j + k:
                    exponent += c.pop(0) * w**i * y**j * z**k
    assert not c
    return zero + (x - zero) * np.exp(exponent)


def motion(x, draw):
    d, zero = draw["motion"], min(BACKGROUND, x.min())
    n = x.shape[d["axis"]]
    spectra = []
    for pose in d["poses"]:
        moved = sample(x, affine_coordinates(x.shape, {**pose, "spacing_mm": d["spacing_mm"]}))
        spectra.append(np.fft.fftshift(np.fft.fftn(moved - zero)))
    still = np.fft.fftshift(np.fft.fftn(x - zero))
    pose_of = [int(np.searchsorted(np.array(d["times"]) * n, i, side="right")) for i in range(n)]
    mixed = np.moveaxis(still.copy(), d["axis"], 0)
    for i, pose in enumerate(pose_of):
        if pose != pose_of[n // 2]:
            mixed[i] = np.moveaxis(spectra[pose], d["axis"], 0)[i]
    return zero + np.abs(np.fft.ifftn(np.fft.ifftshift(np.moveaxis(mixed, 0, d["axis"]))))


def ghosting(x, draw):
    d, zero = draw["ghosting"], min(BACKGROUND, x.min())
    n = x.shape[d["axis"]]
    k = np.rint(np.fft.fftfreq(n) * n).astype(int)
    factor = np.where((k != 0) & (k % d["ghosts"] == 0), 1 - d["strength"][0], 1.0)
    shape = [1, 1, 1]
    shape[d["axis"]] = n
    return zero + np.abs(np.fft.ifftn(np.fft.fftn(x - zero) * factor.reshape(shape)))


def downsample(x, draw):
    axis, factor = draw["downsample"]["axis"], draw["downsample"]["factor"]
    n = x.shape[axis]
    count = int(np.ceil(n / factor))
    centres = (np.arange(count) - (count - 1) / 2) * factor + (n - 1) / 2
    weights = np.maximum(0, 1 - np.abs(np.arange(n) - centres[:, None]) / factor)
    coarse = np.tensordot(weights / weights.sum(1, keepdims=True), x, (1, axis))
    back = np.apply_along_axis(lambda v: np.interp(np.arange(n), centres, v), 0, coarse)
    return np.moveaxis(back, 0, axis)


def blur(x, draw):
    sigma = draw["blur"]["sigma_mm"][0] / np.array(draw["blur"]["spacing_mm"])
    sigma = [s if n > 1 else 0 for s, n in zip(sigma, x.shape)]
    return ndimage.gaussian_filter(x, sigma, mode="reflect", truncate=4)


def gamma(x, draw):
    low, high = x.min(), x.max()
    return low + (high - low) * ((x - low) / (high - low)) ** draw["gamma"]["gamma"][0]


def contrast(x, draw):
    d = draw["contrast"]
    return x.mean() + d["contrast"][0] * (x - x.mean()) + d["brightness"][0] * x.std()


# In the order of prep.Augmentation.
STEPS = {"affine": warp, "elastic": warp, "bias": bias, "motion": motion, "ghosting": ghosting,
         "downsample": downsample, "blur": blur, "gamma": gamma, "contrast": contrast}


def apply(x, draw):
    done = set()
    for name, step in STEPS.items():
        if name in draw and step not in done:
            x = step(x, draw)
            done.add(step)
    return x


def numbers(low, high, *shape):
    return np.round(rng.uniform(low, high, shape), 4).tolist()


def draws(flat, spacing):
    """One draw of each kind, and all at once."""
    only = (lambda v: [v[0], 0.0, 0.0]) if flat else (lambda v: v)
    plane = (lambda v: [0.0, v[1], v[2]]) if flat else (lambda v: v)
    points = [1 if flat else 7, 6, 5]
    control = np.zeros([3, *points])
    inside = tuple(slice(None) if p == 1 else slice(2, p - 2) for p in points)
    control[(slice(None), *inside)] = np.round(rng.uniform(-2.5, 2.5, control[(slice(None), *inside)].shape), 3)
    if flat:
        control[0] = 0
    pose = lambda: {"rotation_degrees": only(numbers(-20, 20, 3)), "translation_mm": plane(numbers(-3, 3, 3))}
    shear = numbers(-0.3, 0.3, 3)
    order = 3
    terms = sum(1 for k in range(order + 1 if not flat else 1) for j in range(order + 1 - k) for _ in range(order + 1 - k - j)) - 1
    kinds = {
        "affine": {**pose(), "scale": 1.17, "shear": [0, 0, shear[2]] if flat else shear, "spacing_mm": spacing},
        "elastic": {"points": points, "displacement_mm": control.ravel().tolist(), "spacing_mm": spacing},
        "bias": {"order": order, "coefficients": [numbers(-0.5, 0.5, terms)]},
        "motion": {"axis": 1, "times": [0.2, 0.37, 0.81], "poses": [pose() for _ in range(4)], "spacing_mm": spacing},
        "ghosting": {"axis": 2, "ghosts": 3, "strength": [0.7]},
        "downsample": {"axis": 2, "factor": 2.3},
        "blur": {"sigma_mm": [1.3], "spacing_mm": spacing},
        "gamma": {"gamma": [0.63]},
        "contrast": {"contrast": [1.3], "brightness": [-0.4]},
    }
    for name, kind in kinds.items():
        yield name, {name: kind}
    yield "affine and elastic", {k: kinds[k] for k in ("affine", "elastic")}
    yield "motion along the last axis, two poses", {"motion": {**kinds["motion"], "axis": 2, "times": [0.7], "poses": [pose(), pose()]}}
    yield "coarse along the second axis", {"downsample": {"axis": 1, "factor": 1.5}}
    yield "all", kinds


cases = []
for size, spacing in ([7, 9, 10], [3.0, 1.5, 1.25]), ([1, 14, 11], [5.0, 0.9, 1.1]):
    for name, draw in draws(size[0] == 1, spacing):
        result = apply(image(size), draw)
        cases.append({
            "name": f"{name}, {'2D' if size[0] == 1 else '3D'}", "size": size, "background": BACKGROUND,
            "draw": draw, "want": [float(f"{v:.8g}") for v in result.ravel()],
        })
print(json.dumps(cases, separators=(",", ":")).replace('{"name"', '\n{"name"'))
