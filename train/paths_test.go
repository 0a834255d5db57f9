package train

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ballast/kernel"
	"ballast/run"
)

// recordInto names the folder that TestRecordRun trains into; only
// TestSameBitsOnEveryKernelPath, which runs it in a process of its own, sets it.
const recordInto = "BALLAST_TEST_RECORD_INTO"

func TestRecordRun(t *testing.T) {
	dir := os.Getenv(recordInto)
	if dir == "" {
		t.Skip("runs only as a child of TestSameBitsOnEveryKernelPath")
	}
	if err := kernel.PathError(); err != nil {
		t.Fatal(err)
	}
	p := smallPlan()
	p.Prep.Grid = []int{5, 11, 13} // odd sizes take the edge cases of every kernel
	images := blobs(p, 10, 6, 0)
	writer, err := run.Create(dir, Header(p, images, "test"), p.YAML())
	if err != nil {
		t.Fatal(err)
	}
	if err := Train(context.Background(), p, images, writer, Options{}); err != nil {
		t.Fatal(err)
	}
}

// The kernels in use are chosen when a process starts, so each path trains in
// its own.
func TestSameBitsOnEveryKernelPath(t *testing.T) {
	var reference map[string][]byte
	for _, path := range []string{"generic", "avx2", "avx512", "neon"} {
		dir := filepath.Join(t.TempDir(), path)
		child := exec.Command(os.Args[0], "-test.run=^TestRecordRun$")
		child.Env = append(os.Environ(), recordInto+"="+dir, "BALLAST_CPU="+path)
		if output, err := child.CombinedOutput(); err != nil {
			if bytes.Contains(output, []byte("BALLAST_CPU")) {
				t.Logf("%s: not on this CPU", path)
				continue
			}
			t.Fatalf("%s: %v\n%s", path, err, output)
		}
		got := files(t, dir)
		if reference == nil {
			reference = got
			continue
		}
		for name, content := range reference {
			if !bytes.Equal(got[name], content) {
				t.Errorf("%s: %s differs from the generic kernels'", path, name)
			}
		}
	}
}
