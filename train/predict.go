package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	return &Predictor{Classes: r.Header.Classes, Config: plan.PrepConfig(), net: network, pool: pool}, nil
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
	for i, image := range images {
		prepared, err := prep.Load(image, p.Config)
		if err != nil {
			return nil, err
		}
		set.Samples = append(set.Samples, Sample{Image: prepared})
		batch := net.Batch{N: 1, C: prepared.C, D: prepared.D, H: prepared.H, W: prepared.W, Data: prepared.Data}
		pool.add([]int{i}, p.net.Forward(&batch, net.Inference, 0))
	}
	return pool.evaluation(run.Deterministic).Probabilities[0], nil
}
