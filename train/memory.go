package train

import (
	"io"

	"ballast/run"
)

// Memory is a Recorder that keeps what is recorded of a training in memory, and no
// files.
type Memory struct {
	Epochs []run.Epoch
	Test   []run.Evaluation
	Status string // as of run.Header
}

// Append implements Recorder.
func (m *Memory) Append(e run.Epoch) error {
	m.Epochs = append(m.Epochs, e)
	return nil
}

// WriteFile implements Recorder.
func (m *Memory) WriteFile(string, []byte) error { return nil }

// WriteFrom implements Recorder. The contents are not made.
func (m *Memory) WriteFrom(string, func(io.Writer) error) error { return nil }

// WriteTest implements Recorder.
func (m *Memory) WriteTest(test []run.Evaluation) error {
	m.Test = test
	return nil
}

// Finish implements Recorder.
func (m *Memory) Finish(status string) error {
	m.Status = status
	return nil
}
