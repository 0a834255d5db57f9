package ballast

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// portable lists the packages whose results must have the same bits on every
// CPU; with files, only those count. A compiler may fuse x*y + z into one
// rounding where the CPU can, as Go does on arm64, unless the product is
// converted explicitly: float32(x*y) + z.
var portable = []struct {
	pkg   string
	files []string
}{
	{pkg: "ballast/kernel"},
	{pkg: "ballast/net"},
	{pkg: "ballast/phantom"},
	{pkg: "ballast/prep"},
	{pkg: "ballast/probe"},
	{pkg: "ballast/stat", files: []string{"beta.go", "portable.go", "stream.go", "trigonometry.go", "ziggurat.go"}},
	{pkg: "ballast/train"},
}

// fusedAllowed lists functions that may fuse, and why it does no harm.
var fusedAllowed = map[string]string{
	"ballast/net.(*Net).initialise.func1": "the product is that of Stream.Float64, which is exact",
	"ballast/phantom.smoothNoise":         "the product is that of Stream.Float64, which is exact",
	"ballast/prep.filter":                 "half of a whole number is exact",
	"ballast/stat.(*Stream).Normal":       "the product is that of Stream.Float64, which is exact",
	"ballast/train.EstimateCost":          "the time that a run will take is told to the user only",
}

// fused is an instruction that rounds a product and a sum once, on arm64.
var fused = regexp.MustCompile(`\(([^()]+\.go):(\d+)\)\s+(FN?M(?:ADD|SUB)[SD])\b`)

// function starts a function in the compiler's listing.
var function = regexp.MustCompile(`^(\S+) STEXT`)

// A fusion is a fused instruction and where it comes from.
type fusion struct{ function, file, line, instruction string }

// TestNoFusedArithmetic cross-compiles the portable packages to arm64 and reads
// the listing.
func TestNoFusedArithmetic(t *testing.T) {
	if testing.Short() {
		t.Skip("cross-compiles the standard library: skipped in short mode")
	}
	used := map[string]bool{}
	for _, p := range portable {
		for _, f := range fusions(t, ".", p.pkg) {
			if p.files != nil && !slices.Contains(p.files, filepath.Base(f.file)) {
				continue
			}
			if fusedAllowed[f.function] == "" {
				t.Errorf("%s:%s: %s fuses (%s); round the product: float32(x*y) + z or float64(x*y) + z", f.file, f.line, f.function, f.instruction)
			}
			used[f.function] = true
		}
	}
	for name := range fusedAllowed {
		if !used[name] {
			t.Errorf("%s does not fuse any more: take it off the list", name)
		}
	}
}

// TestFusionIsFound makes sure that the test above could fail.
func TestFusionIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("cross-compiles: skipped in short mode")
	}
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module fusing\n\ngo 1.26\n",
		"a.go":   "package fusing\n\nfunc Fused(x, y, z float32) float32 { return x*y + z }\n\nfunc Rounded(x, y, z float64) float64 { return float64(x*y) + z }\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found := fusions(t, folder, "fusing")
	if len(found) != 1 || found[0].function != "fusing.Fused" || found[0].line != "3" {
		t.Errorf("found %+v, want fusing.Fused at line 3", found)
	}
}

// fusions lists the fused instructions of a package compiled for arm64.
func fusions(t *testing.T, folder, pkg string) []fusion {
	t.Helper()
	command := exec.Command("go", "build", "-gcflags="+pkg+"=-S", pkg)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOARCH=arm64", "GOOS=linux", "CGO_ENABLED=0")
	listing, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command, err, last(listing))
	}
	var found []fusion
	name, functions := "", 0
	lines := bufio.NewScanner(bytes.NewReader(listing))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m := function.FindStringSubmatch(lines.Text()); m != nil {
			name = m[1]
			functions++
		}
		if m := fused.FindStringSubmatch(lines.Text()); m != nil {
			found = append(found, fusion{name, m[1], m[2], m[3]})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if functions == 0 {
		t.Fatal(fmt.Errorf("%v lists no function", command))
	}
	return found
}

// last returns the last lines of a command's output.
func last(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
