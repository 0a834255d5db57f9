"""Reads NIfTI files with nibabel and with ballast in turns and prints the medians.

    pip install nibabel numpy
    python bench/reading/reading.py [--rounds 7] IMAGE...

Run it from the repository's root with a Python that has the packages. Both read every file into float32 voxels, on all
cores: nibabel in one process per core, because decompression and conversion run one after the other there. Processor time
of a program is that of its whole run less that of a run without files.
"""
import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def read(path):
    import nibabel
    import numpy
    data = nibabel.load(path).get_fdata(dtype=numpy.float32)
    return float(data.ravel(order="F")[data.size // 2])  # a view: the order of the file is kept


def warm(_):
    import nibabel
    time.sleep(0.01)
    return nibabel.__version__


def nibabel_reads(processes, paths):
    with multiprocessing.Pool(processes) as pool:
        pool.map(warm, range(64), chunksize=1)  # every process has started and imported
        start = time.perf_counter()
        total = sum(pool.map(read, paths, chunksize=1))
        seconds = time.perf_counter() - start
        pool.close()
        pool.join()
    print(json.dumps({"seconds": seconds, "sum": total}))


def run(command, paths):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(subprocess.run(command + paths, check=True, capture_output=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result["processor"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--nibabel", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("images", nargs="*")
    a = parser.parse_args()
    if a.nibabel:
        return nibabel_reads(a.nibabel, a.images)
    cores = os.cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        ballast = os.path.join(folder, "reading")
        subprocess.run(["go", "build", "-o", ballast, "./bench/reading"], check=True)
        programs = {"nibabel": [sys.executable, __file__, "--nibabel", str(cores)], "ballast": [ballast], "ballast, memory kept": [ballast, "-keep"]}
        idle = {name: run(command, []) for name, command in programs.items()}
        results = {name: [] for name in programs}
        for _ in range(a.rounds):
            for name, command in programs.items():
                results[name].append(run(command, a.images))
    assert len({r["sum"] for runs in results.values() for r in runs}) == 1, "the programs read different voxels"
    print(f"{len(a.images)} files, medians (lowest to highest) of {a.rounds} rounds on {cores} cores")
    for name, runs in results.items():
        line = f"{name:22}"
        for key, less in (("seconds", 0), ("processor", idle[name]["processor"])):
            values = sorted(r[key] - less for r in runs)
            line += f"{statistics.median(values):8.2f} s {key if key != 'seconds' else 'wall':10} ({values[0]:.2f} to {values[-1]:.2f})"
        print(line)


if __name__ == "__main__":
    main()
