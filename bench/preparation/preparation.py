"""Reads and prepares every image of a cohort with nibabel, numpy and scipy, as main.go does with ballast.

    python preparation.py COHORT [--processes N] [--crop mask|foreground] [--resample matrix|scipy] [--dump FILE]

"matrix" does the same work to the rounding of float32: the antialiased triangle along each axis as a product with a
weight matrix, by BLAS. "scipy" is what people write: a Gaussian against aliasing, then scipy.ndimage.affine_transform of
order 1. Images go to a pool of processes with one BLAS thread each; starting the pool and importing are not timed.
"""
import os
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
import argparse
import csv
import json
import multiprocessing
import resource
import time

import nibabel
import numpy
import scipy.ndimage

GRID, SPACING = (32, 48, 48), (3.27, 3.0, 3.0)  # D, H, W


def weights(count, centre, ratio, size):
    """Rows of the triangle filter and, per row, the weight of what lies outside."""
    radius = max(1.0, ratio)
    at = centre + (numpy.arange(count) - (count - 1) / 2) * ratio
    low, high = int(numpy.floor(at.min() - radius)), int(numpy.ceil(at.max() + radius)) + 1
    x = numpy.arange(low, high)
    w = numpy.maximum(0, 1 - numpy.abs(x[None] - at[:, None]) / radius)
    w /= w.sum(1, keepdims=True)
    inside = (x >= 0) & (x < size)
    matrix = numpy.zeros((count, size), numpy.float32)
    matrix[:, x[inside]] = w[:, inside]
    return matrix, w[:, ~inside].sum(1).astype(numpy.float32)


def to_ras(image):
    """The voxels as (D, H, W) in RAS+ and their spacing; a view without copying."""
    orientation = nibabel.io_orientation(image.affine)
    data = image.get_fdata(dtype=numpy.float32, caching="unchanged")
    data = nibabel.apply_orientation(data, orientation)
    spacing = numpy.linalg.norm(image.affine[:3, :3], axis=0)
    spacing = spacing[numpy.argsort(orientation[:, 0])]
    return data.transpose(2, 1, 0), spacing[::-1]


def background(data):
    corners = data[::data.shape[0] - 1, ::data.shape[1] - 1, ::data.shape[2] - 1].ravel()
    values, counts = numpy.unique(corners, return_counts=True)
    return values[counts.argmax()] if counts.max() > 4 else data.min()


def box(inside):
    """The middle of the bounding box along each axis."""
    middle = []
    for axis in range(3):
        hit = numpy.flatnonzero(inside.any(tuple(a for a in range(3) if a != axis)))
        middle.append((hit[0] + hit[-1]) / 2)
    return middle


def timed(job):
    """A prepared image and the processor time that it took."""
    start = time.process_time()
    return prepare(job), time.process_time() - start


def prepare(job):
    path, mask_path, crop, resample = job
    data, spacing = to_ras(nibabel.load(path))
    low, high = numpy.partition(data.ravel(), (int(0.02 * (data.size - 1)), int(0.98 * (data.size - 1))))[
        [int(0.02 * (data.size - 1)), int(0.98 * (data.size - 1))]]
    threshold = numpy.float32(low + 0.1 * (float(high) - float(low)))
    empty = background(data)
    if crop == "mask":
        mask, _ = to_ras(nibabel.load(mask_path))
        middle = box(mask > 0)
    else:
        middle = box(data > threshold)
    ratio = [SPACING[n] / spacing[n] for n in range(3)]
    if resample == "matrix":
        out = data
        for axis in (2, 1, 0):
            matrix, outside = weights(GRID[axis], middle[axis], ratio[axis], data.shape[axis])
            used = numpy.flatnonzero(matrix.any(0))
            part = numpy.take(out, range(used[0], used[-1] + 1), axis) if len(used) < out.shape[axis] else out
            out = numpy.moveaxis(numpy.tensordot(matrix[:, used[0]:used[-1] + 1], part, (1, axis)), 0, axis)
            shape = [1, 1, 1]
            shape[axis] = -1
            out = out + (outside * empty).reshape(shape)
    else:
        smooth = scipy.ndimage.gaussian_filter(data, [max(0.0, (r - 1) / 2) for r in ratio], mode="nearest")
        offset = [middle[n] - (GRID[n] - 1) / 2 * ratio[n] for n in range(3)]
        out = scipy.ndimage.affine_transform(smooth, ratio, offset, GRID, order=1, mode="constant", cval=empty)
    body = out > threshold
    inside = out[body]
    return ((out - inside.mean(dtype=numpy.float64)) / inside.std(dtype=numpy.float64)).astype(numpy.float32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cohort")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--crop", default="mask")
    parser.add_argument("--resample", default="matrix")
    parser.add_argument("--dump")
    a = parser.parse_args()
    with open(os.path.join(a.cohort, "participants.tsv"), newline="") as table:
        jobs = [(os.path.join(a.cohort, row["path"]), os.path.join(a.cohort, row["mask_path"]), a.crop, a.resample)
                for row in sorted(csv.DictReader(table, delimiter="\t"), key=lambda row: row["participant_id"])]
    with multiprocessing.Pool(a.processes) as pool:
        pool.map(abs, range(64))  # every process has started
        start = time.perf_counter()
        results = pool.map(timed, jobs, chunksize=1)
        seconds = time.perf_counter() - start
        pool.close()
        pool.join()
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + a.processes * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if a.dump:
        numpy.stack([image for image, _ in results]).tofile(a.dump)
    print(json.dumps({"program": f"nibabel + numpy ({a.resample})", "images": len(results), "seconds": seconds,
                      "processor_seconds": sum(used for _, used in results), "peak_mb": kilobytes / 1024}))


if __name__ == "__main__":
    main()
