package main

import (
	"path/filepath"
	"testing"

	"ballast/run"
)

// What ballast_torch computes, held against hand and PyTorch: the health of layers
// with a dead channel, batch norm recomputed, the average of weights, and a loader
// that shuffles.
const torchChecks = `
import math, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from ballast_torch import Watch, average, mixing, predict, recalibrated, views
from ballast_recorder import Recorder

torch.manual_seed(3)
x, y = torch.randn(12, 1, 6, 6), torch.arange(12) % 2
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 2))
with torch.no_grad():
    model[1].weight[2], model[1].bias[2] = 0, -1  # channel 2 never passes anything on
model[4].p = 0.0
watch, mean = Watch(model), average(model, steps=2, keep=0.25)
optimizer, rates, norms, gradients, weights = torch.optim.SGD(model.parameters(), lr=0.1), [], [], [], []
for part in (slice(0, 6), slice(6, 12)):
    before = model[0].weight.detach().clone()
    loss = nn.functional.cross_entropy(model(x[part]), y[part])
    optimizer.zero_grad()
    loss.backward()
    watch.gradients()
    norms.append(nn.utils.get_total_norm([p.grad for p in model.parameters()]).item())
    gradients.append(torch.cat([p.grad.reshape(-1) for p in model.parameters()]))
    optimizer.step()
    watch.step(loss, y[part])
    mean.update_parameters(model)
    rates.append(((model[0].weight - before).square().mean().sqrt()).item())
    weights.append(model[0].weight.detach().clone())
near = lambda a, b: abs(a - b) <= 1e-5 * max(1, abs(b))
assert near(watch.gradient_norm, sum(norms) / 2)
health = watch.health()
first, last = health["layers"]
assert [first["name"], last["name"]] == ["0.weight", "5.weight"]
assert first["dead"] == 0.25 and first["active"] < 0.75 and last["dead"] == "NaN"
size = model[0].weight.square().mean().sqrt().item()
assert near(first["weight"], size) and near(first["update"], sum(rates) / 2 / size)
assert near(first["zero_gradient"], 0.25)
g, h = gradients
assert near(health["agreement"], (((g + h) / 2).square().sum() / ((g.square().sum() + h.square().sum()) / 2)).item())
assert near(mixing([[0, 0], [1, 1]]), 3) and near(mixing([[0, 1], [0, 1]]), 0) and math.isnan(mixing([[0, 1]]))
# Two steps: the average is their plain mean.
assert torch.allclose(mean.module[0].weight, (weights[0] + weights[1]) / 2, atol=1e-6)

model[4].p = 0.5
loader = DataLoader(TensorDataset(x, y), batch_size=6)
twin = recalibrated(model, loader)
with torch.no_grad():
    convolved = [model[0](x[:6]), model[0](x[6:])]
assert torch.allclose(twin[1].running_mean, sum(c.mean((0, 2, 3)) for c in convolved) / 2, atol=1e-6)
assert torch.allclose(twin[1].running_var, sum(c.var((0, 2, 3)) for c in convolved) / 2, atol=1e-6)
assert model[4].p == 0.5 and model.training and not torch.equal(twin[1].running_mean, model[1].running_mean)

one = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
assert predict(one, loader).shape == (12,)
recorder = Recorder("run", ["a", "b"], {"validation": [(f"s{i}", i % 2) for i in range(12)]})
assert set(views(recorder, one, loader)) == {"logged", "deterministic"}
for bad in (DataLoader(TensorDataset(x, y), batch_size=6, shuffle=True), DataLoader(TensorDataset(x, y), batch_size=5, drop_last=True)):
    try:
        views(recorder, one, bad)
    except ValueError as error:
        assert "shuffle=False and drop_last=False" in str(error), error
    else:
        raise AssertionError("accepted")
`

func TestRecordingFromPyTorch(t *testing.T) {
	interpreter := python(t, "torch", "numpy")
	if _, err := runPython(t, interpreter, t.TempDir(), []string{guides}, "-c", torchChecks); err != nil {
		t.Error(err)
	}
}

// The callback for Keras says so when it is given other images than Keras
// validates on, records class weights as an objective, and marks a training that
// early stopping ended.
const kerasChecks = `
import keras, numpy, warnings
from ballast_keras import BallastCallback
keras.utils.set_random_seed(1)
x = numpy.random.default_rng(1).normal(size=(40, 4)).astype("float32")
y = (x[:, 0] > 0).astype(int)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy", "binary_crossentropy"])
subjects = [(f"s{i}", int(label)) for i, label in enumerate(y)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(x, y[:, None], epochs=20, verbose=0, validation_data=(x, y[:, None]), class_weight={0: 1.0, 1: 3.0}, callbacks=[
        keras.callbacks.EarlyStopping(monitor="val_loss", mode="max", patience=2),
        BallastCallback("run", ["a", "b"], validation=(x[::-1].copy(), subjects), train=(x, subjects))])
assert sum("their order, their preprocessing" in str(w.message) for w in caught) == 1, caught
`

func TestRecordingFromKeras(t *testing.T) {
	interpreter, folder := python(t, "keras", "torch", "numpy"), t.TempDir()
	if testing.Short() {
		t.Skip("trains with another library")
	}
	if _, err := runPython(t, interpreter, folder, []string{guides}, "-c", kerasChecks); err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(filepath.Join(folder, "run"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Status != run.Stopped || r.Header.Planned != 20 || len(r.Epochs) >= 20 {
		t.Errorf("%d of %d epochs, %s", len(r.Epochs), r.Header.Planned, r.Header.Status)
	}
	first := r.Epochs[0]
	if first.Objective == nil || !(*first.Objective > first.Evaluation(run.Logged, run.Train).Loss) {
		t.Errorf("objective %v, loss %v", first.Objective, first.Evaluation(run.Logged, run.Train).Loss)
	}
	if first.Evaluation(run.Averaged, run.Validation) == nil || first.Evaluation(run.Recalibrated, run.Validation) != nil {
		t.Error("a network without batch norm has an averaged view and no recalibrated one")
	}
}
