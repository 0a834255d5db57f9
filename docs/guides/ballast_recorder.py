"""Records a training in Python, whatever its library, as a run that `ballast diagnose` reads.

    from ballast_recorder import Recorder

    sets = {"train": train_images, "validation": validation_images}  # (subject, class) or (subject, class, site) per image
    with Recorder("runs/mine", ["no response", "response"], sets, epochs=50) as recorder:
        for epoch in range(50):
            ...                                                      # train, then predict the validation images in order
            recorder.epoch({"logged": {"validation": probabilities}}, step=step, learning_rate=rate,
                           loss=train_loss, accuracy=train_accuracy)

Needs the standard library only, `fingerprint` also numpy. docs/format/run.md describes the files, and
docs/guides/recording-from-pytorch-keras-lightning.md what each view is good for.
"""

import contextlib
import json
import math
import os
import random
import sys

SUM_TOLERANCE = 0.01  # by which the probabilities of an image may miss 1; the reader has the same
SAME = 1e-5  # probabilities that differ by less are the same: some graphics cards add in a different order every time
CELLS = {2: (8, 8), 3: (4, 4, 4)}  # of a thumbnail, by the number of axes of an image


class Recorder:
    """Writes a run: a header, one line per epoch, and on request what the network was shown.

    sets    for each set ("train", "validation", "test") a list with one entry per image, in the order in which its
            probabilities are given: (subject, class) or (subject, class, site). A class is a name or an index. Images
            of the same subject (slices, visits) are averaged into one prediction.
    epochs  how many are planned; 0 when that is not known.
    plan    optional settings of the run as a dict. In ballast's own keys (docs/format/plan.md) they are used in the
            diagnosis; others are only kept.

    The folder must be new or empty. A process that is killed leaves a run that can be read, short of at most the epoch
    that was being written.
    """

    def __init__(self, folder, classes, sets, epochs=0, plan=None, creator="ballast_recorder 1"):
        self.folder, self.classes, self.planned = str(folder), [str(name) for name in classes], int(epochs)
        self.recorded, self.experiments = 0, {}
        self.images, self.members, subjects = {}, {}, {}
        for name in sorted(sets):
            subjects[name] = self._gather(name, list(sets[name]))
        self.subjects = subjects
        self.header = {"format": 1, "creator": creator, "status": "running", "epochs_planned": self.planned,
                       "classes": self.classes, "sets": subjects}
        os.makedirs(self.folder, exist_ok=True)
        if os.listdir(self.folder):
            raise FileExistsError(f"{self.folder} holds something already; name a new folder for every run")
        open(self._path("epochs.jsonl"), "x").close()
        if plan is not None:
            self._write("plan.yaml", json.dumps(plan, indent=2))  # JSON is YAML
        self._write("run.json", json.dumps(self.header, indent=2, ensure_ascii=False))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.header["status"] == "running":
            self.finish("interrupted" if kind else None)

    def epoch(self, views, *, step, learning_rate, loss=None, accuracy=None, gradient_norm=None, objective=None, health=None):
        """Appends an epoch.

        views          {view: {set: probabilities}}, for instance {"logged": {"validation": p}}. The probabilities of
                       a set are one row per image: softmax outputs, or for two classes the single sigmoid output; None
                       for an image that this view left out.
        step           optimiser steps since the start of training.
        learning_rate  at the end of the epoch.
        loss, accuracy of training as the loop prints them (mean over the epoch's batches; accuracy from 0 to 1).
        gradient_norm  mean over the epoch's steps.
        objective      what training lessened, where that is not the plain cross-entropy (class weights, smoothing).
        health         of the layers, from ballast_torch.Watch.
        """
        evaluations = []
        if loss is not None or accuracy is not None:
            evaluations.append({"view": "logged", "set": "train", "loss": _number(loss), "accuracy": _number(accuracy)})
        for view in views:
            for name in sorted(views[view]):
                evaluations.append(self.evaluate(view, name, views[view][name]))
        record = {"epoch": self.recorded + 1, "step": int(step), "learning_rate": _number(learning_rate),
                  "gradient_norm": _number(gradient_norm)}
        if objective is not None:
            record["objective"] = _number(objective)
        if health is not None:
            record["health"] = health
        record["evaluations"] = evaluations
        self._append(json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n")
        self.recorded += 1

    def evaluate(self, view, name, probabilities):
        """The evaluation of one view of a set as the format has it, per subject."""
        means = self.by_subject(name, probabilities)
        loss, right, seen = 0.0, 0, 0
        for subject, row in zip(self.subjects[name], means):
            if row is None:
                continue
            p = row[subject["class"]]
            loss += -math.log(p) if p > 0 else math.inf if p == 0 else math.nan
            right += p == p and _named(row) == subject["class"]
            seen += 1
        if seen == 0:
            raise ValueError(f"view {view}, set {name}: no image has probabilities")
        return {"view": view, "set": name, "loss": _number(loss / seen), "accuracy": _number(right / seen),
                "probabilities": [row and [_short(p) for p in row] for row in means]}

    def by_subject(self, name, probabilities):
        """The mean probabilities of every subject of a set over those of its images that have any; None without."""
        if name not in self.images:
            raise ValueError(f"the run has no set {name!r}; its sets are {sorted(self.images)}")
        rows = _rows(probabilities)
        if len(rows) != len(self.images[name]):
            raise ValueError(f"set {name}: {len(rows)} rows of probabilities for {len(self.images[name])} images; "
                             "a loader with drop_last or a sampler leaves images out")
        sums = [None] * len(self.subjects[name])
        counts = [0] * len(sums)
        for index, (row, subject) in enumerate(zip(rows, self.images[name])):
            if row is None:
                continue
            row = self._checked(name, index, row)
            sums[subject] = row if sums[subject] is None else [a + b for a, b in zip(sums[subject], row)]
            counts[subject] += 1
        return [total and [x / count for x in total] for total, count in zip(sums, counts)]

    def image_classes(self, name):
        """The class of every image of a set, in their order."""
        return [self.subjects[name][subject]["class"] for subject in self.images[name]]

    def twice(self, first, second):
        """Records that the same weights evaluated the validation set twice in the same way: probabilities as in epoch.
        A network that answers differently has something random in its evaluation."""
        first, second = (self.by_subject("validation", p) for p in (first, second))
        both = [(a, b) for a, b in zip(first, second) if a and b]
        if not both:
            raise ValueError("set validation: no subject was evaluated twice")
        shares = []
        for side in (first, second):
            right = [_named(row) == s["class"] for row, s in zip(side, self.subjects["validation"]) if row]
            shares.append(sum(right) / len(right))
        self.experiment("evaluate-twice", {
            "different": sum(not same(a, b) for a, b in both) / len(both),
            "flips": sum(_named(a) != _named(b) for a, b in both) / len(both),
            "covered": sum(a is not None for a in first) / len(first),
            "accuracy_difference": abs(shares[0] - shares[1]),
        })

    def experiment(self, name, values):
        """Records the result of an experiment on the latest weights, by the names of docs/probes.md."""
        self.experiments[name] = {"id": name, "values": {key: _number(values[key]) for key in sorted(values)}}
        results = [self.experiments[key] for key in self.experiments]
        self._write("probes.json", json.dumps({"format": 1, "epoch": self.recorded, "results": results}, indent=2, allow_nan=False))

    def fingerprint(self, sets):
        """Records what the network is shown: {set: iterable of arrays, one per image in order, as the network gets them,
        channels first, without augmentation}. One image is in memory at a time."""
        looks = {name: self._looks(name, sets[name]) for name in sorted(sets)}
        self._write("fingerprint.json", json.dumps({"format": 1, "sets": looks}, separators=(",", ":"), allow_nan=False))

    def finish(self, status=None):
        """Ends the run: "complete", "stopped" (by a rule such as early stopping) or "interrupted". Without a status the
        number of recorded epochs decides between the first two."""
        self.header["status"] = status or ("stopped" if self.recorded < self.planned else "complete")
        self._write("run.json", json.dumps(self.header, indent=2, ensure_ascii=False))

    def _gather(self, name, entries):
        """Fills images[name], the subject of every image, and returns the subjects in the order of their first image."""
        place, subjects, self.images[name] = {}, [], []
        for index, entry in enumerate(entries):
            identity, label, site = (tuple(entry) + (None,))[:3]
            identity, label = str(identity), self._class(name, identity, label)
            if identity not in place:
                place[identity] = len(subjects)
                subjects.append({"id": identity, "class": label, "images": 0} if site in (None, "") else
                                {"id": identity, "class": label, "site": str(site), "images": 0})
            subject = subjects[place[identity]]
            if subject["class"] != label:
                raise ValueError(f"set {name}, image {index}: subject {identity} has the class {self.classes[label]!r} here "
                                 f"and {self.classes[subject['class']]!r} before; a subject has one class")
            subject["images"] += 1
            self.images[name].append(place[identity])
        return subjects

    def _class(self, name, identity, label):
        if isinstance(label, str):
            if label not in self.classes:
                raise ValueError(f"set {name}, subject {identity}: class {label!r} is not one of {self.classes}")
            return self.classes.index(label)
        index = int(label)
        if index != label or not 0 <= index < len(self.classes):
            raise ValueError(f"set {name}, subject {identity}: class {label!r}; there are classes 0 to {len(self.classes) - 1}")
        return index

    def _checked(self, name, index, row):
        """A row with one probability per class."""
        row = [float(p) for p in row] if isinstance(row, (list, tuple)) else [float(row)]
        if len(row) == 1 and len(self.classes) == 2:
            row = [1 - row[0], row[0]]
        if len(row) != len(self.classes):
            raise ValueError(f"set {name}, image {index}: {len(row)} outputs for {len(self.classes)} classes")
        if all(math.isfinite(p) for p in row) and not (min(row) >= 0 and max(row) <= 1 and abs(sum(row) - 1) <= SUM_TOLERANCE):
            raise ValueError(f"set {name}, image {index}: {[_short(p) for p in row]} are no probabilities; give softmax outputs, not logits")
        return row if all(math.isfinite(p) for p in row) else [math.nan] * len(row)

    def _looks(self, name, arrays):
        images, looks = self.images[name], [None] * len(self.subjects[name])
        given = 0
        for given, array in enumerate(arrays, 1):
            if given > len(images):
                raise ValueError(f"set {name}: more than {len(images)} arrays; the set has that many images")
            look = looks[images[given - 1]] = looks[images[given - 1]] or _Look()
            look.add(array)
        if given != len(images):
            raise ValueError(f"set {name}: {given} arrays for {len(images)} images")
        return [look.json() for look in looks]

    def _append(self, line):
        """Appends a line with a single write; a write that fails leaves the file as it was."""
        with open(self._path("epochs.jsonl"), "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            text = line.encode("utf-8")
            try:
                if file.write(text) != len(text):
                    raise OSError(f"{file.name}: the disk took only part of the line of epoch {self.recorded + 1}")
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise

    def _write(self, name, text):
        """Writes a file whole or not at all."""
        temporary = self._path(name) + ".tmp"
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path(name))

    def _path(self, name):
        return os.path.join(self.folder, name)


class _Look:
    """What the network is shown of a subject, gathered image by image."""

    def __init__(self):
        self.count, self.sum, self.square, self.least, self.greatest, self.thumbnail = 0, 0.0, 0.0, math.inf, -math.inf, None

    def add(self, array):
        import numpy

        array = numpy.asarray(array, dtype=numpy.float64)
        if array.ndim - 1 not in CELLS:
            raise ValueError(f"an array of the shape {array.shape}; want channels, height, width or channels, depth, height, width")
        self.count += array.size
        self.sum += float(array.sum())
        self.square += float((array * array).sum())
        self.least, self.greatest = min(self.least, float(array.min())), max(self.greatest, float(array.max()))
        if self.thumbnail is None:
            self.thumbnail = _thumbnail(array[0], numpy)

    def json(self):
        mean = self.sum / self.count
        deviation = math.sqrt(max(0.0, self.square / self.count - mean * mean))
        return {"mean": _number(mean), "deviation": _number(deviation), "least": _number(self.least),
                "greatest": _number(self.greatest), "thumbnail": self.thumbnail}


def _thumbnail(image, numpy):
    """64 means of equal cells, less their mean, over their standard deviation, times 32, as whole numbers."""
    image = image - image.flat[0]  # cells of one colour have exactly the same mean
    for axis, cells in enumerate(CELLS[image.ndim]):
        size = image.shape[axis]
        edges = [(size * cell // cells, max(size * cell // cells + 1, size * (cell + 1) // cells)) for cell in range(cells)]
        parts = [image.take(range(low, high), axis=axis).mean(axis=axis, keepdims=True) for low, high in edges]
        image = numpy.concatenate(parts, axis=axis)
    image = image - image.mean()
    deviation = image.std()
    if not deviation > 0:
        return [0] * image.size
    scaled = numpy.clip(32 * image / deviation, -127, 127).ravel()
    return [int(math.copysign(math.floor(abs(x) + 0.5), x)) for x in scaled]  # halves away from 0


def _named(row):
    """The class that a row names: the first of the most probable ones."""
    return row.index(max(row))


def same(a, b):
    """Whether two rows of probabilities are the same but for the order of additions."""
    return all(abs(x - y) <= SAME or x != x and y != y for x, y in zip(a, b))


@contextlib.contextmanager
def undisturbed():
    """Puts back every random number generator in use, so that a training goes on as if nothing had been evaluated."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    python, legacy = random.getstate(), numpy and numpy.random.get_state()
    cpu, cards = torch and torch.get_rng_state(), torch and torch.cuda.is_available() and torch.cuda.get_rng_state_all()
    try:
        yield
    finally:
        random.setstate(python)
        if numpy:
            numpy.random.set_state(legacy)
        if torch:
            torch.set_rng_state(cpu)
        if cards:
            torch.cuda.set_rng_state_all(cards)


def _rows(probabilities):
    return probabilities.tolist() if hasattr(probabilities, "tolist") else list(probabilities)


def _number(x):
    """A number as the format has it: JSON has none for what is not finite."""
    x = math.nan if x is None else float(x)
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"
    return int(x) if x == int(x) and abs(x) < 2**53 else x


def _short(p):
    """A probability with the nine digits that hold a 32-bit float."""
    return _number(float(f"{p:.9g}"))
