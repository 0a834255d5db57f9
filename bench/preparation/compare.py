"""Runs main.go and preparation.py in turns on one cohort and prints the medians.

    pip install nibabel numpy scipy
    python bench/preparation/compare.py COHORT [--rounds 7] [--crop mask|foreground]

Run it from the repository's root with a Python that has the packages. Each round is one run of every program, so that
what else the machine does falls on all alike.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("cohort")
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--crop", default="mask")
a = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    ballast = os.path.join(folder, "preparation")
    subprocess.run(["go", "build", "-o", ballast, "./bench/preparation"], check=True)
    script = [sys.executable, os.path.join("bench", "preparation", "preparation.py"), a.cohort, "--crop", a.crop]
    ours = [ballast, "-crop", a.crop]
    cache = ["-cache", os.path.join(folder, "cache")]
    programs = {
        "nibabel + numpy": script,
        "nibabel + scipy.ndimage": script + ["--resample", "scipy"],
        "ballast": ours + [a.cohort],
        "ballast, from its cache": ours + cache + [a.cohort],
    }
    subprocess.run(programs["ballast, from its cache"], check=True, capture_output=True)  # fills it
    results = {name: [] for name in programs}
    for _ in range(a.rounds):
        for name, command in programs.items():
            results[name].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))

print(f"{results['ballast'][0]['images']} images, crop {a.crop}, medians (lowest to highest) of {a.rounds} rounds on {os.cpu_count()} cores")
base = {key: statistics.median(r[key] for r in results["ballast"]) for key in ("seconds", "processor_seconds")}
print(f"{'':28}{'seconds':>24}{'times':>7}{'processor seconds':>24}{'times':>7}{'peak MB':>9}")
for name, runs in results.items():
    line = f"{name:28}"
    for key in ("seconds", "processor_seconds"):
        values = sorted(r[key] for r in runs)
        middle = statistics.median(values)
        line += f"{middle:10.2f} ({values[0]:.2f} to {values[-1]:.2f})".rjust(24) + f"{middle / base[key]:7.1f}"
    print(line + f"{statistics.median(r['peak_mb'] for r in runs):9.0f}")
