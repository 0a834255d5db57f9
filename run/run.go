// Package run is a training run on disk: what was trained on whom, its curves,
// and every subject's predicted probabilities after every epoch.
//
// It imports nothing from the module, so that a run of ballast and a log of
// another trainer open alike. The format is described in docs/format/run.md,
// the logs that OpenLog reads in docs/logs.md.
package run

// Format is the version of the run format that this package writes.
const Format = 1

// Files of a run, as slash-separated names inside its folder.
const (
	HeaderFile          = "run.json"
	PlanFile            = "plan.yaml"
	EpochsFile          = "epochs.jsonl"
	TestFile            = "test.json"
	CheckpointFile      = "checkpoint.safetensors"       // all that training goes on from
	LastWeightsFile     = "weights/last.safetensors"     // after the last recorded epoch
	BestWeightsFile     = "weights/best.safetensors"     // after the epoch with the best validation result
	AveragedWeightsFile = "weights/averaged.safetensors" // average of the weights
)

// The status of a run.
const (
	Running     = "running"     // training is under way, or was killed
	Complete    = "complete"    // all planned epochs are recorded
	Stopped     = "stopped"     // ended before the last planned epoch by a rule of its own plan
	Interrupted = "interrupted" // stopped on request; all that is recorded is valid
)

// The sets of subjects that every run of ballast knows. A run may record more
// (for instance "fresh": subjects a phantom made to measure the truth).
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
)

// A view is one way to evaluate the same weights. Each lower rung switches off
// one more source of fluctuation.
const (
	Logged        = "logged"        // as a user's training loop prints it
	Deterministic = "deterministic" // whole fixed set, no augmentation, no dropout
	Recalibrated  = "recalibrated"  // batch-norm statistics recomputed on training images at these weights
	Averaged      = "averaged"      // average of the weights over steps or epochs, statistics recomputed
)

// A Run is a run read into memory.
type Run struct {
	Header Header
	Plan   []byte       // plan.yaml as stored; nil when there is none
	Epochs []Epoch      // in order, Epochs[0].Epoch = 1
	Test   []Evaluation // test.json: the finished network on the set "test"; nil when there is none
	Notes  []string     // what the reader had to repair or leave out, one line each

	Fingerprint *Fingerprint // fingerprint.json; nil when there is none
	Probes      *Probes      // probes.json; nil when no experiment was made
}

// A Header says what was trained on whom (run.json).
type Header struct {
	Format  int                  `json:"format"`
	Creator string               `json:"creator"` // program and version that wrote the run
	Status  string               `json:"status"`
	Planned int                  `json:"epochs_planned"` // 0 when unknown
	Classes []string             `json:"classes"`
	Sets    map[string][]Subject `json:"sets"` // by name of the set, in the order of the probabilities
}

// A Subject of a set.
type Subject struct {
	ID     string `json:"id"`
	Class  int    `json:"class"`          // index into Header.Classes
	Site   string `json:"site,omitempty"` // empty when unknown
	Images int    `json:"images"`         // 0 when unknown
}

// An Epoch is one line of epochs.jsonl.
type Epoch struct {
	Epoch        int   `json:"epoch"`         // from 1
	Step         int   `json:"step"`          // optimiser steps taken so far
	LearningRate Float `json:"learning_rate"` // at the end of the epoch
	GradientNorm Float `json:"gradient_norm"` // Euclidean norm over all parameters, mean over the steps of the epoch
	// Objective is what training lessened, mean over the images of the epoch; nil
	// where that is the cross-entropy itself, the logged training loss.
	Objective   *Float       `json:"objective,omitempty"`
	Health      *Health      `json:"health,omitempty"` // nil when not watched
	Evaluations []Evaluation `json:"evaluations"`
}

// An Evaluation is one view of one set after an epoch. For the set "train" the
// view "logged" is the running mean over the epoch's mini-batches while the
// weights changed.
type Evaluation struct {
	View     string `json:"view"`
	Set      string `json:"set"`
	Loss     Float  `json:"loss"`     // mean cross-entropy in nats
	Accuracy Float  `json:"accuracy"` // share of subjects (for train/logged: images) classified correctly
	// Probabilities[i][c] is the probability of class c for subject i of the
	// set; nil where the view left subject i out (a random subset). The whole
	// slice is nil when per-subject predictions were not recorded.
	Probabilities []Row `json:"probabilities,omitempty"`
}

// A Row is one subject's probability of each class; nil when not evaluated.
// Values that are not finite survive JSON as in Float.
type Row []float32

// Class is the most probable class, the first of equals; -1, which is never right,
// where a probability is not a number.
func (r Row) Class() int {
	best := 0
	for class, p := range r {
		if p != p {
			return -1
		}
		if p > r[best] {
			best = class
		}
	}
	return best
}

// Evaluation returns the evaluation of a view on a set, or nil.
func (e *Epoch) Evaluation(view, set string) *Evaluation {
	for i := range e.Evaluations {
		if e.Evaluations[i].View == view && e.Evaluations[i].Set == set {
			return &e.Evaluations[i]
		}
	}
	return nil
}
