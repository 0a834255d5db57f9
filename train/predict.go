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
)

// A Predictor applies the weights of a run to images, prepared exactly as the
// run's own.
type Predictor struct {
	Classes []string
	Config  prep.Config
	Cache   *prep.Cache // of prepared images; nil: none
	Volume  int         // that the run uses of 4D files; cohort.Unchosen: none
	net     *net.Net
	pool    *kernel.Pool
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
	file, known := weightsFile[weights]
	if !known {
		return nil, fmt.Errorf("predict with %s: there are no %q weights; choose %s, %s or %s", dir, weights, LastWeights, BestWeights, AveragedWeights)
	}
	tensors, err := readWeights(filepath.Join(dir, filepath.FromSlash(file)))
	if err != nil {
		return nil, err
	}
	pool := kernel.NewPool(threads)
	network, err := net.Build(plan.netConfig(len(r.Header.Classes)), plan.Seed, pool)
	if err == nil {
		err = network.LoadState(tensors)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("load the %s weights of %s: %w", weights, dir, err)
	}
	predictor := &Predictor{Classes: r.Header.Classes, Config: config, Volume: cohort.Unchosen, net: network, pool: pool}
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
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	tensors, _, err := net.ReadSafetensors(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read weights %s: %w", path, err)
	}
	return tensors, nil
}

// Close ends the predictor's workers.
func (p *Predictor) Close() { p.pool.Close() }

// Predict returns the probability of each class for one subject: the mean over
// its images, of which there must be one.
func (p *Predictor) Predict(images ...cohort.Image) (run.Row, error) {
	if len(images) == 0 {
		return nil, errors.New("predict: a subject without images")
	}
	set := &Set{Subjects: []run.Subject{{}}}
	pool := newPooling(set, len(p.Classes))
	for _, image := range images {
		all, err := p.Cache.Images(image, p.Config)
		if err != nil {
			return nil, err
		}
		for _, prepared := range all {
			set.Samples = append(set.Samples, Sample{Image: prepared})
			batch := net.Batch{N: 1, C: prepared.C, D: prepared.D, H: prepared.H, W: prepared.W, Data: prepared.Data}
			pool.add([]int{len(set.Samples) - 1}, p.net.Forward(&batch, net.Inference, 0))
		}
	}
	return pool.evaluation(run.Deterministic).Probabilities[0], nil
}
