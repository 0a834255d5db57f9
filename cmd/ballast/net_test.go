package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The numbers of the four-layer network are worked out by hand: 27 taps of 1, 4 and
// 8 input channels, two numbers of batch norm a channel; a multiplication and an
// addition for each tap and voxel.
func TestNet(t *testing.T) {
	args := []string{"net", "--net", "cnn2", "--set", "net.width=4", "--grid", "8,16,16", "--classes", "3", "--batch", "5"}
	var s netSummary
	if err := json.Unmarshal([]byte(mustBallast(t, append(args, "--json")...)), &s); err != nil {
		t.Fatal(err)
	}
	conv1, conv2 := 27*4, 27*4*8
	if want := int64(conv1 + 2*4 + conv2 + 2*8 + 8*3 + 3); s.Parameters != want {
		t.Errorf("%d parameters, want %d", s.Parameters, want)
	}
	first, second := int64(2*conv1*8*16*16), int64(2*conv2*4*8*8)
	head := int64(2 * 8 * 3)
	if s.Forward != first+second+head || s.Step != 5*(2*first+3*second+3*head) {
		t.Errorf("%d FLOP forward, %d a step", s.Forward, s.Step)
	}
	if last := s.Layers[len(s.Layers)-1]; last.Name != "head" || len(last.Output) != 1 || last.Output[0] != 3 || s.Batch != 5 {
		t.Errorf("the last layer is %+v in batches of %d", last, s.Batch)
	}
	text := mustBallast(t, args...)
	for _, want := range []string{"cnn2: input 1 x 8 x 16 x 16, 3 classes\n", "\nblock2.conv  convolution", "8 x 4 x 8 x 8", "         864", "\nparameters  1,023\n", "step of 5 images", "10 voxels along each axis"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.TrimRight(line, " \n")+"\n" != line {
			t.Errorf("blanks at the end of %q", line)
		}
	}
	if code := execute(context.Background(), args, fullDisk{}, io.Discard); code != exitFailed {
		t.Errorf("on a full disk: exit %d", code)
	}
}

func TestNetOfEveryName(t *testing.T) {
	for _, name := range []string{"cnn1", "cnn6", "vgg11", "vgg13", "vgg16", "resnet10", "resnet18", "resnet34", "linear"} {
		for _, grid := range []string{"64,64", "64,64,64"} {
			var s netSummary
			text := mustBallast(t, "net", "--net", name, "--set", "net.width=2", "--grid", grid, "--json")
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				t.Fatal(err)
			}
			sum := int64(0)
			for _, l := range s.Layers {
				sum += int64(l.Parameters)
			}
			if s.Network != name || sum != s.Parameters || sum == 0 || s.Memory < 4*sum || len(s.Input) != 2+strings.Count(grid, ",") {
				t.Errorf("%s on %s: %d parameters in the layers, %d in all, %d bytes, input %v", name, grid, sum, s.Parameters, s.Memory, s.Input)
			}
		}
	}
}

func TestNetOfAPlanAndOfARun(t *testing.T) {
	cohort := writePhantom(t, 24)
	plan, out := filepath.Join(t.TempDir(), "plan.yaml"), filepath.Join(t.TempDir(), "run")
	text := mustBallast(t, append([]string{"train", cohort, "--dry-run"}, quick...)...)
	if err := os.WriteFile(plan, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	mustBallast(t, append([]string{"train", cohort, "--out", out}, quick...)...)
	ofPlan, ofRun := mustBallast(t, "net", plan), mustBallast(t, "net", out)
	if ofPlan != ofRun || !strings.Contains(ofRun, "cnn2") {
		t.Errorf("the network of the plan\n%s\nand that of its run\n%s", ofPlan, ofRun)
	}
	open := filepath.Join(t.TempDir(), "open.yaml")
	if err := os.WriteFile(open, []byte("net:\n  name: cnn3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{open}, exitUsage, "--grid 32,48,48"},
		{nil, exitUsage, "prep.grid is still to be chosen"},
		{[]string{open, plan}, exitUsage, "one plan or run"},
		{[]string{open + "x"}, exitFailed, "no such file"},
		{[]string{""}, exitFailed, `read ""`},
		{[]string{cohort}, exitFailed, cohort},
		{[]string{out, "--set", "net.width=3"}, exitUsage, "plan.yaml"},
		{[]string{out, "--batch", "0"}, exitUsage, "--batch is 0"},
		{[]string{"--grid", "4,4"}, exitUsage, "voxels"},
		{[]string{"--grid", "64"}, exitUsage, "prep.grid has 1"},
		{[]string{"--grid", "0,64"}, exitUsage, "prep.grid"},
		{[]string{"--grid", "32,32", "--classes", "1"}, exitUsage, "--classes is 1"},
		{[]string{"--grid", "32,32", "--covariates", "-1"}, exitUsage, "--covariates is -1"},
		{[]string{"--grid", "32,32", "--net", "vgg99"}, exitUsage, "vgg99"},
		{[]string{"--grid", "32,32", "--set", "net.freeze=[nothing]"}, exitUsage, "net.freeze"},
		{[]string{"--grid", "32,32", "--set", "net.wdith=3"}, exitUsage, "net.width"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"net"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("net %v: exit %d (want %d), %q, want %q", c.args, code, c.code, stderr, c.want)
		}
	}
	if text := mustBallast(t, "net", open, "--grid", "32,32", "--batch", "3", "--set", "net.pooling=attention"); !strings.Contains(text, "step of 48 images") {
		t.Errorf("three subjects of at most sixteen images:\n%s", text)
	}
	if text := mustBallast(t, "net", open, "--grid", "32,32", "--covariates", "2"); !strings.Contains(text, "2 covariates") {
		t.Errorf("covariates are not told:\n%s", text)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}
