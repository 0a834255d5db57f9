"""A Keras 3 callback beside ballast_recorder, on any backend.

    from ballast_keras import BallastCallback

    subjects = [("sub-01", 0), ("sub-02", 1)]      # per image: (subject, class) or (subject, class, site)
    model.fit(..., validation_data=(images, labels), callbacks=[
        BallastCallback("runs/mine", ["no response", "response"], validation=(images, subjects))])

The network ends in softmax, or in a single sigmoid for two classes. The training is left as it was: weights, statistics
and random numbers are those without the callback.
"""

import contextlib
import math
import warnings

import keras
import numpy

from ballast_recorder import Recorder, same, undisturbed

CROSS_ENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")


class BallastCallback(keras.callbacks.Callback):
    """Records a run.

    validation  (images, subjects): what fit validates on, and for each image (subject, class) or (subject, class, site).
    train       the same of the training set, without augmentation: more views and the gap become known.
    recalibrate whether to evaluate with batch-norm statistics recomputed on the training images.
    keep        the part of an average of the weights that an epoch leaves in place, evaluated too; None: no average.
    """

    def __init__(self, folder, classes, validation, train=None, plan=None, recalibrate=True, keep=0.8, batch_size=32):
        super().__init__()
        self.folder, self.classes, self.plan = folder, classes, plan
        self.data = {"validation": validation} if train is None else {"train": train, "validation": validation}
        self.recalibrate, self.keep, self.batch_size = recalibrate and train is not None, keep, batch_size
        self.recorder, self.mean, self.count, self.warned = None, None, 0, False

    def on_train_begin(self, logs=None):
        sets = {name: subjects for name, (_, subjects) in self.data.items()}
        self.recorder = Recorder(self.folder, self.classes, sets, epochs=self.params.get("epochs") or 0, plan=self.plan)

    def on_train_batch_end(self, batch, logs=None):
        if self.keep is None:
            return
        weights = [numpy.array(keras.ops.convert_to_numpy(v.value)) for v in self.model.trainable_variables]
        decay = self.keep ** (1 / (self.params.get("steps") or 1))
        part = min(decay, self.count / (self.count + 1))
        self.mean = weights if self.count == 0 else [m + (1 - part) * (w - m) for m, w in zip(self.mean, weights)]
        self.count += 1

    def on_epoch_end(self, epoch, logs=None):
        logs, optimizer = logs or {}, self.model.optimizer
        loss, objective = logs.get("loss"), None
        for name in CROSS_ENTROPIES:
            if name in logs:  # then the loss, with class weights and penalties, is what training lessened
                loss, objective = logs[name], logs.get("loss")
        with undisturbed():
            views = self._views()
            self._compare(views["logged"]["validation"], logs)
        self.recorder.epoch(views, step=int(optimizer.iterations), learning_rate=float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
                            loss=loss, accuracy=next((x for name, x in logs.items() if "acc" in name and not name.startswith("val_")), None),
                            objective=objective)

    def on_train_end(self, logs=None):
        self.recorder.finish()

    def _predict(self):
        return {name: self.model.predict(images, batch_size=self.batch_size, verbose=0) for name, (images, _) in self.data.items()}

    def _views(self):
        clean = self._predict()
        again = self.model.predict(self.data["validation"][0], batch_size=self.batch_size, verbose=0)
        self.recorder.recorded or self.recorder.twice(clean["validation"], again)
        views = {"logged": {"validation": clean["validation"]}}
        if all(same(a, b) for a, b in zip(clean["validation"].tolist(), again.tolist())):
            views["deterministic"] = clean
        if self.recalibrate and _norms(self.model):
            with _kept(self.model):
                self._recompute()
                views["recalibrated"] = self._predict()
        if self.mean is not None and (self.recalibrate or not _norms(self.model)):
            with _kept(self.model):
                for variable, value in zip(self.model.trainable_variables, self.mean):
                    variable.assign(value)
                self._recompute()
                views["averaged"] = self._predict()
        return views

    def _recompute(self):
        """Sets the statistics of batch norm to their mean over the batches of the training images, dropout off."""
        norms = _norms(self.model)
        drops = [layer for layer in self.model._flatten_layers() if isinstance(layer, keras.layers.Dropout)]
        if not norms:
            return
        before = [layer.momentum for layer in norms], [layer.rate for layer in drops]
        images = self.data["train"][0]
        for layer in drops:
            layer.rate = 0.0
        for count, start in enumerate(range(0, len(images), self.batch_size)):
            for layer in norms:
                layer.momentum = count / (count + 1)
            self.model(images[start:start + self.batch_size], training=True)
        for layer, momentum in zip(norms, before[0]):
            layer.momentum = momentum
        for layer, rate in zip(drops, before[1]):
            layer.rate = rate

    def _compare(self, rows, logs):
        """Warns once where Keras printed another validation accuracy than the images given here have."""
        printed = next((x for name, x in logs.items() if name.startswith("val_") and "acc" in name), math.nan)
        rows = numpy.asarray(rows)
        named = rows.argmax(1) if rows.ndim > 1 and rows.shape[1] > 1 else (rows.reshape(-1) > 0.5).astype(int)
        seen = float(numpy.mean(named == numpy.array(self.recorder.image_classes("validation"))))
        if abs(printed - seen) > 1e-4 and not self.warned:
            self.warned = True
            warnings.warn(f"Keras validated with an accuracy of {printed:.4f}, and the images given to BallastCallback have {seen:.4f}: "
                          "their order, their preprocessing or the images themselves are not those of validation_data")


def _norms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


@contextlib.contextmanager
def _kept(model):
    """Puts the variables of a network back, its statistics and random seeds included."""
    values = [(v, numpy.array(keras.ops.convert_to_numpy(v.value))) for v in model.variables]
    try:
        yield
    finally:
        for variable, value in values:
            variable.assign(value)
