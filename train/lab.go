package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"ballast/net"
	"ballast/run"
	"ballast/stat"
)

// ErrNoWeights is wrapped where a run has left no weights to experiment with.
var ErrNoWeights = errors.New("the run lacks the weights of its last epoch")

// A State is what training left after its last epoch.
type State struct {
	Epoch    int          // after which the weights are
	Last     []net.Tensor // those that the logged validation curve evaluates
	Current  []net.Tensor // those that training goes on from; Last unless the plan validates on averaged weights
	Averaged []net.Tensor // the mean of Current over steps, batch-norm statistics not recomputed; nil without a checkpoint

	checkpoint *checkpoint // nil where the run has none
}

// ReadState reads the weights of a run in a folder; the error wraps ErrNoWeights
// where there are none.
func ReadState(dir string, r *run.Run) (*State, error) {
	file := filepath.Join(dir, filepath.FromSlash(weightsFile[LastWeights]))
	last, _, metadata, err := readSafetensors(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(r.Epochs) == 0 {
		return nil, fmt.Errorf("read %s: %w: %s is missing or no epoch is recorded", dir, ErrNoWeights, file)
	}
	if err != nil {
		return nil, err
	}
	if step := r.Epochs[len(r.Epochs)-1].Step; metadata["step"] != strconv.Itoa(step) {
		return nil, fmt.Errorf("read %s: %w: that epoch ended with step %d, and %s is of step %q: training was killed between the two; ballast resume %s mends it",
			dir, ErrNoWeights, step, file, metadata["step"], dir)
	}
	s := &State{Epoch: len(r.Epochs), Last: last, Current: last}
	c, err := readCheckpoint(dir)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	if c != nil && c.epoch == s.Epoch {
		s.Current, s.Averaged, s.checkpoint = c.weights, c.averaged, c
	}
	return s, nil
}

// A Lab is a network on the images of a run, for experiments with its weights
// after training. It is used by one goroutine.
type Lab struct{ t *trainer }

// NewLab returns a lab for a resolved plan, whose network holds its initial
// weights. worked, which may be nil, is told of work done, in images passed
// forward once. The caller closes the lab.
func NewLab(p Plan, images *Images, threads int, worked func(images int)) (*Lab, error) {
	t, err := newTrainer(p, images, Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	t.worked = worked
	return &Lab{t}, nil
}

// Close ends the workers of the lab.
func (l *Lab) Close() { l.t.pool.Close() }

// Check says whether the images of the lab are those that a state was trained on;
// the error wraps ErrMismatch. A state without a checkpoint is not checked.
func (l *Lab) Check(s *State) error {
	if s.checkpoint != nil && s.checkpoint.origin.images != l.t.origin().images {
		return fmt.Errorf("%w: the prepared images or the covariates have other values: the cohort's files, or the program that prepares them, were changed", ErrMismatch)
	}
	return nil
}

// Vouch makes a state one of the lab's images whatever it was trained beside: for
// experiments with fewer validation subjects than training evaluated, which it does
// not depend on.
func (l *Lab) Vouch(s *State) {
	if s.checkpoint != nil {
		s.checkpoint.origin.images = l.t.origin().images
	}
}

// Load sets weights and batch-norm statistics; the error wraps net.ErrState.
func (l *Lab) Load(weights []net.Tensor) error { return l.t.net.LoadState(weights) }

// HasBatchNorm says whether the network has batch-norm layers.
func (l *Lab) HasBatchNorm() bool { return l.t.net.HasBatchNorm() }

// InParallel calls f for 0 to n-1 on the workers of the lab.
func (l *Lab) InParallel(n int, f func(i int)) { l.t.pool.Run(n, f) }

// CalibrationImages is the number of images that batch-norm statistics are
// recomputed from; see Views.Images.
func (l *Lab) CalibrationImages() int { return l.t.calibrationImages }

// Units is the number of training units: images, or subjects where the network
// pools by attention.
func (l *Lab) Units() int { return l.t.units() }

// TrainingImages is the number of images of an epoch in which every unit comes once.
func (l *Lab) TrainingImages() int { return l.t.trainingImages() }

// A Look is a way to evaluate a set.
type Look struct {
	// Batch normalises by the statistics of the batch in place of the running ones.
	// The images are then sent in an order that mixes the subjects. Where the network
	// pools by attention, of a subject with more than MaxBag images as many are drawn.
	Batch bool
	// Alter changes the images first; nil: it does not.
	Alter Alteration
}

// Evaluate predicts every subject of a set without dropout or augmentation.
func (l *Lab) Evaluate(ctx context.Context, set *Set, look Look) (run.Evaluation, error) {
	p := pass{set: set, mode: net.Inference, alter: look.Alter}
	if look.Batch {
		p.mode = net.Recalibration
		p.units = stat.NewStream(l.t.plan.Seed, "lab/"+set.Name).Perm(len(l.t.plan.unitClasses(set)))
		p.bag = l.t.bagsOf(set, "lab/bag/"+set.Name, 0, nil)
		l.t.net.BeginRecalibration()
	}
	return l.t.run(ctx, run.Deterministic, p)
}

// Logged evaluates a set as the plan asks for it after every epoch, with the
// random draws of an epoch of that number.
func (l *Lab) Logged(ctx context.Context, set *Set, epoch int) (run.Evaluation, error) {
	return l.t.run(ctx, run.Logged, l.t.loggedPass(set, epoch))
}

// Recalibrate recomputes the batch-norm statistics from training images in
// batches of that many training units (0: those of the plan), as the view
// "recalibrated" does, and returns the predictions of the training subjects,
// each batch normalised by its own statistics.
func (l *Lab) Recalibrate(ctx context.Context, size int) (run.Evaluation, error) {
	l.t.net.BeginRecalibration()
	defer l.t.net.EndRecalibration()
	return l.t.run(ctx, run.Recalibrated, l.calibration(size))
}

func (l *Lab) calibration(size int) pass {
	return pass{set: &l.t.images.Train, units: l.t.calibration, bag: l.t.bags(0, nil), mode: net.Recalibration, size: size}
}

// RunStatistics moves the running batch-norm statistics by one pass over training
// images at fixed weights, as an epoch at a learning rate of 0 would with that
// momentum:
//
//	running = (1 - momentum) running + momentum batch
func (l *Lab) RunStatistics(ctx context.Context, momentum float64) error {
	n := l.t.net
	running := n.Statistics()
	p := l.calibration(0)
	n.BeginRecalibration()
	p.each = func() {
		n.EndRecalibration() // after one batch: its own statistics
		batch := n.Statistics()
		for layer := range running.Mean {
			towards(running.Mean[layer], batch.Mean[layer], momentum)
			towards(running.Variance[layer], batch.Variance[layer], momentum)
		}
		n.BeginRecalibration()
	}
	_, err := l.t.run(ctx, run.Recalibrated, p)
	n.SetStatistics(running)
	return err
}

// towards moves running statistics towards those of a batch.
func towards(running, batch []float32, momentum float64) {
	for c := range running {
		running[c] = float32(float64((1-momentum)*float64(running[c])) + float64(momentum*float64(batch[c])))
	}
}

// Gradient returns the mean over training units of what training lessens and its
// gradient by the weights, in the order of Weights, without augmentation and
// without the part of weight decay. In net.Inference the running batch-norm
// statistics are constants and nothing is dropped; in net.Training every batch,
// of the plan's size, is normalised by its own, and dropout follows the seed. The
// running statistics stay as they are.
func (l *Lab) Gradient(ctx context.Context, units []int, mode net.Mode, dropout uint64) (loss float64, gradient []float64, err error) {
	t := l.t
	if mode == net.Training {
		running := t.net.Statistics()
		defer t.net.SetStatistics(running)
	}
	gradient = make([]float64, l.parameters())
	var sum score
	err = t.feed(source{set: &t.images.Train, units: units, bag: t.bags(0, nil)}, func(batch int, units []int) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		one := t.gradientOf(units, mode, stat.NewStream(dropout, "lab/dropout", uint64(batch)).Uint64())
		sum.add(one)
		l.addGradient(gradient, one.weight)
		t.advance(3 * t.batch.N)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	for i := range gradient {
		gradient[i] /= sum.weight
	}
	return sum.objective / sum.weight, gradient, nil
}

// addGradient adds the parameters' gradients, multiplied by a weight.
func (l *Lab) addGradient(sum []float64, weight float64) {
	at := 0
	for _, param := range l.t.net.Params() {
		for i, g := range param.Grad {
			sum[at+i] += float64(weight * float64(g))
		}
		at += len(param.Grad)
	}
}

// gradientOf leaves the gradient of t.batch in the parameters.
func (t *trainer) gradientOf(units []int, mode net.Mode, dropout uint64) score {
	one := t.forwardOf(units, mode, dropout)
	t.net.Backward(t.gradient)
	return one
}

// forwardOf leaves the gradient of the mean objective of t.batch, by its logits, in
// t.gradient.
func (t *trainer) forwardOf(units []int, mode net.Mode, dropout uint64) score {
	logits := t.net.Forward(&t.batch, mode, dropout)
	t.labels = t.labels[:0]
	for _, unit := range units {
		t.labels = append(t.labels, t.classOf(&t.images.Train, unit))
	}
	t.gradient = resize(t.gradient, len(logits))
	t.predicted = resize(t.predicted, len(logits))
	return t.objective.gradient(logits, t.labels, nil, t.predicted, t.gradient)
}

// parameters is the number of trained weights with their padding.
func (l *Lab) parameters() (count int) {
	for _, param := range l.t.net.Params() {
		count += len(param.Value)
	}
	return count
}

// Weights returns a copy of all trained weights in a row, in the layout of the
// kernels, whose padding is 0. Those of frozen layers are not among them.
func (l *Lab) Weights() []float32 {
	weights := make([]float32, 0, l.parameters())
	for _, param := range l.t.net.Params() {
		weights = append(weights, param.Value...)
	}
	return weights
}

// SetWeights sets what Weights returned.
func (l *Lab) SetWeights(weights []float32) {
	for _, param := range l.t.net.Params() {
		weights = weights[copy(param.Value, weights):]
	}
}

// State returns a copy of the weights and statistics that the lab's network holds.
func (l *Lab) State() []net.Tensor { return l.t.net.State(nil) }
