package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ballast/run"
	"ballast/train"
)

// A trial is one fault planted in one network on one cohort.
type trial struct {
	fault   *fault
	network *network
	cohort  string // phantom, or the name of a real one
	seed    uint64
}

// folder is where the run with n validation subjects lies.
func (t *trial) folder(root string, n int) string {
	return filepath.Join(root, fmt.Sprintf("%s_%s_%s_n%d_s%d", t.cohort, t.fault.name, t.network.name, n, t.seed))
}

// freshFolder is where the same training is recorded with fresh subjects in place of
// those that a run was validated on.
func freshFolder(dir string) string { return dir + freshEnding }

const freshEnding = "_fresh"

// complete reports whether a folder holds a finished run.
func complete(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, truthFile))
	return err == nil
}

// plan is the plan of the trial for the images of a pool.
func (t *trial) plan(p *pool) train.Plan {
	plan := basePlan(t.network, t.seed)
	plan.Prep.Crop, plan.Prep.Grid, plan.Prep.Spacing = p.crop, p.grid, p.spacing
	t.fault.plan(&plan, t.network)
	return plan
}

// missing lists the numbers of validation subjects of which no run is there.
func (t *trial) missing(root string, sizes []int) (missing []int) {
	for _, n := range sizes {
		if !complete(t.folder(root, n)) {
			missing = append(missing, n)
		}
	}
	return missing
}

// make trains what is missing and writes a run for each number of validation
// subjects. Nothing of a training depends on them, so that one training serves
// for all, each of them a part of the largest set, unless the fault says otherwise.
func (t *trial) make(root string, p *pool, sizes []int) error {
	missing := t.missing(root, sizes)
	for len(missing) > 0 {
		together := t.trainedWith(missing[0], sizes)
		if err := t.makeShared(root, p, together); err != nil {
			return err
		}
		missing = slices.DeleteFunc(missing, func(n int) bool { return slices.Contains(together, n) })
	}
	return nil
}

// prepare resolves the plan and plants the fault in images for the largest of some
// numbers of validation subjects.
func (t *trial) prepare(p *pool, sizes []int) (*train.Plan, *train.Images, error) {
	plan := t.plan(p)
	training := baseTrain
	if t.fault.train > 0 {
		training = t.fault.train
	}
	images := p.images(training, slices.Max(sizes))
	return &plan, images, plan.Plant(images)
}

// trainedWith are the numbers of validation subjects that share a training with n.
func (t *trial) trainedWith(n int, sizes []int) []int {
	if t.fault.each {
		return []int{n}
	}
	return sizes
}

func (t *trial) makeShared(root string, p *pool, sizes []int) error {
	plan, images, err := t.prepare(p, sizes)
	if err != nil {
		return err
	}
	record := &recorder{files: map[string][]byte{}}
	err = train.Train(context.Background(), *plan, images, record, train.Options{Threads: 1})
	if err != nil && !errors.Is(err, train.ErrDiverged) {
		return err
	}
	record.header = train.Header(*plan, images, "ballast bench/faults")
	if p.fresh.Samples != nil {
		dir := freshFolder(t.folder(root, slices.Max(sizes)))
		if err := t.write(dir, plan, record, freshSet, len(p.fresh.Subjects)); err != nil {
			return err
		}
	}
	for _, n := range sizes {
		if err := t.write(t.folder(root, n), plan, record, run.Validation, n); err != nil {
			return err
		}
	}
	return nil
}

// A recorder keeps a run in memory.
type recorder struct {
	header run.Header
	epochs []run.Epoch
	files  map[string][]byte
	status string
}

func (r *recorder) Append(e run.Epoch) error { r.epochs = append(r.epochs, e); return nil }

func (r *recorder) WriteFile(name string, data []byte) error {
	r.files[name] = bytes.Clone(data)
	return nil
}

func (r *recorder) WriteFrom(name string, contents func(io.Writer) error) error {
	var b bytes.Buffer
	err := contents(&b)
	r.files[name] = b.Bytes()
	return err
}

func (r *recorder) WriteTest([]run.Evaluation) error { return nil }

func (r *recorder) Finish(status string) error { r.status = status; return nil }

// write stores the run as it would be with n subjects of a set to validate on and
// without the other set.
func (t *trial) write(dir string, plan *train.Plan, r *recorder, from string, n int) error {
	if err := os.RemoveAll(dir); err != nil { // a half-written one
		return err
	}
	chosen := chosenOf(r.header.Sets[from], n)
	header := r.header
	header.Sets = maps.Clone(header.Sets)
	header.Sets[run.Validation] = pick(header.Sets[from], chosen)
	delete(header.Sets, freshSet)
	w, err := run.Create(dir, header, plan.YAML())
	if err != nil {
		return err
	}
	for _, epoch := range r.epochs {
		if err := w.Append(projected(epoch, from, header.Sets[run.Validation], chosen)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		if from == freshSet {
			continue // only the curves are wanted
		}
		data := r.files[name]
		switch name {
		case run.BestWeightsFile:
			continue // the best epoch of other validation subjects
		case run.FingerprintFile:
			if data, err = projectedFingerprint(data, from, chosen); err != nil {
				return err
			}
		}
		if err := w.WriteFile(name, data); err != nil {
			return err
		}
	}
	if err := w.Finish(r.status); err != nil {
		return err
	}
	return t.truth(r, n).write(dir)
}

// chosenOf are the places of n subjects, the classes in proportion, after the fault was
// planted in them; all where there are fewer.
func chosenOf(subjects []run.Subject, n int) []int {
	classes := make([]int, len(subjects))
	for i, subject := range subjects {
		classes[i] = subject.Class
	}
	return shareOf(classes, min(n, len(classes)))
}

func pick[T any](all []T, places []int) []T {
	some := make([]T, len(places))
	for i, place := range places {
		some[i] = all[place]
	}
	return some
}

// projected is an epoch with the evaluations of the chosen subjects of one set in
// place of the validation set.
func projected(e run.Epoch, from string, subjects []run.Subject, chosen []int) run.Epoch {
	var evaluations []run.Evaluation
	for _, v := range e.Evaluations {
		switch v.Set {
		case from:
			v.Set = run.Validation
			if v.Probabilities != nil && len(v.Probabilities) != len(chosen) {
				v.Probabilities = pick(v.Probabilities, chosen)
				v.Loss, v.Accuracy = scored(v.Probabilities, subjects)
			}
		case run.Validation, freshSet:
			continue
		}
		evaluations = append(evaluations, v)
	}
	e.Evaluations = evaluations
	return e
}

// projectedFingerprint is the fingerprint of the sets that are written.
func projectedFingerprint(data []byte, from string, chosen []int) ([]byte, error) {
	var f map[string]json.RawMessage
	var sets map[string][]json.RawMessage
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(f["sets"], &sets); err != nil {
		return nil, err
	}
	sets[run.Validation] = pick(sets[from], chosen)
	delete(sets, freshSet)
	text, err := json.Marshal(sets)
	if err != nil {
		return nil, err
	}
	f["sets"] = text
	return json.Marshal(f)
}
