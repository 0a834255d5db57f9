package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Hugging Face trainer_state.json: log_history is a list of rows; rows of
// training have loss and learning_rate, rows of evaluation eval_loss and
// eval_..., the last row sums up the training and is passed over. Every
// checkpoint folder holds one with the rows so far: that of the highest
// global_step is read.

// mostJSON bounds a JSON file; a trainer_state.json of a million rows is smaller.
const mostJSON = 512 << 20

func isTrainerState(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{")) && bytes.Contains(head, []byte(`"log_history"`))
}

var checkpointFolder = regexp.MustCompile(`^checkpoint-\d+$`)

// trainerStateRun is the output folder of a training.
func trainerStateRun(path string) string {
	folder := filepath.Dir(path)
	if checkpointFolder.MatchString(filepath.Base(folder)) {
		return filepath.Dir(folder)
	}
	return folder
}

// readTrainerStates reads the state of the highest step among files of one run.
func readTrainerStates(paths []string) ([]*loggedRun, string, error) {
	const format = "huggingface"
	var best *loggedRun
	bestStep := int64(-1)
	var failed error
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, format, err
		}
		one, step, err := readTrainerState(f)
		f.Close()
		if err != nil {
			failed = fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		if one != nil && one.count > 0 && step > bestStep {
			best, bestStep = one, step
		}
	}
	if best == nil {
		return nil, format, failed
	}
	if failed != nil {
		best.note("a trainer_state.json is damaged and read as far as it goes: %v", failed)
	}
	if len(paths) > 1 {
		best.note("of %d trainer_state.json the one of step %d is read", len(paths), bestStep)
	}
	return []*loggedRun{best}, format, nil
}

// readTrainerState reads one state and the last step of its rows.
func readTrainerState(r io.Reader) (*loggedRun, int64, error) {
	h := historyReader{decoder: json.NewDecoder(&notFinite{source: io.LimitReader(r, mostJSON)})}
	h.decoder.UseNumber()
	t := trainerState{run: newLoggedRun(""), step: -1}
	err := t.read(&h)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	t.size()
	return t.run, t.step, err
}

type trainerState struct {
	run   *loggedRun
	step  int64
	sizes []size // of the validation set, by each evaluation's speed
}

// A size is a number of samples with the error that rounding leaves it.
type size struct{ count, tolerance float64 }

func (t *trainerState) read(h *historyReader) error {
	if token, err := h.decoder.Token(); err != nil || token != json.Delim('{') {
		return errors.Join(err, errors.New("not an object"))
	}
	for h.decoder.More() {
		key, err := h.decoder.Token()
		if err != nil {
			return err
		}
		if key == "log_history" {
			err = t.rows(h)
		} else {
			err = h.value(nil, 1)
		}
		if err != nil {
			return err
		}
	}
	_, err := h.decoder.Token()
	return err
}

func (t *trainerState) rows(h *historyReader) error {
	if token, err := h.decoder.Token(); err != nil || token != json.Delim('[') {
		return errors.Join(err, errors.New("log_history is not a list"))
	}
	for h.decoder.More() {
		if token, err := h.decoder.Token(); err != nil || token != json.Delim('{') {
			return errors.Join(err, errors.New("log_history holds something other than objects"))
		}
		values := map[string]float64{}
		var order []string
		if err := h.fields("", values, &order, 1); err != nil {
			return err
		}
		t.row(values, order)
	}
	_, err := h.decoder.Token()
	return err
}

func (t *trainerState) row(values map[string]float64, order []string) {
	if _, summary := values["train_runtime"]; summary {
		return
	}
	s := sample{epoch: math.NaN(), step: -1, time: math.NaN()}
	if epoch, ok := values["epoch"]; ok {
		s.epoch = epoch
	}
	if step, ok := values["step"]; ok && step >= 0 && step < math.MaxInt32 {
		s.step = int64(step)
		t.step = max(t.step, s.step)
	}
	for _, name := range order {
		set := trainSet
		if strings.HasPrefix(name, "eval_") || strings.HasPrefix(name, "test_") {
			set = anySet // the name says it
		}
		if name != "epoch" && name != "step" {
			s.value = values[name]
			t.run.add(name, set, s)
		}
	}
	runtime, speed := values["eval_runtime"], values["eval_samples_per_second"]
	if runtime > 0 && speed > 0 {
		// Rounded to four and three decimals, of old versions all digits.
		t.sizes = append(t.sizes, size{runtime * speed, 5e-4*runtime + 5e-5*speed + 1e-6})
	}
}

// size concludes the number of validation samples from the speed of the
// evaluations; all must agree.
func (t *trainerState) size() {
	if len(t.sizes) == 0 {
		return
	}
	count := math.Round(t.sizes[0].count)
	for _, one := range t.sizes {
		if one.tolerance > 0.4 || math.Abs(one.count-count) > one.tolerance || count < 1 || count > math.MaxInt32 {
			t.run.note("the size of the validation set cannot be told from the speed of the evaluations: about %.0f samples", t.sizes[0].count)
			return
		}
	}
	t.run.validation = int(count)
	t.run.note("%d validation samples: eval_runtime x eval_samples_per_second", int(count))
}
