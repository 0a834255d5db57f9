package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"ballast/bench/engine"
)

const script = "bench/engine/compare/compare.py"

// spec states a network for compare.py.
type spec struct {
	Name      string  `json:"name"`
	Dims      int     `json:"dims"`
	Channels  int     `json:"channels"`
	Size      [3]int  `json:"size"`
	Classes   int     `json:"classes"`
	Width     int     `json:"width"`
	Norm      string  `json:"norm"`
	Batch     int     `json:"batch"`
	Inference bool    `json:"inference"`
	LR        float64 `json:"lr"`
}

func specOf(n engine.Network) spec {
	c := n.Config
	return spec{c.Name, c.Dims, c.Channels, c.Size, c.Classes, c.Width, c.Norm, n.Batch, n.Inference, engine.LearningRate}
}

// A torch is a running compare.py.
type torch struct {
	command  *exec.Cmd
	requests io.WriteCloser
	answers  *bufio.Scanner
	facts    answer // of the first open
}

type answer struct {
	Error      string
	Torch      string
	Threads    int
	Capability string
	MS         []float64
}

// startTorch starts Python. Its errors go to standard error.
func startTorch(python string) (*torch, error) {
	if _, err := os.Stat(script); err != nil {
		return nil, fmt.Errorf("%w; run the command in the project's folder", err)
	}
	t := &torch{command: exec.Command(python, script)}
	t.command.Stderr = os.Stderr
	var err error
	if t.requests, err = t.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := t.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.answers = bufio.NewScanner(output)
	return t, t.command.Start()
}

// stop ends Python.
func (t *torch) stop() error {
	return errors.Join(t.requests.Close(), t.command.Wait())
}

func (t *torch) ask(request any) (answer, error) {
	var a answer
	line, err := json.Marshal(request)
	if err != nil {
		return a, err
	}
	if _, err := t.requests.Write(append(line, '\n')); err != nil {
		return a, fmt.Errorf("ask PyTorch: %w", err)
	}
	if !t.answers.Scan() {
		return a, fmt.Errorf("%s ended without an answer (its complaint stands above): it needs Python with torch and safetensors", script)
	}
	if err := json.Unmarshal(t.answers.Bytes(), &a); err != nil {
		return a, fmt.Errorf("answer of %s: %w", script, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("PyTorch: %s", a.Error)
	}
	return a, nil
}

// open builds a network in both memory formats.
func (t *torch) open(n engine.Network, threads int) error {
	a, err := t.ask(map[string]any{"open": specOf(n), "threads": threads})
	if err == nil && t.facts.Torch == "" {
		t.facts = a
	}
	return err
}

// run times steps in a memory format, in ms, after some that are not timed.
func (t *torch) run(format string, warm, steps int) ([]float64, error) {
	a, err := t.ask(map[string]any{"run": format, "warm": warm, "steps": steps})
	return a.MS, err
}

// memory is the largest resident size of a program that ran one step, and of
// Python right after the import of torch.
type memory struct{ Peak, Imported int64 }

func torchMemory(python string, n engine.Network, threads int) (m memory, err error) {
	text, err := json.Marshal(specOf(n))
	if err != nil {
		return m, err
	}
	return memoryOf(exec.Command(python, script, string(text), strconv.Itoa(threads)))
}

func memoryOf(command *exec.Cmd) (m memory, err error) {
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return m, fmt.Errorf("measure memory: %w", err)
	}
	return m, json.Unmarshal(output, &m)
}
