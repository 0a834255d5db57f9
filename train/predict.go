package train

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"ballast/cohort"
	"ballast/kernel"
	"ballast/net"
	"ballast/prep"
	"ballast/run"
	"ballast/stat"
)

// ErrNoDropout is returned for samples of a network without dropout.
var ErrNoDropout = errors.New("the network has no dropout")

// A Predictor applies the weights of a run to images, prepared exactly as the
// run's own.
type Predictor struct {
	Dir     string // of the run
	Run     *run.Run
	Plan    Plan   // of the run
	Weights string // LastWeights, BestWeights or AveragedWeights
	Classes []string
	Config  prep.Config
	Cache   *prep.Cache // of prepared images; nil: none
	Volume  int         // that the run uses of 4D files; cohort.Unchosen: none

	Covariates *Covariates // how the run encodes those of a subject; nil: it uses none

	net  *net.Net
	pool *kernel.Pool
}

// NewPredictor loads one of the weights of a run (LastWeights, BestWeights,
// AveragedWeights). The caller closes it.
func NewPredictor(dir, weights string, threads int) (*Predictor, error) {
	r, err := run.Open(dir)
	if err != nil {
		return nil, err
	}
	if r.Plan == nil {
		return nil, fmt.Errorf("predict with %s: the run has no plan.yaml; only runs trained by ballast can predict", dir)
	}
	plan, err := ReadPlan(r.Plan)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, "plan.yaml"), err)
	}
	config, err := prepConfig(dir, &plan)
	if err != nil {
		return nil, fmt.Errorf("predict with %s: %w", dir, err)
	}
	covariates, err := readRunCovariates(dir, &plan)
	if err != nil {
		return nil, fmt.Errorf("predict with %s: %w", dir, err)
	}
	file, known := weightsFile[weights]
	if !known {
		return nil, fmt.Errorf("predict with %s: there are no %q weights; choose %s, %s or %s", dir, weights, LastWeights, BestWeights, AveragedWeights)
	}
	tensors, err := readWeights(filepath.Join(dir, filepath.FromSlash(file)))
	if err != nil {
		return nil, err
	}
	pool := kernel.NewPool(threads)
	network, err := net.Build(plan.netConfig(len(r.Header.Classes), covariates.Width()), plan.Seed, pool)
	if err == nil {
		err = network.LoadState(tensors)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("load the %s weights of %s: %w", weights, dir, err)
	}
	predictor := &Predictor{
		Dir: dir, Run: r, Plan: plan, Weights: weights, Classes: r.Header.Classes,
		Config: config, Volume: cohort.Unchosen, Covariates: covariates, net: network, pool: pool,
	}
	if volume, err := strconv.Atoi(plan.Data.Volume); err == nil {
		predictor.Volume = volume
	}
	return predictor, nil
}

// prepConfig is the preprocessing of a run: that of its plan with what was fitted
// on its training images.
func prepConfig(dir string, plan *Plan) (prep.Config, error) {
	config := plan.PrepConfig()
	if config.Standardise == "none" {
		return config, nil
	}
	path := filepath.Join(dir, PrepFile)
	text, err := readLimited(path, maxPrepFile)
	if err != nil {
		return config, fmt.Errorf("the plan standardises histograms: %w", err)
	}
	if config.Fitted, err = prep.ReadFitted(text); err != nil {
		return config, fmt.Errorf("read %s: %w", path, err)
	}
	if err := config.Check(); err != nil {
		return config, fmt.Errorf("read %s: %w", path, err)
	}
	return config, nil
}

// maxPrepFile is the largest prep.json that is read, in bytes.
const maxPrepFile = 1 << 20

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("read %s: it has more than %d bytes", path, limit)
	}
	return text, err
}

func readWeights(path string) ([]net.Tensor, error) {
	tensors, skipped, _, err := readSafetensors(path)
	if err == nil && len(skipped) > 0 {
		err = fmt.Errorf("read weights %s: %s holds %s, not numbers of a network", path, skipped[0].Name, skipped[0].DType)
	}
	return tensors, err
}

// Close ends the predictor's workers.
func (p *Predictor) Close() { p.pool.Close() }

// Predict returns the probability of each class for one subject: from all its
// images, of which there must be one, the mean over them or what attention makes of
// them; and from its covariates, where the run uses some. An entry that
// subject.Covariates lacks is a missing value.
func (p *Predictor) Predict(subject cohort.Subject) (run.Row, error) {
	prepared, err := p.prepare(subject)
	if err != nil {
		return nil, err
	}
	return p.forward(prepared, net.Inference, 0), nil
}

// Sample returns predictions for one subject with dropout left on, batch norm
// with its running statistics. Each is that of one thinned network, which is the
// same for all images of the subject, drawn from the stream "monte-carlo/ID" of
// the run's seed and the sample's number: so they approximate draws from the
// posterior over networks. Their mean is the prediction; how they differ says
// how sure it is (stat.MutualInformation). It returns ErrNoDropout for a network
// without dropout, whose samples would all be the same.
// Gal and Ghahramani, "Dropout as a Bayesian approximation" (ICML 2016).
func (p *Predictor) Sample(subject cohort.Subject, samples int) ([]run.Row, error) {
	if !p.Plan.hasDropout() {
		return nil, fmt.Errorf("sample predictions: %w; train with --set net.dropout=0.3 or another share, or use an ensemble", ErrNoDropout)
	}
	prepared, err := p.prepare(subject)
	if err != nil {
		return nil, err
	}
	rows := make([]run.Row, samples)
	for n := range rows {
		rows[n] = p.forward(prepared, net.Sampling, stat.NewStream(p.Plan.Seed, "monte-carlo/"+subject.ID, uint64(n)).Uint64())
	}
	return rows, nil
}

// HasDropout says whether there is dropout to sample with.
func (p *Predictor) HasDropout() bool { return p.Plan.hasDropout() }

func (p *Plan) hasDropout() bool {
	return p.Net.Dropout > 0 || p.Net.BlockDropout > 0 || p.Net.SpatialDropout > 0
}

// prepared is what the network sees of a subject.
type prepared struct {
	images     []*prep.Image // all slices of all visits
	covariates []float32     // encoded
}

func (p *Predictor) prepare(subject cohort.Subject) (prepared, error) {
	var s prepared
	var err error
	if s.covariates, err = p.Covariates.Encode(subject.Covariates); err != nil {
		return s, fmt.Errorf("predict: subject %s: %w", subject.ID, err)
	}
	for _, image := range subject.Images {
		all, err := p.Cache.Images(image, p.Config)
		if err != nil {
			return s, err
		}
		s.images = append(s.images, all...)
	}
	if len(s.images) == 0 {
		return s, errors.New("predict: a subject without images")
	}
	return s, nil
}

// forward sends the images of a subject through the network, one after another,
// so that its prediction does not depend on how many there are.
func (p *Predictor) forward(s prepared, mode net.Mode, seed uint64) run.Row {
	pool := newPooling(&Set{Subjects: []run.Subject{{}}}, len(p.Classes))
	if p.Plan.attends() {
		pool.addSubjects([]int{0}, attend(p.net, s.images, s.covariates, mode, seed))
	} else {
		for _, image := range s.images {
			batch := net.Batch{N: 1, C: image.C, D: image.D, H: image.H, W: image.W, Data: image.Data, Covariates: s.covariates}
			pool.addSubjects([]int{0}, p.net.Forward(&batch, mode, seed))
		}
	}
	return pool.evaluation(run.Deterministic).Probabilities[0]
}

// Recorded returns what the run recorded of a set with the weights that predict:
// for the last weights the last epoch's deterministic view, for the best that of
// the epoch they are from, for the averaged ones the view of that name. It is nil
// where the run did not record it.
func (p *Predictor) Recorded(set string) *run.Evaluation {
	epochs := p.Run.Epochs
	switch {
	case len(epochs) == 0:
		return nil
	case p.Weights == BestWeights:
		if best := p.Plan.BestEpoch(epochs); best >= 0 {
			return p.clean(&epochs[best], set)
		}
		return nil
	case p.Weights == AveragedWeights:
		for n := range epochs {
			if e := epochs[len(epochs)-1-n].Evaluation(run.Averaged, set); e != nil {
				return e
			}
		}
		return nil
	}
	return p.clean(&epochs[len(epochs)-1], set)
}

// clean is the clean view of the weights that an epoch left, which is the logged
// one unless the plan validates with a mistake.
func (p *Predictor) clean(e *run.Epoch, set string) *run.Evaluation {
	if view := e.Evaluation(p.Plan.FinalView(), set); view != nil {
		return view
	}
	if p.Plan.Validation.clean() && set != run.Train {
		return e.Evaluation(run.Logged, set)
	}
	return nil
}
