package main

import (
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"ballast/run"
)

type predictedJSON struct {
	Subjects []struct {
		Class             string
		Probabilities     []float64
		Entropy           *float64
		MutualInformation *float64 `json:"mutual_information"`
	}
}

func predictJSON(t *testing.T, args ...string) (p predictedJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustBallast(t, append([]string{"predict", "--json"}, args...)...)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// The mean of two runs is the mean of what each predicts alone, and its entropy
// and mutual information follow from them.
func TestPredictEnsemble(t *testing.T) {
	dir, first := trainedOnPhantom(t)
	second := filepath.Join(t.TempDir(), "second")
	mustBallast(t, append([]string{"train", dir, "--out", second, "--seed", "5"}, quick...)...)
	image, mask := filepath.Join(dir, "images", "sub-0003_T1w.nii.gz"), filepath.Join(dir, "masks", "sub-0003_mask.nii.gz")
	alone, other := predictJSON(t, first, image, "--mask", mask).Subjects[0], predictJSON(t, second, image, "--mask", mask).Subjects[0]
	if alone.Entropy != nil || alone.MutualInformation != nil {
		t.Error("a single prediction has an entropy")
	}
	both := predictJSON(t, first, image, "--mask", mask, "--ensemble", second).Subjects[0]
	entropy := func(p []float64) float64 { return -p[0]*math.Log(p[0]) - p[1]*math.Log(p[1]) }
	mean := []float64{(alone.Probabilities[0] + other.Probabilities[0]) / 2, (alone.Probabilities[1] + other.Probabilities[1]) / 2}
	if !(math.Abs(both.Probabilities[1]-mean[1]) < 1e-6) || !(math.Abs(*both.Entropy-entropy(mean)) < 1e-6) ||
		!(math.Abs(*both.MutualInformation-(entropy(mean)-(entropy(alone.Probabilities)+entropy(other.Probabilities))/2)) < 1e-6) {
		t.Errorf("%+v of %v and %v", both, alone.Probabilities, other.Probabilities)
	}
	sampled := predictJSON(t, first, image, "--mask", mask, "--mc", "10").Subjects[0]
	if again := predictJSON(t, first, image, "--mask", mask, "--mc", "10", "--threads", "1").Subjects[0]; *again.Entropy != *sampled.Entropy || sampled.Probabilities[1] == alone.Probabilities[1] {
		t.Errorf("samples: %+v, again %+v, without dropout %+v", sampled, again, alone)
	}
	table := mustBallast(t, "predict", first, image, "--mask", mask, "--mc", "10")
	if lines := strings.Split(table, "\n"); !strings.HasSuffix(lines[0], "\tentropy\tmutual_information") || strings.Count(lines[1], "\t") != 5 {
		t.Errorf("%s", table)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{first, image, "--mask", mask, "--mc", "1"}, exitUsage, "between 2 and 10000"},
		{[]string{first, image, "--mask", mask, "--mc", "5", "--temperature"}, exitUsage, "leave --mc and --ensemble out"},
		{[]string{first, image, "--mask", mask, "--ensemble", dir}, exitFailed, "run.json is missing"},
		{[]string{second, image, "--mask", mask, "--mc", "5"}, exitFailed, "no dropout"},
	} {
		if code, stdout, stderr := ballast(t, append([]string{"predict"}, c.args...)...); code != c.code || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("predict %v: exit %d, %q", c.args, code, stderr)
		}
	}
}

// A temperature changes how sure a prediction is, not which it is: the odds are
// those without it to the power of 1/T, the T that evaluate fits.
func TestPredictTemperature(t *testing.T) {
	dir, out := trainedOnPhantom(t, "--set", "net.width=8", "--set", "optimizer.lr=0.01", "--epochs", "10")
	image, mask := filepath.Join(dir, "images", "sub-0003_T1w.nii.gz"), filepath.Join(dir, "masks", "sub-0003_mask.nii.gz")
	plain, cooled := predictJSON(t, out, image, "--mask", mask).Subjects[0], predictJSON(t, out, image, "--mask", mask, "--temperature").Subjects[0]
	temperature := float64(evaluateJSON(t, out, dir, "--set", run.Test, "--temperature", "--no-baselines").How.Temperature)
	logit := func(p []float64) float64 { return math.Log(p[1] / p[0]) }
	if got, want := logit(cooled.Probabilities), logit(plain.Probabilities)/temperature; temperature == 1 || !(math.Abs(got-want) < 1e-4) {
		t.Errorf("log odds %g at temperature %g, want %g", got, temperature, want)
	}
}
