//go:build unix

// Command augmentation times every augmentation of package prep beside
// TorchIO's: the same kind of change to the same volume in memory, in turns, one
// thread each.
//
//	go run ./bench/augmentation -python PATH/TO/python
//
// It prints the table of docs/augmentation.md. The times are CPU seconds (user
// and system) of one application, medians; where the two do not do quite the
// same, the page says so. Without -python only ballast is timed.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ballast/prep"
	"ballast/stat"
	"ballast/train"
)

func main() {
	log.SetFlags(0)
	python := flag.String("python", "", "Python with torchio; empty: time ballast alone")
	repeats := flag.Int("repeats", 15, "applications of each kind at 64 voxels; a third of it at 128")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := measure(*python, *repeats); err != nil {
		log.Fatal(err)
	}
}

// measure prints a table of all kinds and sizes.
func measure(python string, repeats int) error {
	var rows [][]string
	for _, size := range []int{64, 128} {
		image := volume(size)
		other, err := start(python, image)
		if err != nil {
			return err
		}
		if size == 64 {
			fmt.Printf("%s, %s\n\n", runtime.Version(), other.versions)
			fmt.Println("| augmentation | size | ballast, ms | TorchIO, ms | ratio |\n| --- | --- | --- | --- | --- |")
		}
		n := repeats
		if size == 128 {
			n = max(3, repeats/3)
		}
		for _, kind := range kinds(size) {
			ours, theirs, err := compare(image, kind, other, n)
			if err != nil {
				return err
			}
			row := []string{kind.name, fmt.Sprintf("%d³", size), milliseconds(ours), "–", "–"}
			if theirs > 0 {
				row[3], row[4] = milliseconds(theirs), fmt.Sprintf("%.1f", theirs/ours)
			}
			rows = append(rows, row)
		}
		seconds, err := preset(image)
		if err != nil {
			return err
		}
		rows = append(rows, []string{"preset mri, mean of 200", fmt.Sprintf("%d³", size), milliseconds(seconds), "–", "–"})
		if err := other.stop(); err != nil {
			return err
		}
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	for _, row := range rows {
		fmt.Printf("| %s |\n", strings.Join(row, " | "))
	}
	return nil
}

// preset is the mean CPU time of drawing and applying the preset mri, over 200
// draws.
func preset(image *prep.Image) (float64, error) {
	plan := train.DefaultPlan()
	if err := plan.Set("augment.preset", "mri"); err != nil {
		return 0, err
	}
	plan.Prep.Grid, plan.Prep.Spacing = []int{image.D, image.H, image.W}, []float64{1, 1, 1}
	dst := make([]float32, len(image.Data))
	const n = 200
	before := cpu()
	for sample := range n {
		prep.Apply(dst, image, plan.DrawOf(sample, 1))
	}
	return (cpu() - before) / n, nil
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.1f", 1000*seconds) }

// volume is a body in empty space with some texture.
func volume(size int) *prep.Image {
	image := &prep.Image{C: 1, D: size, H: size, W: size, Data: make([]float32, size*size*size), Background: -1}
	s := stat.NewStream(1, "bench")
	for i := range image.Data {
		r := 0.0
		for _, at := range [3]int{i / size / size, i / size % size, i % size} {
			x := 2*(float64(at)+0.5)/float64(size) - 1
			r += x * x
		}
		image.Data[i] = float32(0.05*s.Normal()) - 1
		if r < 0.8 {
			image.Data[i] += 2
		}
	}
	return image
}

// A kind is one augmentation with fixed parameters: those of
// torchio_server.py as nearly as can be.
type kind struct {
	name string
	draw prep.Draw
}

func kinds(size int) []kind {
	spacing := [3]float64{1, 1, 1}
	elastic := prep.Augmentation{
		Elastic: prep.Elastic{Probability: 1, Displacement: 0.12, Points: 7},
		Grid:    [3]int{size, size, size}, Spacing: spacing,
	}
	bias := prep.Augmentation{Bias: prep.Bias{Probability: 1, Strength: 0.3, Order: 3}, Grid: [3]int{size, size, size}, Spacing: spacing}
	return []kind{
		{"flip", prep.Draw{Flip: [3]bool{true, false, false}}},
		{"affine", prep.Draw{Affine: &prep.AffineDraw{Rotation: [3]float64{7, -5, 4}, Scale: 1.1, Translation: [3]float64{1, -2, 1.5}, Spacing: spacing}}},
		{"elastic", elastic.Draw(stat.NewStream(1, "bench"))},
		{"bias", bias.Draw(stat.NewStream(1, "bench"))},
		{"motion", prep.Draw{Motion: &prep.MotionDraw{Axis: 2, Times: []float64{0.3, 0.7}, Spacing: spacing, Poses: []prep.PoseDraw{
			{Rotation: [3]float64{3, -2, 1}, Translation: [3]float64{1, 2, -1}}, {},
			{Rotation: [3]float64{2, 4, -3}, Translation: [3]float64{0.5, -2, 2}},
		}}}},
		{"ghosting", prep.Draw{Ghosting: &prep.GhostingDraw{Axis: 1, Ghosts: 6, Strength: []float64{0.5}}}},
		{"downsample", prep.Draw{Downsample: &prep.DownsampleDraw{Axis: 2, Factor: 2}}},
		{"blur", prep.Draw{Blur: &prep.BlurDraw{Sigma: []float64{1}, Spacing: spacing}}},
		{"noise", prep.Draw{Noise: &prep.NoiseDraw{Sigma: []float64{0.1}, Seed: 7}}},
		{"rician", prep.Draw{Rician: &prep.NoiseDraw{Sigma: []float64{0.1}, Seed: 7}}},
		{"gamma", prep.Draw{Gamma: &prep.GammaDraw{Gamma: []float64{1.3}}}},
		{"contrast", prep.Draw{Contrast: &prep.ContrastDraw{Contrast: []float64{1.2}, Brightness: []float64{0.1}}}},
		{"cutout", prep.Draw{Cutout: &prep.CutoutDraw{Boxes: []prep.BoxDraw{{First: [3]int{10, 10, 10}, Size: [3]int{size / 4, size / 4, size / 4}}}}}},
	}
}

// compare applies a kind in turns, n times and once before, and returns the
// medians in CPU seconds; theirs is 0 when TorchIO has no such transform.
func compare(image *prep.Image, k kind, other *server, n int) (ours, theirs float64, err error) {
	dst := make([]float32, len(image.Data))
	var our, their []float64
	for range n + 1 {
		before := cpu()
		prep.Apply(dst, image, k.draw)
		our = append(our, cpu()-before)
		seconds, err := other.time(k.name)
		if err != nil {
			return 0, 0, err
		}
		their = append(their, seconds)
	}
	return median(our[1:]), median(their[1:]), nil
}

// cpu is the CPU time that this process has used, in seconds.
func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// A server is torchio_server.py, waiting for the name of a transform.
type server struct {
	versions string
	process  *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Reader
	folder   string
}

// start starts the server with an image; an empty python gives one that knows
// nothing.
func start(python string, image *prep.Image) (*server, error) {
	if python == "" {
		return &server{versions: "without TorchIO"}, nil
	}
	folder, err := os.MkdirTemp("", "augmentation-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "voxels")
	bits := make([]byte, 0, 4*len(image.Data))
	for _, x := range image.Data {
		bits = binary.LittleEndian.AppendUint32(bits, math.Float32bits(x))
	}
	if err := os.WriteFile(file, bits, 0o600); err != nil {
		return nil, err
	}
	s := &server{folder: folder, process: exec.Command(python, filepath.Join("bench", "augmentation", "torchio_server.py"), strconv.Itoa(image.D), file)}
	s.process.Stderr = os.Stderr
	if s.in, err = s.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	line, err := s.out.ReadString('\n')
	s.versions = strings.TrimSpace(line)
	return s, err
}

// time applies a transform once and returns its CPU seconds.
func (s *server) time(name string) (float64, error) {
	if s.process == nil {
		return 0, nil
	}
	if _, err := fmt.Fprintln(s.in, name); err != nil {
		return 0, err
	}
	line, err := s.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) == "-" {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	defer os.RemoveAll(s.folder)
	if err := s.in.Close(); err != nil {
		return err
	}
	return s.process.Wait()
}
