"""A Lightning callback beside ballast_recorder and ballast_torch.

    from ballast_lightning import BallastCallback

    class Net(lightning.LightningModule):
        def validation_step(self, batch, index):
            logits = self(batch[0])
            ...
            return {"logits": logits}          # the one line that the callback needs

    subjects = {"train": [...], "validation": [...]}   # per image: (subject, class) or (subject, class, site)
    trainer = lightning.Trainer(callbacks=[BallastCallback("runs/mine", ["no response", "response"], subjects)])

Records on one device: with several, every one sees only its part of the validation set.
"""

import lightning
import torch

from ballast_recorder import Recorder, undisturbed
from ballast_torch import Watch, average, probabilities, views


class BallastCallback(lightning.Callback):
    """Records a run.

    sets        the subjects of every set, image by image, in the order of the loaders.
    validation  loader of the validation set, not shuffled, not augmented: the deterministic view.
    train       loader of the training set, not shuffled, not augmented: more views and the gap become known.
    names       under which the module logs the training loss and accuracy.
    keep        the part of an average of the weights that an epoch leaves in place; None: no average.
    """

    def __init__(self, folder, classes, sets, validation=None, train=None, plan=None, names=("train_loss", "train_acc"), keep=0.8):
        self.folder, self.classes, self.sets, self.plan = folder, classes, sets, plan
        self.validation, self.train, self.names, self.keep = validation, train, names, keep
        self.recorder, self.watch, self.averaged, self.rows = None, None, None, []

    def on_fit_start(self, trainer, module):
        if trainer.world_size > 1:
            raise ValueError(f"BallastCallback on {trainer.world_size} devices: each sees a part of the validation set, padded with "
                             "repeated subjects; train on one, or record with ballast_torch on the first process")
        self.recorder = Recorder(self.folder, self.classes, self.sets, epochs=max(trainer.max_epochs or 0, 0), plan=self.plan)
        self.watch = Watch(module)

    def on_train_start(self, trainer, module):
        if self.keep is not None:
            module.trainer = None  # or the copy of the network would copy the trainer with its loaders
            self.averaged = average(module, trainer.num_training_batches, self.keep)
            module.trainer = trainer

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.watch.gradients()

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self.watch.step(loss, batch[1])
        if self.averaged is not None:
            self.averaged.update_parameters(module)

    def on_validation_epoch_start(self, trainer, module):
        self.rows = []

    def on_validation_batch_end(self, trainer, module, outputs, batch, index, dataloader_idx=0):
        if not isinstance(outputs, dict) or "logits" not in outputs:
            raise ValueError('validation_step returned no logits; end it with: return {"logits": logits}')
        self.rows.append(probabilities(outputs["logits"]))

    def on_train_epoch_end(self, trainer, module):
        metrics = trainer.callback_metrics
        loss, accuracy = (float(metrics[name]) if name in metrics else None for name in self.names)
        record = self._views(trainer, module, torch.cat(self.rows)) if self.rows else {}
        self.rows = []
        self.recorder.epoch(record, step=trainer.global_step, learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
                            loss=loss, accuracy=accuracy, gradient_norm=self.watch.gradient_norm, health=self.watch.health())

    def _views(self, trainer, module, logged):
        if self.validation is None:
            return {"logged": {"validation": logged}}
        module.trainer = None  # or the copies of the network would copy the trainer with its loaders
        try:
            return views(self.recorder, module, self.validation, self.train, logged, self.averaged)
        finally:
            module.trainer = trainer

    def on_train_end(self, trainer, module):
        self.recorder.finish()

    def on_exception(self, trainer, module, exception):
        if self.recorder is not None:
            self.recorder.finish("interrupted")
