package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/prep"
)

// TestMain keeps the tests out of the user's cache. A process that a test starts
// as the program is the program.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	dir, err := os.MkdirTemp("", "ballast-cache")
	if err != nil {
		panic(err)
	}
	os.Setenv(cacheFolder, dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func cacheStatus(t *testing.T) (s prep.CacheStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustBallast(t, "cache", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A run from the cache, one that filled it and one without it leave the same
// bytes; predictions agree too.
func TestCacheChangesNothing(t *testing.T) {
	t.Setenv(cacheFolder, filepath.Join(t.TempDir(), "cache"))
	dir := writePhantom(t, 16)
	if s := cacheStatus(t); s.Entries != 0 || s.Limit != defaultCacheLimit {
		t.Fatalf("a new cache: %+v", s)
	}
	var runs []string
	for n, more := range [][]string{{"--no-cache"}, {}, {}} {
		out := filepath.Join(t.TempDir(), "run")
		mustBallast(t, append(append([]string{"train", dir, "--out", out, "--set", "prep.standardise=nyul", "--set", "prep.crop=foreground"}, quick...), more...)...)
		runs = append(runs, out)
		// 16 prepared images; of the 12 of training also extent and landmarks.
		if s := cacheStatus(t); s.Entries != []int{0, 40, 40}[n] {
			t.Errorf("after run %d: %+v", n, s)
		}
	}
	for _, name := range []string{"run.json", "plan.yaml", "prep.json", "epochs.jsonl", "weights/last.safetensors"} {
		var contents []string
		for _, out := range runs {
			text, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(name)))
			if err != nil {
				t.Fatal(err)
			}
			contents = append(contents, string(text))
		}
		if contents[0] != contents[1] || contents[1] != contents[2] {
			t.Errorf("%s differs between runs with and without the cache", name)
		}
	}
	images, err := filepath.Glob(filepath.Join(dir, "images", "*"))
	if err != nil || len(images) == 0 {
		images, err = filepath.Glob(filepath.Join(dir, "*", "*.nii*"))
	}
	if err != nil || len(images) == 0 {
		t.Fatalf("no images in the phantom: %v", err)
	}
	if one, two := mustBallast(t, "predict", runs[0], images[0], "--no-cache"), mustBallast(t, "predict", runs[0], images[0]); one != two {
		t.Errorf("predictions %s without the cache, %s with it", one, two)
	}
	if text := mustBallast(t, "cache", "clear"); !strings.HasPrefix(text, "removed 40 entries") && !strings.HasPrefix(text, "removed 41 entries") {
		t.Errorf("cache clear says %q", text)
	}
	if s := cacheStatus(t); s.Entries != 0 {
		t.Errorf("after clearing: %+v", s)
	}
}

func TestCacheLimit(t *testing.T) {
	for text, want := range map[string]int64{"": 10 << 30, "500MB": 500 << 20, "1.5 gb": 3 << 29, "123": 123, "2TB": 2 << 40, "7b": 7} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"much", "-1MB", "NaN", "1e30GB", "MB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
	t.Setenv(cacheLimit, "much")
	if code, _, stderr := ballast(t, "cache"); code != exitUsage || !strings.Contains(stderr, "write it as 500MB or 20GB") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}
