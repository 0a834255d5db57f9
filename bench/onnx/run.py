"""Classifies prepared images with ONNX Runtime; started by main.go, which see.

    python run.py FOLDER

FOLDER holds model.onnx and subjects.json. Prints a list with the probabilities of each subject.
"""
import json
import os
import sys

import numpy
import onnx
import onnxruntime


def classify(session, subject):
    shapes = {value.name: value.shape for value in session.get_inputs()}
    images = numpy.fromfile(subject["file"], "<f4").reshape([subject["images"]] + shapes["image"][1:])
    covariates = None
    if "covariates" in shapes:
        covariates = numpy.fromfile(subject["covariates"], "<f4")[None]
    together = "attention" in [value.name for value in session.get_outputs()]
    rows = []
    for part in [images] if together else images[:, None]:
        feed = {"image": part}
        if covariates is not None:
            feed["covariates"] = covariates
        rows.append(session.run(["probabilities"], feed)[0][0].astype(float))
    return numpy.mean(rows, 0).tolist()


def main(folder):
    model = os.path.join(folder, "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with open(os.path.join(folder, "subjects.json")) as file:
        print(json.dumps([classify(session, subject) for subject in json.load(file)]))


if __name__ == "__main__":
    main(sys.argv[1])
