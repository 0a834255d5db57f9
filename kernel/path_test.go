package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestChoosePath(t *testing.T) {
	best := paths()[len(paths())-1]
	for _, c := range []struct{ wanted, want, reason string }{
		{"", best, ""},
		{generic, generic, ""},
		{best, best, ""},
		{"sse9", best, "BALLAST_CPU=sse9: not available on this CPU; use one of generic"},
	} {
		got, err := choosePath(c.wanted)
		if got != c.want || (err != nil) != (c.reason != "") || err != nil && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("choosePath(%q) = %q, %v; want %q, error %q", c.wanted, got, err, c.want, c.reason)
		}
	}
	if wanted := os.Getenv(pathVariable); slices.Contains(paths(), wanted) && Path() != wanted {
		t.Errorf("%s=%s, but Path is %s", pathVariable, wanted, Path())
	}
}

// TestGeneratedCodeIsCurrent runs the generators and compares all but the first
// line, which may hold their arguments.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generators: skipped in short mode")
	}
	for name, generator := range map[string][]string{
		"kernels_amd64": {".", "-pkg", "kernel"},
		"kernels_arm64": {"./arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			assembly, stubs := filepath.Join(t.TempDir(), name+".s"), filepath.Join(t.TempDir(), name+".go")
			arguments := append([]string{"-C", "_gen", "run"}, generator...)
			command := exec.Command("go", append(arguments, "-out", assembly, "-stubs", stubs)...)
			command.Env = append(os.Environ(), "GOPROXY=off")
			if output, err := command.CombinedOutput(); err != nil {
				if bytes.Contains(output, []byte("module lookup disabled")) {
					t.Skip("the generator's modules are not on this machine: go -C kernel/_gen mod download")
				}
				t.Fatalf("%v: %v\n%s", command, err, output)
			}
			for _, file := range []string{assembly, stubs} {
				if !bytes.Equal(afterFirstLine(t, file), afterFirstLine(t, filepath.Base(file))) {
					t.Errorf("%s is not what kernel/_gen writes: run go generate ./kernel", filepath.Base(file))
				}
			}
		})
	}
}

func afterFirstLine(t *testing.T, file string) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	return rest
}
