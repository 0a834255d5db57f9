package phantom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
)

func small() Config {
	c := Default().Resized(3, 10)
	c.Sites, c.LabelNoise, c.Seed = 2, 0.2, 9
	return c
}

// A written cohort is read back by package cohort with the labels, sites and
// voxels that Subject gives.
func TestWriteIsReadBack(t *testing.T) {
	for _, c := range []Config{small(), Default().Resized(2, 24)} {
		dir := filepath.Join(t.TempDir(), "cohort")
		const n = 23
		var reported []int
		if err := Write(context.Background(), dir, c, n, func(k int) { reported = append(reported, k) }); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(reported); len(reported) != n || reported[0] != 0 || len(slices.Compact(reported)) != n {
			t.Errorf("done was called for %v", reported)
		}
		read, err := cohort.Open(dir, cohort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(read.Subjects) != n || len(read.Excluded) != 0 || !reflect.DeepEqual(read.Classes, []string{"non-responder", "responder"}) {
			t.Fatalf("%d subjects, classes %q, excluded %q", len(read.Subjects), read.Classes, read.Excluded)
		}
		for k, got := range read.Subjects {
			want := c.Subject(k)
			if got.ID != want.ID && got.ID != strings.TrimPrefix(want.ID, "sub-") || got.Class != want.Label || got.Site != want.Site {
				t.Errorf("subject %d read as %+v, want %s, label %d, %s", k, got, want.ID, want.Label, want.Site)
			}
			for _, f := range []struct {
				path string
				want *cohort.Volume
			}{{got.Images[0].Path, want.Volume}, {got.Images[0].Mask, want.Mask}} {
				volume, err := cohort.ReadVolume(f.path)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(volume.Data, f.want.Data) || volume.Shape != f.want.Shape || volume.Affine != f.want.Affine || volume.Spacing != f.want.Spacing {
					t.Errorf("%s differs from subject %d", f.path, k)
				}
			}
		}
	}
}

func TestTruthFile(t *testing.T) {
	c := small()
	dir := filepath.Join(t.TempDir(), "cohort")
	if err := Write(context.Background(), dir, c, 12, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "phantom.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Format        int
		Config        Config
		BayesAccuracy float64 `json:"bayes_accuracy"`
		Subjects      []truth
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Format != 1 || got.Config != c || len(got.Subjects) != 12 {
		t.Fatalf("format %d, %d subjects, config %+v", got.Format, len(got.Subjects), got.Config)
	}
	// Phi(1) = 0.841345; a fifth of the labels flipped: 0.841345 * 0.8 + 0.158655 * 0.2.
	if got.BayesAccuracy != 0.704807 {
		t.Errorf("Bayes accuracy %g", got.BayesAccuracy)
	}
	for k, s := range got.Subjects {
		want := c.Subject(k)
		if s != (truth{want.ID, want.Label, want.TrueLabel, want.Latent, want.Site}) {
			t.Errorf("subject %d: %+v", k, s)
		}
	}
}

// The bytes on disk do not depend on the number of processors, and those of a
// subject not on the number of subjects.
func TestWriteIsDeterministic(t *testing.T) {
	files := func(processors, subjects int) map[string]string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		dir := filepath.Join(t.TempDir(), "cohort")
		if err := Write(context.Background(), dir, small(), subjects, nil); err != nil {
			t.Fatal(err)
		}
		contents := map[string]string{}
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			name, _ := filepath.Rel(dir, path)
			contents[filepath.ToSlash(name)] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return contents
	}
	one, four, more := files(1, 11), files(4, 11), files(4, 21)
	if len(one) != 2*11+2 || !reflect.DeepEqual(one, four) {
		t.Errorf("%d files by one processor, %d by four, or different bytes", len(one), len(four))
	}
	for name, text := range one {
		if strings.HasSuffix(name, ".nii.gz") && more[name] != text {
			t.Errorf("%s depends on the number of subjects", name)
		}
	}
	if !strings.HasPrefix(more["participants.tsv"], one["participants.tsv"]) {
		t.Error("a larger cohort does not begin with the smaller one")
	}
}

func TestWriteRefusals(t *testing.T) {
	parent := t.TempDir()
	full := filepath.Join(parent, "full")
	file := filepath.Join(parent, "file")
	if err := os.Mkdir(full, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(full, "notes.txt"), file} {
		if err := os.WriteFile(path, []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// Where links cannot be made, the file stands in for one.
	dead := filepath.Join(parent, "dead")
	if err := os.Symlink("nowhere", dead); err != nil {
		dead = file
	}
	before := list(t, parent)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name     string
		ctx      context.Context
		dir      string
		config   Config
		subjects int
		want     error
	}{
		{"a folder with a file", context.Background(), full, small(), 4, ErrNotEmpty},
		{"a link to nothing", context.Background(), dead, small(), 4, nil},
		{"a file", context.Background(), file, small(), 4, nil},
		{"no parent", context.Background(), filepath.Join(parent, "none", "cohort"), small(), 4, fs.ErrNotExist},
		{"no subjects", context.Background(), filepath.Join(parent, "new"), small(), 0, ErrConfig},
		{"a zero config", context.Background(), filepath.Join(parent, "new"), Config{}, 4, ErrConfig},
		{"cancelled before", cancelled, filepath.Join(parent, "new"), small(), 4, context.Canceled},
	} {
		err := Write(c.ctx, c.dir, c.config, c.subjects, nil)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if c.name == "no parent" && !strings.Contains(fmt.Sprint(err), "none does not exist; make it first") {
			t.Errorf("%s: %v does not say what to do", c.name, err)
		}
		if after := list(t, parent); !slices.Equal(before, after) {
			t.Errorf("%s: the disk holds %v, before %v", c.name, after, before)
		}
	}
}

// Cancelled half-way, Write stops at once and leaves nothing.
func TestWriteCancelled(t *testing.T) {
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	finished := 0
	err := Write(ctx, filepath.Join(parent, "cohort"), small(), 10_000, func(int) {
		if finished++; finished == 5 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if finished > 5+runtime.GOMAXPROCS(0) {
		t.Errorf("%d subjects were finished after the fifth cancelled", finished)
	}
	if left := list(t, parent); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// An empty folder makes way, also behind a symbolic link.
func TestWriteIntoAnEmptyFolder(t *testing.T) {
	parent := t.TempDir()
	dir, link := filepath.Join(parent, "empty"), filepath.Join(parent, "link")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if err := Write(context.Background(), link, small(), 2, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"empty", "link"}
	if got := list(t, parent); !slices.Equal(got, want) {
		t.Errorf("the disk holds %v, want %v", got, want)
	}
	if got := list(t, dir); !slices.Equal(got, []string{"images", "masks", "participants.tsv", "phantom.json"}) {
		t.Errorf("the cohort holds %v", got)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
