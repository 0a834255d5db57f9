package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/net"
	"ballast/phantom"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// trainedRun trains a small network on a phantom cohort and returns both folders.
func trainedRun(t *testing.T, seed uint64, args ...string) (cohort, out string) {
	t.Helper()
	cohort, out = filepath.Join(t.TempDir(), "cohort"), filepath.Join(t.TempDir(), "run")
	config := phantom.Default().Resized(3, 16)
	config.Seed = seed
	if err := phantom.Write(context.Background(), cohort, config, 24, func(int) {}); err != nil {
		t.Fatal(err)
	}
	mustBallast(t, append(append([]string{"train", cohort, "--out", out}, quick...), args...)...)
	return cohort, out
}

func TestExport(t *testing.T) {
	_, out := trainedRun(t, 1, "--set", "prep.standardise=nyul")
	folder := t.TempDir()
	onnx, weights := filepath.Join(folder, "m.onnx"), filepath.Join(folder, "m.safetensors")
	text := mustBallast(t, "export", out, "--onnx", onnx, "--safetensors", weights, "--weights", "averaged")
	for _, want := range []string{"wrote " + onnx + ": cnn2, ", "wrote " + weights, "input image (N, 1, 16, 16, 16), classes non-responder, responder"} {
		if !strings.Contains(text, want) {
			t.Errorf("export prints %q without %q", text, want)
		}
	}
	tensors := readTensors(t, weights)
	want := readTensors(t, filepath.Join(out, filepath.FromSlash(run.AveragedWeightsFile)))
	for i := range want {
		if tensors[i].Name != want[i].Name || !slices.Equal(tensors[i].Shape, want[i].Shape) || !slices.Equal(tensors[i].Data, want[i].Data) {
			t.Errorf("%s is not that of the run", want[i].Name)
		}
	}
	for _, words := range []string{"preprocessing", "landmarks", "plan.sha256", `"responder"`} {
		if !strings.Contains(string(readFile(t, onnx)), words) {
			t.Errorf("the ONNX file does not hold %q", words)
		}
	}
	var printed struct {
		Files    []struct{ Path, Format string }
		Metadata map[string]string
	}
	again := filepath.Join(folder, "again.onnx")
	if err := json.Unmarshal([]byte(mustBallast(t, "export", out, "--onnx", again, "--json")), &printed); err != nil {
		t.Fatal(err)
	}
	var preparation struct {
		Grid   []int
		Fitted struct {
			Channels []struct{ Landmarks []float64 }
		}
		Steps []string
	}
	if err := json.Unmarshal([]byte(printed.Metadata["preprocessing"]), &preparation); err != nil {
		t.Fatal(err)
	}
	if len(printed.Files) != 1 || printed.Files[0].Format != "onnx" || printed.Metadata["weights"] != "last" || printed.Metadata["step"] == "" ||
		!slices.Equal(preparation.Grid, []int{16, 16, 16}) || len(preparation.Fitted.Channels) != 1 || len(preparation.Steps) != 4 {
		t.Errorf("--json gives %+v with preparation %+v", printed, preparation)
	}
}

func TestExportRefuses(t *testing.T) {
	_, out := trainedRun(t, 1)
	there := filepath.Join(t.TempDir(), "there")
	writeFile(t, there, []byte("x"))
	free := filepath.Join(t.TempDir(), "free")
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.CopyFS(foreign, os.DirFS(out)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(foreign, "plan.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "needs one run folder"},
		{[]string{out}, exitUsage, "--onnx or --safetensors"},
		{[]string{out, "--onnx", free, "--safetensors", free}, exitUsage, "are both " + free},
		{[]string{out, "--onnx", free, "--weights", "latest"}, exitUsage, "it can be last, best, averaged"},
		{[]string{out, "--onnx", there}, exitFailed, "it exists"},
		{[]string{out, "--safetensors", filepath.Join(out, filepath.FromSlash(run.LastWeightsFile))}, exitFailed, "it exists"},
		{[]string{out, "--onnx", filepath.Join(free, "no", "folder")}, exitFailed, "no such file or directory"},
		{[]string{t.TempDir(), "--onnx", free}, exitFailed, "run.json"},
		{[]string{foreign, "--onnx", free}, exitFailed, "plan.yaml"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"export"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("export %v: exit %d (want %d), %q", c.args, code, c.code, stderr)
		}
	}
	if _, err := os.Stat(free); err == nil {
		t.Error("a refused export has written")
	}
}

func TestImportWeights(t *testing.T) {
	cohort, out := trainedRun(t, 1)
	folder := t.TempDir()
	last := filepath.Join(out, filepath.FromSlash(run.LastWeightsFile))
	// A file of another program: prefixes before the names, and three classes.
	tensors := readTensors(t, last)
	for i, tensor := range tensors {
		tensors[i].Name = "module." + strings.Replace(tensor.Name, "head.", "fc.", 1)
		if strings.HasPrefix(tensor.Name, "head.") {
			tensors[i].Shape = append([]int{3}, tensor.Shape[1:]...)
			tensors[i].Data = make([]float32, 3*len(tensor.Data)/2)
		}
	}
	foreign, plan := filepath.Join(folder, "torch.safetensors"), filepath.Join(folder, "plan.yaml")
	data, err := train.ImportedFile(tensors, "test", "test")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, foreign, data)
	writeFile(t, plan, []byte(mustBallast(t, append([]string{"train", cohort, "--dry-run"}, quick...)...)))

	start := filepath.Join(folder, "start.safetensors")
	text := mustBallast(t, "import-weights", foreign, "--run", out, "--out", start, "--strip", "module.", "--map", "fc=head")
	for _, want := range []string{
		"wrote " + start + ": 10 of 12 tensors, for 10 of the 12 of cnn2", "left out: head.weight: it has shape [3 8], the network needs [2 8]",
		"not given, so drawn from the seed: head.bias", "--set net.weights=" + start,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("import-weights prints %q without %q", text, want)
		}
	}
	var result struct {
		Used, Missing []string
		Left          []net.Leftover
	}
	other := filepath.Join(folder, "other.safetensors")
	if err := json.Unmarshal([]byte(mustBallast(t, "import-weights", foreign, "--plan", plan, "--out", other, "--strip", "module.", "--map", "fc=head", "--json")), &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Used) != 12 || len(result.Missing) != 0 || len(result.Left) != 0 {
		t.Errorf("a plan, whose classes are those of the file: %+v", result)
	}
	trained := filepath.Join(folder, "trained")
	mustBallast(t, append([]string{"train", cohort, "--out", trained, "--set", "net.weights=" + start, "--set", "net.freeze=[block1, block2]"}, quick...)...)
	if got := readFile(t, filepath.Join(trained, filepath.FromSlash(train.InitialFile))); len(got) == 0 {
		t.Error("the run keeps no initial tensors")
	}
	after := readTensors(t, filepath.Join(trained, filepath.FromSlash(run.LastWeightsFile)))
	for i, tensor := range after {
		if frozen := i < 10; slices.Equal(tensor.Data, tensors[i].Data) != frozen {
			t.Errorf("%s: frozen is %t", tensor.Name, frozen)
		}
	}

	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "needs one safetensors file"},
		{[]string{foreign, "--out", "x"}, exitUsage, "--plan or from --run"},
		{[]string{foreign, "--run", out, "--plan", plan, "--out", "x"}, exitUsage, "give one of them"},
		{[]string{foreign, "--run", out}, exitUsage, "--out is missing"},
		{[]string{foreign, "--run", out, "--out", start}, exitFailed, "it exists"},
		{[]string{foreign, "--run", out, "--out", "x", "--classes", "3"}, exitUsage, "leave --classes out"},
		{[]string{foreign, "--plan", plan, "--out", "x", "--classes", "1"}, exitUsage, "at least 2"},
		{[]string{foreign, "--run", out, "--out", "x", "--map", "fc"}, exitUsage, "FROM=TO"},
		{[]string{foreign, "--run", out, "--out", "x", "--strip", "model."}, exitUsage, `begins with "model."`},
		{[]string{foreign, "--run", out, "--out", "x"}, exitFailed, "none of its 12 tensors fits"},
		{[]string{foreign, "--run", folder, "--out", "x"}, exitFailed, "run.json"},
		{[]string{foreign, "--plan", foreign, "--out", "x"}, exitUsage, "read plan"},
		{[]string{plan, "--run", out, "--out", "x"}, exitFailed, "invalid safetensors"},
		{[]string{filepath.Join(folder, "absent"), "--run", out, "--out", "x"}, exitFailed, "no such file"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"import-weights"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("import-weights %v: exit %d (want %d), %q", c.args, code, c.code, stderr)
		}
	}
	unresolved := filepath.Join(folder, "open.yaml")
	writeFile(t, unresolved, []byte("epochs: 3\n"))
	if code, _, stderr := ballast(t, "import-weights", foreign, "--plan", unresolved, "--out", "x"); code != exitUsage || !strings.Contains(stderr, "--dry-run prints a plan") {
		t.Errorf("a plan without a grid: exit %d, %q", code, stderr)
	}
}

// What was learnt on one cohort helps on another one of the same kind: from the
// first epoch on the training loss is lower than from drawn weights. The seeds
// of the cohorts were fixed before the test was first run.
func TestTransferStartsLower(t *testing.T) {
	_, out := trainedRun(t, 301, "--epochs", "10")
	cohort, scratch := trainedRun(t, 302)
	transferred := filepath.Join(t.TempDir(), "transferred")
	mustBallast(t, append([]string{"train", cohort, "--out", transferred, "--set", "net.weights=" + filepath.Join(out, filepath.FromSlash(run.LastWeightsFile))}, quick...)...)
	var losses [2][]float64
	for i, dir := range []string{scratch, transferred} {
		r, err := run.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for e := range r.Epochs {
			losses[i] = append(losses[i], float64(r.Epochs[e].Evaluation(run.Logged, run.Train).Loss))
		}
	}
	if !(losses[1][0] < losses[0][0]) {
		t.Errorf("training loss %v from another cohort's weights, %v from drawn ones", losses[1], losses[0])
	}
	t.Logf("training loss %.3f from another cohort's weights, %.3f from drawn ones", losses[1], losses[0])
}

// The example of docs/exporting.md prepares a file by the metadata alone and gives
// what predict gives. Its sums run in another order, so that the last digits of a
// prepared voxel differ.
func TestPredictONNXExample(t *testing.T) {
	interpreter := python(t, "numpy", "nibabel", "onnxruntime")
	cohort, out := trainedRun(t, 1, "--set", "prep.grid=[9,10,11]", "--set", "prep.spacing=[20,13,10]")
	r, err := run.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	id := r.Header.Sets[run.Validation][0].ID
	image, mask := filepath.Join(cohort, "images", id+"_T1w.nii.gz"), filepath.Join(cohort, "masks", id+"_mask.nii.gz")
	model := filepath.Join(t.TempDir(), "model.onnx")
	mustBallast(t, "export", out, "--onnx", model)
	answer, err := exec.Command(interpreter, "-B", filepath.Join("..", "..", "docs", "guides", "predict_onnx.py"), model, image, mask).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	var theirs float64
	if _, err := fmt.Sscanf(strings.ReplaceAll(string(answer), "-", "_"), "non_responder\t%g\n", &theirs); err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	ours := float64(r.Epochs[1].Evaluation(run.Deterministic, run.Validation).Probabilities[0][0])
	if !(math.Abs(theirs-ours) <= 1e-5) {
		t.Errorf("the example gives %g, the run recorded %g", theirs, ours)
	}
	t.Logf("the example gives %g, the run recorded %g", theirs, ours)
}

// The five lines of docs/exporting.md, as they stand there, give what predict
// gives, and import-weights reads what PyTorch saves of such a network.
func TestPyTorchSnippet(t *testing.T) {
	interpreter := python(t, "numpy", "torch", "safetensors")
	guides, err := filepath.Abs(filepath.Join("..", "..", "docs", "guides"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(readFile(t, filepath.Join(guides, "..", "exporting.md")))
	_, snippet, found := strings.Cut(page, "```python\nimport numpy, torch\n")
	snippet, _, ended := strings.Cut(snippet, "```")
	if !found || !ended || strings.Count(snippet, "\n") != 4 {
		t.Fatalf("the page has no snippet of five lines: %q", snippet)
	}
	dir, out := trainedRun(t, 1)
	folder := t.TempDir()
	mustBallast(t, "export", out, "--safetensors", filepath.Join(folder, "model.safetensors"))
	r, want := firstPrediction(t, out, dir, filepath.Join(folder, "images.npy"))
	program := exec.Command(interpreter, "-B", "-c", "import numpy, torch\n"+snippet+
		"from safetensors.torch import save_file\nsave_file(net.state_dict(), 'tuned.safetensors')\n")
	program.Dir, program.Env = folder, append(os.Environ(), "PYTHONPATH="+guides)
	answer, err := program.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	var got []run.Row
	if err := json.Unmarshal(answer, &got); err != nil || len(got) != 1 || len(got[0]) != len(r.Header.Classes) {
		t.Fatalf("%v in %q", err, answer)
	}
	for class, p := range got[0] {
		if !(math.Abs(float64(p)-float64(want[class])) <= 1e-5) {
			t.Errorf("PyTorch gives %v, the run recorded %v", got[0], want)
		}
	}
	start := filepath.Join(folder, "start.safetensors")
	text := mustBallast(t, "import-weights", filepath.Join(folder, "tuned.safetensors"), "--run", out, "--out", start)
	if !strings.Contains(text, "12 of 14 tensors, for 12 of the 12 of cnn2") || strings.Contains(text, "left out") {
		t.Errorf("import-weights of PyTorch's file: %q", text)
	}
	ours, theirs := readTensors(t, filepath.Join(out, filepath.FromSlash(run.LastWeightsFile))), readTensors(t, start)
	for i := range ours {
		if ours[i].Name != theirs[i].Name || !slices.Equal(ours[i].Data, theirs[i].Data) {
			t.Errorf("%s is not what was exported", ours[i].Name)
		}
	}
}

func readTensors(t *testing.T, path string) []net.Tensor {
	t.Helper()
	tensors, _, err := train.ReadTensors(path)
	if err != nil {
		t.Fatal(err)
	}
	return tensors
}

// firstPrediction writes the prepared image of a run's first validation subject as
// a .npy file and returns what the run recorded for it.
func firstPrediction(t *testing.T, dir, path, file string) (*run.Run, run.Row) {
	t.Helper()
	predictor, err := train.NewPredictor(dir, train.LastWeights, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer predictor.Close()
	c, err := cohort.Open(path, cohort.Options(predictor.Plan.Data))
	if err != nil {
		t.Fatal(err)
	}
	r := predictor.Run
	id := r.Header.Sets[run.Validation][0].ID
	subject := c.Subjects[slices.IndexFunc(c.Subjects, func(s cohort.Subject) bool { return s.ID == id })]
	image, err := prep.Load(subject.Images[0], predictor.Config)
	if err != nil {
		t.Fatal(err)
	}
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (1, %d, %d, %d, %d), }", image.C, image.D, image.H, image.W)
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	data := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	data = append(data, header...)
	for _, v := range image.Data {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	writeFile(t, file, data)
	last := r.Epochs[len(r.Epochs)-1]
	return r, last.Evaluation(run.Deterministic, run.Validation).Probabilities[0]
}

// python returns an interpreter that has the modules, named by BALLAST_PYTHON or
// called python3; without one the test is skipped.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	name := cmp.Or(os.Getenv("BALLAST_PYTHON"), "python3")
	look := "import sys; from importlib.util import find_spec; sys.exit([m for m in sys.argv[1:] if not find_spec(m)] or None)"
	if out, err := exec.Command(name, append([]string{"-c", look}, modules...)...).CombinedOutput(); err != nil {
		t.Skipf("%s lacks one of %v (%v, %.80q): skipped; BALLAST_PYTHON names an interpreter that has them", name, modules, err, out)
	}
	return name
}
