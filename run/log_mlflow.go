package run

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// MLflow's file store: mlruns/EXPERIMENT/RUN/metrics/NAME, a file per metric of
// lines "timestamp_ms value [step [dataset]]"; "/" in a name makes folders
// (mlflow/store/tracking/file_store.py). meta.yaml beside metrics/ has the
// status, params/ the settings.

// isMetric recognises the lines by their time in milliseconds.
func isMetric(head []byte) bool {
	end := strings.IndexByte(string(head), '\n')
	if end < 0 {
		end = len(head)
	}
	_, ok := parseMetric(string(head[:end]))
	return ok
}

// parseMetric reads one line of a metric.
func parseMetric(line string) (sample, bool) {
	fields := strings.Fields(line)
	s := sample{epoch: math.NaN(), step: 0, time: math.NaN()}
	if len(line) > 500 || len(fields) < 2 || len(fields) > 5 {
		return s, false
	}
	const year2000, year2100 = 946684800e3, 4102444800e3
	stamp, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || stamp < year2000 || stamp > year2100 {
		return s, false
	}
	s.time = float64(stamp) / 1000
	if s.value, err = strconv.ParseFloat(fields[1], 64); err != nil {
		return s, false
	}
	if len(fields) > 2 {
		if s.step, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
			return s, false
		}
	}
	return s, true
}

// metricRun is the folder of the run that a metric belongs to.
func metricRun(path string) string {
	folder, _ := splitMetric(path)
	return folder
}

// splitMetric cuts RUN/metrics/a/b into RUN and "a/b".
func splitMetric(path string) (run, name string) {
	for folder := filepath.Dir(path); ; folder = filepath.Dir(folder) {
		if filepath.Base(folder) == "metrics" {
			name, _ = filepath.Rel(folder, path)
			return filepath.Dir(folder), filepath.ToSlash(name)
		}
		if parent := filepath.Dir(folder); parent == folder {
			return filepath.Dir(path), filepath.Base(path)
		}
	}
}

// readMetrics reads the metrics of one run.
func readMetrics(paths []string) ([]*loggedRun, string, error) {
	sort.Strings(paths)
	var events eventReader
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, "mlflow", err
		}
		_, name := splitMetric(path)
		bad, err := readMetric(f, func(s sample) {
			events.add(eventFile{}, scalar{tag: name, step: s.step, time: s.time, value: s.value})
		})
		f.Close()
		if err != nil {
			return nil, "mlflow", fmt.Errorf("metric %s: %w", name, err)
		}
		if bad > 0 {
			events.current().note("metric %s: %d lines are damaged and left out", name, bad)
		}
	}
	status := mlflowStatus(filepath.Join(metricRun(paths[0]), "meta.yaml"))
	for _, one := range events.runs {
		one.classes = classesBeside(filepath.Join(metricRun(paths[0]), "meta.yaml"))
		if status != "" {
			one.note("MLflow says that the run is %s", status)
		}
	}
	return events.runs, "mlflow", nil
}

// readMetric gives the values of a metric and counts lines that are none.
func readMetric(r io.Reader, yield func(sample)) (bad int, err error) {
	all := newLines(r)
	for all.next() {
		if s, ok := parseMetric(string(all.line)); ok {
			yield(s)
		} else {
			bad++
		}
	}
	return bad, all.err
}

// mlflowStatus is a status other than finished.
func mlflowStatus(path string) string {
	text := readStart(path)
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, "status:"); found {
			return map[string]string{"1": "running", "2": "scheduled", "4": "failed", "5": "killed"}[strings.TrimSpace(value)]
		}
	}
	return ""
}

// readStart is the beginning of a small file beside a log; empty if there is none.
func readStart(path string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, headSize))
	return string(text)
}

// classesBeside reads the number of classes from the settings beside a log:
// hparams.yaml of Lightning, params/ of MLflow; 0 if they do not say.
func classesBeside(path string) int {
	folder := filepath.Dir(path)
	for line := range strings.Lines(readStart(filepath.Join(folder, "hparams.yaml"))) {
		name, value, _ := strings.Cut(line, ":")
		for _, known := range classNames {
			if name == known {
				return classCount(value)
			}
		}
	}
	for _, known := range classNames {
		if value := readStart(filepath.Join(folder, "params", known)); value != "" {
			return classCount(value)
		}
	}
	return 0
}

var classNames = []string{"num_classes", "n_classes", "classes", "num_labels"}

func classCount(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 || n > 1_000_000 {
		return 0
	}
	return max(n, 2) // one output stands for two classes
}
