// Command onnx compares ONNX Runtime with ballast on real subjects: it exports a
// run, prepares the validation subjects of its cohort, lets run.py classify the
// prepared images by the exported file, and prints how far the probabilities lie
// from those of `ballast predict`.
//
//	go run ./bench/onnx [-python python3] [-subjects N] RUN COHORT
//
// The interpreter needs numpy, onnx and onnxruntime.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"ballast/cohort"
	"ballast/run"
	"ballast/train"
)

// tolerance is how far a probability may lie from that of ballast.
const tolerance = 1e-5

func main() {
	if err := compare(); err != nil {
		fmt.Fprintln(os.Stderr, "onnx:", err)
		os.Exit(1)
	}
}

// A subject is what run.py reads of one.
type subject struct {
	ID            string  `json:"id"`
	Images        int     `json:"images"`
	File          string  `json:"file"` // float32 (N, C, D, H, W)
	Covariates    string  `json:"covariates,omitempty"`
	Probabilities run.Row `json:"probabilities"` // of ballast
}

func compare() error {
	python := flag.String("python", "python3", "interpreter with numpy, onnx and onnxruntime")
	most := flag.Int("subjects", 0, "validation subjects to compare; 0: all")
	weights := flag.String("weights", train.LastWeights, "last, best or averaged")
	flag.Parse()
	if flag.NArg() != 2 {
		return errors.New("give a run and its cohort")
	}
	folder, err := os.MkdirTemp("", "onnx-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := export(flag.Arg(0), *weights, filepath.Join(folder, "model.onnx")); err != nil {
		return err
	}
	subjects, err := predict(flag.Arg(0), flag.Arg(1), *weights, *most, folder)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(subjects)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "subjects.json"), manifest, 0o600)
	}
	if err != nil {
		return err
	}
	program := exec.Command(*python, filepath.Join("bench", "onnx", "run.py"), folder)
	program.Stderr = os.Stderr
	answer, err := program.Output()
	if err != nil {
		return fmt.Errorf("run.py: %w", err)
	}
	var theirs [][]float64
	if err := json.Unmarshal(answer, &theirs); err != nil {
		return fmt.Errorf("run.py: %w", err)
	}
	return report(subjects, theirs)
}

func export(dir, weights, path string) error {
	e, err := train.OpenExport(dir, weights, "ballast bench")
	if err != nil {
		return err
	}
	var data bytes.Buffer
	if err := e.WriteONNX(&data); err != nil {
		return err
	}
	return os.WriteFile(path, data.Bytes(), 0o600)
}

// predict classifies the validation subjects of a run and writes their prepared
// images.
func predict(dir, path, weights string, most int, folder string) ([]subject, error) {
	predictor, err := train.NewPredictor(dir, weights, 0)
	if err != nil {
		return nil, err
	}
	defer predictor.Close()
	c, err := cohort.Open(path, cohort.Options(predictor.Plan.Data))
	if err != nil {
		return nil, err
	}
	var subjects []subject
	for _, known := range predictor.Run.Header.Sets[run.Validation] {
		if most > 0 && len(subjects) == most {
			break
		}
		k := slices.IndexFunc(c.Subjects, func(s cohort.Subject) bool { return s.ID == known.ID })
		if k < 0 {
			return nil, fmt.Errorf("subject %s of the run is not in %s", known.ID, path)
		}
		s, err := write(predictor, c.Subjects[k], filepath.Join(folder, fmt.Sprint(len(subjects))))
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

func write(predictor *train.Predictor, s cohort.Subject, stem string) (subject, error) {
	made := subject{ID: s.ID, File: stem + ".image"}
	var data []byte
	for _, image := range s.Images {
		all, err := predictor.Cache.Images(image, predictor.Config)
		if err != nil {
			return made, err
		}
		for _, prepared := range all {
			made.Images++
			data = appendFloats(data, prepared.Data)
		}
	}
	err := os.WriteFile(made.File, data, 0o600)
	if predictor.Covariates != nil && err == nil {
		made.Covariates = stem + ".covariates"
		var encoded []float32
		if encoded, err = predictor.Covariates.Encode(s.Covariates); err == nil {
			err = os.WriteFile(made.Covariates, appendFloats(nil, encoded), 0o600)
		}
	}
	if err == nil {
		made.Probabilities, err = predictor.Predict(s)
	}
	return made, err
}

func appendFloats(data []byte, values []float32) []byte {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func report(subjects []subject, theirs [][]float64) error {
	if len(theirs) != len(subjects) {
		return fmt.Errorf("%d answers for %d subjects", len(theirs), len(subjects))
	}
	worst, images := 0.0, 0
	for i, s := range subjects {
		images += s.Images
		for class, p := range s.Probabilities {
			worst = math.Max(worst, math.Abs(theirs[i][class]-float64(p)))
		}
	}
	fmt.Printf("%d subjects with %d images: largest difference of a probability %.2g\n", len(subjects), images, worst)
	if !(worst <= tolerance) {
		return fmt.Errorf("a probability differs by %g, more than %g", worst, tolerance)
	}
	return nil
}
