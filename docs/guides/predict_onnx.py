"""Classify a 3D image with a network that `ballast export --onnx` wrote, without ballast.

    python predict_onnx.py model.onnx sub-01_T1w.nii.gz [sub-01_mask.nii.gz]

Needs numpy, nibabel and onnxruntime. Prepares what a plan's defaults ask for: one 3D sequence, linear resampling, z-score
over the foreground. Anything else that the file's metadata demands is refused, not guessed.
"""

import json
import sys

import nibabel
import numpy
import onnxruntime


def to_ras(path):
    """Voxels (D, H, W) with axes nearest to superior, anterior, right, and their spacing in mm."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    spacing = numpy.linalg.norm(image.affine[:3, :3], axis=0)
    return image.get_fdata(dtype=numpy.float32).T, spacing[::-1]


def empty_value(data):
    """What most of the eight corners show, else the lowest value."""
    corners = data[::data.shape[0] - 1, ::data.shape[1] - 1, ::data.shape[2] - 1]
    values, counts = numpy.unique(corners, return_counts=True)
    return values[counts.argmax()] if counts.max() > 4 else data.min()


def foreground(data, empty):
    """A test of values: brighter than a tenth of the way from the 2nd to the 98th percentile (by rank)."""
    ranks = [int(share * (data.size - 1)) for share in (0.02, 0.98)]
    low, high = numpy.partition(data.ravel(), ranks)[ranks].astype(float)
    threshold = numpy.float32(low + 0.1 * (high - low)) if high > low else empty
    return (lambda x: x != empty) if empty > threshold else (lambda x: x > threshold)


def middle_of(inside):
    """The middle of the bounding box along each axis."""
    hits = [numpy.flatnonzero(inside.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return [(hit[0] + hit[-1]) / 2 for hit in hits]


def resample(data, axis, count, middle, ratio, empty):
    """`count` samples along an axis, `ratio` old voxels apart, by a triangle at least two old voxels wide."""
    centres = middle + (numpy.arange(count) - (count - 1) / 2) * ratio
    reach = max(1.0, ratio)
    positions = numpy.arange(numpy.floor(centres[0] - reach), numpy.ceil(centres[-1] + reach) + 1).astype(int)
    weights = numpy.maximum(0, 1 - abs(positions - centres[:, None]) / reach)
    weights /= weights.sum(1, keepdims=True)
    within = (positions >= 0) & (positions < data.shape[axis])
    part = numpy.take(data, positions[within], axis)
    result = numpy.moveaxis(numpy.tensordot(weights[:, within], part, (1, axis)), 0, axis)
    shape = [-1 if n == axis else 1 for n in range(3)]
    return result + (weights[:, ~within].sum(1) * empty).reshape(shape)


def prepare(p, path, mask_path=None):
    """The prepared image (1, 1, D, H, W) by "preprocessing" of the metadata."""
    wanted = {"dims": 3, "channels": 1, "orient": "anatomy", "bias": "none", "resample": "linear", "pad": "background",
              "standardise": "none", "normalise": "zscore", "over": "foreground"}
    other = [f"{key}: {p[key]}" for key in wanted if p[key] != wanted[key]] + ["clip"] * ("clip" in p)
    if other:
        sys.exit("this example does not do " + ", ".join(other))
    data, spacing = to_ras(path)
    empty = empty_value(data)
    is_body = foreground(data, empty)
    if p["crop"] == "mask":
        middle = middle_of(to_ras(mask_path)[0] > 0)
    elif p["crop"] == "foreground":
        middle = middle_of(is_body(data))
    else:
        middle = [(size - 1) / 2 for size in data.shape]
    for axis in (2, 1, 0):
        data = resample(data, axis, p["grid"][axis], middle[axis], p["spacing_mm"][axis] / spacing[axis], empty)
    body = data[is_body(data.astype(numpy.float32))]
    return ((data - body.mean()) / body.std()).astype(numpy.float32)[None, None]


def main(model, *paths):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    image = prepare(json.loads(metadata["preprocessing"]), *paths)
    probabilities = session.run(["probabilities"], {"image": image})[0][0]
    for name, probability in zip(json.loads(metadata["classes"]), probabilities):
        print(f"{name}\t{probability:.6f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
