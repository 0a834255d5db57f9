"""Time TorchIO's transforms, one at a time, for bench/augmentation.

Started by main.go: reads the size and a file of float32 voxels, then answers
each line "NAME" on stdin with the CPU seconds (user and system) of one
application to an image in memory, or "-" when TorchIO has no such transform.
One thread everywhere.
"""

import os
import sys

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ[name] = "1"

import time

import numpy as np
import scipy
import SimpleITK as sitk
import torch
import torchio as tio

torch.set_num_threads(1)
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

size = int(sys.argv[1])
data = np.fromfile(sys.argv[2], np.float32).reshape(1, size, size, size)
subject = tio.Subject(image=tio.ScalarImage(tensor=torch.from_numpy(data), affine=np.eye(4)))

rng = np.random.default_rng(1)
points = np.zeros((7, 7, 7, 3))
points[2:-2, 2:-2, 2:-2] = rng.uniform(-2, 2, (3, 3, 3, 3))
TRANSFORMS = {
    "flip": lambda: tio.Flip((0,)),
    "affine": lambda: tio.Affine(scales=(1.1, 1.1, 1.1), degrees=(7, -5, 4), translation=(1, -2, 1.5)),
    "elastic": lambda: tio.ElasticDeformation(points, max_displacement=(2, 2, 2)),
    "bias": lambda: tio.BiasField(coefficients=list(rng.uniform(-0.3, 0.3, 20)), order=3),
    "motion": lambda: tio.Motion(
        degrees=np.array([[3, -2, 1], [2, 4, -3.0]]), translation=np.array([[1, 2, -1], [0.5, -2, 2.0]]),
        times=np.array([0.3, 0.7]), image_interpolation="linear"),
    "ghosting": lambda: tio.Ghosting(num_ghosts=6, axis=1, intensity=0.5, restore=None),
    "downsample": lambda: tio.RandomAnisotropy(axes=(2,), downsampling=(2, 2)),
    "blur": lambda: tio.Blur(std=(1.0, 1.0, 1.0)),
    "noise": lambda: tio.Noise(mean=0, std=0.1, seed=7),
    "gamma": lambda: tio.Gamma(1.3),
}
made = {name: make() for name, make in TRANSFORMS.items()}
print(f"TorchIO {tio.__version__}, torch {torch.__version__}, SimpleITK {sitk.Version_VersionString()}, "
      f"scipy {scipy.__version__}, numpy {np.__version__}", flush=True)
for line in sys.stdin:
    transform = made.get(line.strip())
    if transform is None:
        print("-", flush=True)
        continue
    start = time.process_time()
    transform(subject)
    print(time.process_time() - start, flush=True)
