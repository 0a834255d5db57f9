package main

import (
	"context"
	"encoding/json"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/diagnosis"
	"ballast/phantom"
)

// trainedPhantom writes a small cohort and trains on it, on the head and not on
// the mask.
func trainedPhantom(t *testing.T, args ...string) (dir, out string) {
	t.Helper()
	dir, out = writePhantom(t, 24), filepath.Join(t.TempDir(), "run")
	mustBallast(t, append(append([]string{"train", dir, "--out", out, "--set", "prep.crop=foreground"}, quick...), args...)...)
	return dir, out
}

func TestExplain(t *testing.T) {
	dir, out := trainedPhantom(t)
	image, mask := filepath.Join(dir, "images", "sub-0003_T1w.nii.gz"), filepath.Join(dir, "masks", "sub-0003_mask.nii.gz")
	maps := filepath.Join(t.TempDir(), "maps")
	var got explanations
	if err := json.Unmarshal([]byte(mustBallast(t, "explain", out, image, "--mask", mask, "--sanity", "--out", maps, "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Maps) != 1 || got.Layer != "block2.relu" || got.Caution != caution || got.Maps[0].Sanity == nil || len(got.Maps[0].Sanity.Correlations) != randomNetworks {
		t.Fatalf("%+v", got)
	}
	one := got.Maps[0]
	if !slices.Contains(got.Classes, one.Class) || !(one.Probability >= 0.5 && one.Probability <= 1) || one.Passes != 1+randomNetworks {
		t.Errorf("%+v", one)
	}
	checkOverlay(t, one.Overlay, image)
	checkPNG(t, one.Picture)
	var predicted struct{ Subjects []prediction }
	if err := json.Unmarshal([]byte(mustBallast(t, "predict", out, image, "--json")), &predicted); err != nil {
		t.Fatal(err)
	}
	for class, p := range predicted.Subjects[0].Probabilities {
		if d := one.Probabilities[class] - float64(p); !(d < 1e-6 && d > -1e-6) {
			t.Errorf("probabilities %v, predict says %v", one.Probabilities, predicted.Subjects[0].Probabilities)
		}
	}
	text := mustBallast(t, "explain", out, "--cohort", dir, "--subject", "sub-0003", "--subject", "sub-0004", "--class", "responder", "--method", "occlusion", "--box", "4", "--stride", "4", "--out", maps, "--quiet")
	for _, want := range []string{"class responder", "occlusion", "of the field of view", caution, "sub-0004_T1w_occlusion.nii.gz"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	checkOverlay(t, filepath.Join(maps, "sub-0003_T1w_occlusion.nii.gz"), image)
	left, err := os.ReadDir(maps)
	if err != nil || len(left) != 6 {
		t.Errorf("%d files in the folder, want 6: %v", len(left), left)
	}
}

// Covariates come from the cohort or the command line, and move the probability
// to that which predict gives.
func TestExplainWithCovariates(t *testing.T) {
	dir, out := trainedPhantom(t, "--set", "data.covariates=[age,sex]")
	image := filepath.Join(dir, "images", "sub-0003_T1w.nii.gz")
	maps := filepath.Join(t.TempDir(), "maps")
	for _, age := range []string{"30", "80"} {
		var predicted struct{ Subjects []prediction }
		if err := json.Unmarshal([]byte(mustBallast(t, "predict", out, image, "--covariate", "age="+age, "--covariate", "sex=F", "--json")), &predicted); err != nil {
			t.Fatal(err)
		}
		var got explanations
		if err := json.Unmarshal([]byte(mustBallast(t, "explain", out, image, "--covariate", "age="+age, "--covariate", "sex=F", "--out", maps, "--json")), &got); err != nil {
			t.Fatal(err)
		}
		for class, p := range predicted.Subjects[0].Probabilities {
			if d := got.Maps[0].Probabilities[class] - float64(p); !(d < 1e-6 && d > -1e-6) {
				t.Errorf("age %s: probabilities %v, predict says %v", age, got.Maps[0].Probabilities, predicted.Subjects[0].Probabilities)
			}
		}
	}
	if code, _, stderr := ballast(t, "explain", out, image, "--out", maps); code != exitDone || !strings.Contains(stderr, "covariate age is not given") {
		t.Errorf("without covariates: exit %d, %q", code, stderr)
	}
	if code, _, stderr := ballast(t, "explain", out, image, image, "--covariate", "age=3"); code != exitUsage || !strings.Contains(stderr, "one by one") {
		t.Errorf("one age for two subjects: exit %d, %q", code, stderr)
	}
	mustBallast(t, "explain", out, "--cohort", dir, "--subject", "sub-0003", "--method", "occlusion", "--box", "8", "--out", maps, "--quiet")
}

// checkOverlay holds an overlay's geometry against the image's.
func checkOverlay(t *testing.T, overlay, image string) {
	t.Helper()
	v, d, err := cohort.ReadDescribed(overlay, cohort.Unchosen)
	if err != nil {
		t.Fatal(err)
	}
	of, err := cohort.ReadVolume(image)
	if err != nil {
		t.Fatal(err)
	}
	if v.Shape != of.Shape || v.Affine != of.Affine || d.Dtype != "float32" {
		t.Errorf("%s: %v %v %s, the image has %v %v", overlay, v.Shape, v.Affine, d.Dtype, of.Shape, of.Affine)
	}
}

func checkPNG(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if picture, err := png.Decode(file); err != nil || picture.Bounds().Dx() < 500 {
		t.Errorf("%s: %v", path, err)
	}
}

// Volumes as slices, pooled by attention, and pictures have overlays too; two
// images of one name do not overwrite each other.
func TestExplainSlicesAndPictures(t *testing.T) {
	dir, out := trainedPhantom(t, "--set", "prep.slice=all", "--set", "net.pooling=attention", "--epochs", "1")
	image := filepath.Join(dir, "images", "sub-0001_T1w.nii.gz")
	maps := filepath.Join(t.TempDir(), "maps")
	text := mustBallast(t, "explain", out, image, image, "--out", maps)
	if !strings.Contains(text, "sub-0001_T1w-2_gradcam.nii.gz") {
		t.Errorf("two images of one name:\n%s", text)
	}
	checkOverlay(t, filepath.Join(maps, "sub-0001_T1w_gradcam.nii.gz"), image)

	pictures := filepath.Join(t.TempDir(), "pictures")
	config := phantom.Default().Resized(2, 24)
	if err := phantom.Write(context.Background(), pictures, config, 16, func(int) {}); err != nil {
		t.Fatal(err)
	}
	flat := filepath.Join(t.TempDir(), "flat")
	mustBallast(t, append([]string{"train", pictures, "--out", flat}, quick...)...)
	image, mask := filepath.Join(pictures, "images", "sub-0002_T1w.nii.gz"), filepath.Join(pictures, "masks", "sub-0002_mask.nii.gz")
	mustBallast(t, "explain", flat, image, "--mask", mask, "--out", maps, "--layer", "block1.relu")
	checkOverlay(t, filepath.Join(maps, "sub-0002_T1w_gradcam.nii.gz"), image)
	checkPNG(t, filepath.Join(maps, "sub-0002_T1w_gradcam.png"))
}

func TestExplainRefuses(t *testing.T) {
	dir, out := trainedPhantom(t, "--net", "linear", "--set", "net.norm=none")
	image := filepath.Join(dir, "images", "sub-0001_T1w.nii.gz")
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, []byte("x"))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no image", []string{out}, exitUsage, "needs an image beside the run"},
		{"neither run nor cause", []string{"batch-norm-lgg"}, exitUsage, `did you mean "batch-norm-lag"?`},
		{"a network without convolutions", []string{out, image}, exitUsage, "has no convolutions"},
		{"no such run", []string{out + "x", image}, exitFailed, "no such folder"},
		{"no such image", []string{out, image + "x"}, exitFailed, "no such file"},
		{"no such method", []string{out, image, "--method", "saliency"}, exitUsage, "gradcam or occlusion"},
		{"no such class", []string{out, image, "--class", "healthy"}, exitUsage, "non-responder, responder"},
		{"no such weights", []string{out, image, "--weights", "first"}, exitUsage, "last, best, averaged"},
		{"a box for Grad-CAM", []string{out, image, "--box", "4"}, exitUsage, "--method occlusion"},
		{"a layer for occlusion", []string{out, image, "--method", "occlusion", "--layer", "block1.relu"}, exitUsage, "--method gradcam"},
		{"a box larger than the grid", []string{out, image, "--method", "occlusion", "--box", "400"}, exitUsage, "box of 400"},
		{"a box of four numbers", []string{out, image, "--method", "occlusion", "--box", "1,2,3,4"}, exitUsage, "one number or one for each of 3 axes"},
		{"a box of two numbers in 3D", []string{out, image, "--method", "occlusion", "--stride", "1,2"}, exitUsage, "one number or one for each of 3 axes"},
		{"a box of nothing", []string{out, image, "--method", "occlusion", "--box", "0"}, exitUsage, "at least 1"},
		{"nothing to cover with", []string{out, image, "--method", "occlusion", "--fill", "noise"}, exitUsage, "choose mean or background"},
		{"a mask too many", []string{out, image, "--mask", image, "--mask", image}, exitUsage, "2 masks"},
		{"a cohort without a subject", []string{out, "--cohort", dir}, exitUsage, "go together"},
		{"no such subject", []string{out, "--cohort", dir, "--subject", "nobody"}, exitUsage, `no subject "nobody"`},
		{"a cohort and an image", []string{out, image, "--cohort", dir, "--subject", "sub-0001"}, exitUsage, "not both"},
		{"a cohort without a run", []string{"--cohort", dir, "--subject", "sub-0001"}, exitUsage, "needs a run"},
		{"a file to write into", []string{out, image, "--method", "occlusion", "--out", file}, exitFailed, "it is a file"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"explain"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d (want %d), %q", c.name, code, c.code, stderr)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	maps := filepath.Join(t.TempDir(), "maps")
	if code := execute(cancelled, []string{"explain", out, image, "--method", "occlusion", "--out", maps, "--quiet"}, io.Discard, io.Discard); code != exitInterrupted {
		t.Errorf("interrupted: exit %d", code)
	}
	if _, err := os.Stat(maps); err == nil {
		t.Error("an interrupted command left a folder")
	}
}

func TestExplainCauses(t *testing.T) {
	list := mustBallast(t, "explain")
	for _, cause := range diagnosis.Causes {
		if !strings.Contains(list, cause.ID) || !strings.Contains(list, cause.Title) {
			t.Errorf("%s is not listed", cause.ID)
		}
		text := mustBallast(t, "explain", cause.ID)
		if !strings.HasPrefix(text, cause.Title+"\n") || !strings.Contains(text, "points of "+cause.Of) {
			t.Errorf("%s:\n%s", cause.ID, text)
		}
		if words := strings.Fields(text); !strings.Contains(strings.Join(words, " "), strings.Join(strings.Fields(cause.Explain), " ")) {
			t.Errorf("%s is not explained:\n%s", cause.ID, text)
		}
		for _, head := range []string{"How it is detected", "How reliable that is", "What to do"} {
			if !strings.Contains(text, "\n"+head+"\n") {
				t.Errorf("%s: no section %q:\n%s", cause.ID, head, text)
			}
		}
	}
}

// A cause that is judged from curves alone has no rates of runs.
func TestExplainCurveCause(t *testing.T) {
	for _, cause := range diagnosis.CurveCauses() {
		if _, known := diagnosis.ReliabilityOf(cause.ID); known {
			continue
		}
		if text := mustBallast(t, "explain", cause.ID); !strings.Contains(text, "docs/logs.md") {
			t.Errorf("%s:\n%s", cause.ID, text)
		}
	}
}

func TestImageName(t *testing.T) {
	for path, want := range map[string]string{
		"a/sub-01_T1w.nii.gz": "sub-01_T1w", "0024.jpg": "0024", "dicom/": "dicom", "dicom#1.2.3": "dicom_1.2.3", "x.PNG": "x", ".nii": ".nii",
	} {
		if got := imageName(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
