package train

import (
	"context"
	"math"
	"slices"

	"ballast/net"
	"ballast/prep"
	"ballast/run"
	"ballast/stat"
)

// work is that of the whole run, in images passed forward once; a training step
// counts three times.
func (t *trainer) work() float64 {
	p, training, watched := t.plan, len(t.images.Train.Samples), 0 // images
	for _, set := range t.watched() {
		watched += len(set.Samples)
	}
	calibration := t.calibrationImages
	epoch, all := 3*t.trainingImages()+watched, training+calibration+watched // the latter for deterministic and averaged
	if p.logsAveraged() {
		epoch, all = epoch+calibration, all-calibration
	}
	if !p.Validation.clean() {
		epoch += int(p.Validation.Fraction * float64(watched))
	}
	if t.recalibrates() {
		epoch += calibration
	} else if t.net.HasBatchNorm() {
		all += calibration + watched
	}
	work := p.Epochs*epoch + len(t.images.Test.Samples)
	if p.Views.Every > 0 {
		work += p.Epochs / p.Views.Every * all
	}
	if p.logsAveraged() || t.allViews(p.Epochs) {
		work += len(t.images.Test.Samples)
	}
	return float64(work)
}

// watched is the sets that are evaluated after every epoch, besides training.
func (t *trainer) watched() []*Set {
	sets := []*Set{&t.images.Validation}
	for i := range t.images.More {
		sets = append(sets, &t.images.More[i])
	}
	return sets
}

// views evaluates the weights as they are now in every way the plan asks for.
func (t *trainer) views(ctx context.Context, epoch int) ([]run.Evaluation, error) {
	var calibration run.Evaluation
	if t.recalibrates() {
		var err error
		if calibration, err = t.freshStatistics(ctx, run.Recalibrated); err != nil {
			return nil, err
		}
	}
	var clean, averaged, all []run.Evaluation
	var err error
	if t.plan.logsAveraged() {
		averaged, all, err = t.loggedAveraged(ctx, epoch)
	} else if clean, err = t.watch(ctx, run.Deterministic); err == nil {
		all, err = t.logged(ctx, epoch, clean)
	}
	if err != nil || !t.allViews(epoch) {
		return all, err
	}
	if clean == nil {
		if clean, err = t.watch(ctx, run.Deterministic); err != nil {
			return nil, err
		}
	}
	training, err := t.evaluate(ctx, run.Deterministic, &t.images.Train)
	if err != nil {
		return nil, err
	}
	if !t.net.HasBatchNorm() {
		calibration = training
	}
	recalibrated, err := t.recalibrated(ctx, calibration, clean)
	if err != nil {
		return nil, err
	}
	if averaged == nil {
		averaged, err = t.withAveraged(func() ([]run.Evaluation, error) { return t.withFreshStatistics(ctx, run.Averaged) })
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(all, []run.Evaluation{training}, clean, recalibrated, averaged), nil
}

// loggedAveraged evaluates the averaged weights, with their batch-norm statistics
// recomputed: cleanly, in the view "averaged", and as logged.
func (t *trainer) loggedAveraged(ctx context.Context, epoch int) (averaged, logged []run.Evaluation, err error) {
	averaged, err = t.withAveraged(func() ([]run.Evaluation, error) {
		averaged, err := t.withFreshStatistics(ctx, run.Averaged)
		if err == nil {
			logged, err = t.logged(ctx, epoch, averaged[1:])
		}
		return averaged, err
	})
	return averaged, logged, err
}

// watch evaluates every watched set.
func (t *trainer) watch(ctx context.Context, view string) ([]run.Evaluation, error) {
	var all []run.Evaluation
	for _, set := range t.watched() {
		evaluation, err := t.evaluate(ctx, view, set)
		if err != nil {
			return nil, err
		}
		all = append(all, evaluation)
	}
	return all, nil
}

// withAveraged evaluates while the network holds the averaged weights.
func (t *trainer) withAveraged(evaluate func() ([]run.Evaluation, error)) ([]run.Evaluation, error) {
	t.net.SwapWeights(t.averaged)
	defer t.net.SwapWeights(t.averaged)
	return evaluate()
}

// allViews reports whether the plan wants every view after this epoch.
func (t *trainer) allViews(epoch int) bool {
	return t.plan.Views.Every > 0 && epoch%t.plan.Views.Every == 0
}

// recalibrates reports whether an epoch ends with new batch-norm statistics.
func (t *trainer) recalibrates() bool {
	return t.plan.Validation.Recalibrate && t.net.HasBatchNorm()
}

// logged evaluates the watched sets as the user's own loop would; clean is their
// clean evaluation with the same weights.
func (t *trainer) logged(ctx context.Context, epoch int, clean []run.Evaluation) ([]run.Evaluation, error) {
	var all []run.Evaluation
	for i, set := range t.watched() {
		logged, err := t.loggedSet(ctx, set, epoch, clean[i])
		if err != nil {
			return nil, err
		}
		all = append(all, logged)
	}
	return all, nil
}

// loggedSet evaluates cleanly, or with the mistakes that the plan asks for.
func (t *trainer) loggedSet(ctx context.Context, set *Set, epoch int, clean run.Evaluation) (run.Evaluation, error) {
	if t.plan.Validation.clean() {
		clean.View = run.Logged
		return clean, nil
	}
	return t.run(ctx, run.Logged, t.loggedPass(set, epoch))
}

// loggedPass is the evaluation of a set after an epoch as the plan asks for it.
func (t *trainer) loggedPass(set *Set, epoch int) pass {
	v := t.plan.Validation
	pass := pass{set: set, mode: net.Inference, include: t.subset(set, epoch)}
	if v.Dropout {
		pass.mode = net.Sampling
		pass.dropout = func(batch int) uint64 {
			return stat.NewStream(t.plan.Seed, "validation-dropout/"+set.Name, uint64(epoch), uint64(batch)).Uint64()
		}
	}
	if v.Augment {
		pass.draw = func(_, sample int) prep.Draw {
			return t.augment.Draw(stat.NewStream(t.plan.Seed, "validation-augment/"+set.Name, uint64(sample), uint64(epoch)))
		}
	}
	return pass
}

// subset draws the validation subjects of an epoch; nil means all of them.
func (t *trainer) subset(set *Set, epoch int) []bool {
	if t.plan.Validation.Fraction == 1 {
		return nil
	}
	n := len(set.Subjects)
	keep := max(1, int(math.Round(t.plan.Validation.Fraction*float64(n))))
	chosen := make([]bool, n)
	for _, i := range stat.NewStream(t.plan.Seed, "validation-subset/"+set.Name, uint64(epoch)).Perm(n)[:keep] {
		chosen[i] = true
	}
	return chosen
}

// recalibrated evaluates with batch-norm statistics recomputed at the present
// weights and puts the running ones back. Where that changes nothing, without
// batch norm or because the epoch ended with it, the given evaluations stand.
func (t *trainer) recalibrated(ctx context.Context, calibration run.Evaluation, clean []run.Evaluation) ([]run.Evaluation, error) {
	if t.net.HasBatchNorm() && !t.recalibrates() {
		running := t.net.Statistics()
		defer t.net.SetStatistics(running)
		return t.withFreshStatistics(ctx, run.Recalibrated)
	}
	all := slices.Concat([]run.Evaluation{calibration}, clean)
	for i := range all {
		all[i].View = run.Recalibrated
	}
	return all, nil
}

// freshStatistics recomputes the batch-norm statistics from training images
// (torch.optim.swa_utils.update_bn). The pass over them, in which each batch is
// normalised by its own statistics, also gives the predictions on training
// subjects.
func (t *trainer) freshStatistics(ctx context.Context, view string) (run.Evaluation, error) {
	p := pass{set: &t.images.Train, units: t.calibration, bag: t.bags(0, nil), mode: net.Inference}
	if !t.net.HasBatchNorm() {
		return t.run(ctx, view, p)
	}
	p.mode = net.Recalibration
	t.net.BeginRecalibration()
	defer t.net.EndRecalibration()
	return t.run(ctx, view, p)
}

// withFreshStatistics recomputes the statistics and evaluates the watched sets.
func (t *trainer) withFreshStatistics(ctx context.Context, view string) ([]run.Evaluation, error) {
	training, err := t.freshStatistics(ctx, view)
	if err != nil {
		return nil, err
	}
	watched, err := t.watch(ctx, view)
	return slices.Concat([]run.Evaluation{training}, watched), err
}

func (t *trainer) evaluate(ctx context.Context, view string, set *Set) (run.Evaluation, error) {
	return t.run(ctx, view, pass{set: set, mode: net.Inference})
}

// A pass sends images of one set through a network.
type pass struct {
	set     *Set
	units   []int   // in this order; nil: all images
	bag     bagging // the images of units that are subjects
	include []bool  // by subject; nil: all
	mode    net.Mode
	draw    drawing                // nil: images as they are
	dropout func(batch int) uint64 // nil: none
	size    int                    // of a batch, as in source
	alter   Alteration             // nil: none
	each    func()                 // called after each batch; nil: not
}

// run makes a pass and pools the images of each subject.
func (t *trainer) run(ctx context.Context, view string, p pass) (run.Evaluation, error) {
	pool := newPooling(p.set, len(t.images.Classes))
	classify := t.classify(&p, pool)
	err := t.feed(source{p.set, p.chosen(), p.bag, p.draw, p.size, p.alter}, func(number int, units []int) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		var seed uint64
		if p.dropout != nil {
			seed = p.dropout(number)
		}
		classify(units, seed)
		if p.each != nil {
			p.each()
		}
		t.advance(t.batch.N)
		return nil
	})
	if err != nil {
		return run.Evaluation{}, err
	}
	return pool.evaluation(view), nil
}

func (p *pass) chosen() []int {
	if p.units != nil {
		return p.units
	}
	var samples []int
	for i, sample := range p.set.Samples {
		if p.include == nil || p.include[sample.Subject] {
			samples = append(samples, i)
		}
	}
	return samples
}

// pooling collects the predictions for the images of each subject. A subject's
// probability is the mean over its images. What attention predicts, for a subject
// as a whole, counts as one image.
type pooling struct {
	set     *Set
	classes int
	sum     []float64   // by subject and class
	images  []int       // seen, by subject
	truth   [][]float64 // log-probability of the true class for each image, by subject
}

func newPooling(set *Set, classes int) *pooling {
	n := len(set.Subjects)
	return &pooling{set, classes, make([]float64, n*classes), make([]int, n), make([][]float64, n)}
}

func (p *pooling) add(indices []int, logits []float32) {
	subjects := make([]int, len(indices))
	for i, index := range indices {
		subjects[i] = p.set.Samples[index].Subject
	}
	p.addSubjects(subjects, logits)
}

// addSubjects adds predictions, each for the subject at its place.
func (p *pooling) addSubjects(subjects []int, logits []float32) {
	logarithms := make([]float64, p.classes)
	for i, subject := range subjects {
		logSoftmax(logits[i*p.classes:(i+1)*p.classes], logarithms)
		for class, l := range logarithms {
			p.sum[subject*p.classes+class] += stat.Exp(l)
		}
		p.images[subject]++
		p.truth[subject] = append(p.truth[subject], logarithms[p.set.Subjects[subject].Class])
	}
}

func (p *pooling) evaluation(view string) run.Evaluation {
	e := run.Evaluation{View: view, Set: p.set.Name, Probabilities: make([]run.Row, len(p.images))}
	var loss float64
	var correct, seen int
	for subject, images := range p.images {
		if images == 0 {
			continue
		}
		row := make(run.Row, p.classes)
		for class := range row {
			row[class] = float32(p.sum[subject*p.classes+class] / float64(images))
		}
		e.Probabilities[subject] = row
		seen++
		loss -= logMean(p.truth[subject])
		if row.Class() == p.set.Subjects[subject].Class {
			correct++
		}
	}
	e.Loss = run.Float(loss / float64(seen))
	e.Accuracy = run.Float(float64(correct) / float64(seen))
	return e
}

// logSoftmax puts the logarithm of the softmax of the logits into out.
func logSoftmax(logits []float32, out []float64) {
	top := float64(logits[0])
	for _, l := range logits {
		if float64(l) > top || l != l {
			top = float64(l)
		}
	}
	var sum float64
	for _, l := range logits {
		sum += stat.Exp(float64(l) - top)
	}
	shift := top + stat.Log(sum)
	for i, l := range logits {
		out[i] = float64(l) - shift
	}
}

// logMean is the logarithm of the mean of numbers given by their logarithms.
func logMean(logarithms []float64) float64 {
	top := math.Inf(-1)
	for _, l := range logarithms {
		top = math.Max(top, l)
	}
	if math.IsInf(top, -1) || math.IsNaN(top) {
		return top
	}
	var sum float64
	for _, l := range logarithms {
		sum += stat.Exp(l - top)
	}
	return top + stat.Log(sum/float64(len(logarithms)))
}
