"""Writes the arrays of this folder and expected.json, which TestNumPyArrays and
TestArchives hold ballast against. Made with NumPy 2.4.6: python3 make.py"""
import json
import numpy as np

rng = np.random.default_rng(7)
expected = {}


def note(name, array):
    """Keeps what NumPy itself says of an array: shape and values, last index fastest."""
    values = array.astype(np.float64).ravel()
    expected[name] = {"shape": list(array.shape), "values": [float(x) if np.isfinite(x) else None for x in values]}


def save(name, array, version=None):
    with open(name, "wb") as file:
        np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    if array.dtype.kind in "biuf":
        note(name, array)


save("u1.npy", rng.integers(0, 256, (3, 4), np.uint8))
save("i2_big_endian.npy", rng.integers(-3000, 3000, (2, 3, 4)).astype(">i2"))
save("f4_fortran.npy", np.asfortranarray(rng.normal(size=(2, 3, 4)).astype("<f4")))
save("f8_v2.npy", rng.normal(size=(3, 5)), (2, 0))
save("f2_v3.npy", np.array([[0, 1, -2.5, 65504], [6e-8, 1 / 3, np.inf, np.nan]], np.float16), (3, 0))
save("i8.npy", np.array([[-(2**40), 7], [3, 2**40]]))
save("u4.npy", np.array([[2**32 - 1, 7], [3, 0]], np.uint32))
save("bool.npy", np.array([[True, False, True], [False, False, True]]))
save("line.npy", np.arange(6, dtype=np.float32).reshape(1, 6))
save("colour.npy", rng.integers(0, 256, (4, 5, 3), np.uint8))
save("record.npy", np.zeros((2, 2), [("a", "<f4"), ("b", "<i2")]))
save("object.npy", np.array([[None, 1], [2, 3]], object))
save("complex.npy", np.zeros((2, 2), np.complex64))
save("time.npy", np.zeros((2, 2), "<M8[s]"))
save("text.npy", np.array([["a", "b"]]))
save("empty.npy", np.zeros((0, 4)))

# As MedMNIST distributes its sets: labels (N, 1), images without or with colours.
grey = {f"{s}_images": rng.integers(0, 256, (n, 6, 5), np.uint8) for s, n in (("train", 12), ("val", 8), ("test", 8))}
grey |= {f"{s}_labels": (np.arange(n) % 2).astype(np.uint8)[:, None] for s, n in (("train", 12), ("val", 8), ("test", 8))}
np.savez_compressed("grey.npz", **grey)
np.savez("colour.npz", train_images=rng.integers(0, 256, (8, 4, 5, 3), np.uint8), train_labels=np.arange(8)[:, None] % 2)
np.savez("volumes.npz", images=rng.normal(size=(8, 3, 4, 5)).astype(np.float32), labels=np.array(["no", "yes"] * 4),
         subjects=np.array(["p1", "p2", "p1", "p4", "p5", "p6", "p7", "p8"]))
np.savez_compressed("fortran.npz", x_train=np.asfortranarray(rng.integers(0, 999, (6, 4, 5))), y_train=np.array([0, 1] * 3, np.int64),
                    x_test=np.zeros((2, 4, 5), np.int64), y_test=np.array([0, 1], np.int64))
for name in ("grey", "colour", "volumes", "fortran"):
    with np.load(name + ".npz") as archive:
        for array in archive.files:
            if archive[array].dtype.kind in "biuf":
                note(f"{name}.npz#{array}", archive[array])
with open("expected.json", "w") as file:
    json.dump(expected, file, separators=(",", ":"))
    file.write("\n")
