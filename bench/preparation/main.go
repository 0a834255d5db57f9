// Command preparation reads and prepares every image of sts-lungmets and prints
// how long it took and how much memory, as preparation.py does with nibabel,
// numpy and scipy; compare.py runs the two in turns.
//
//	go run ./bench/preparation [-threads N] [-cache FOLDER] [-crop mask|foreground] COHORT
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"ballast/cohort"
	"ballast/prep"
	"ballast/train"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "preparation:", err)
		os.Exit(1)
	}
}

// A result is what both programs print.
type result struct {
	Program   string  `json:"program"`
	Images    int     `json:"images"`
	Seconds   float64 `json:"seconds"`
	Processor float64 `json:"processor_seconds"`
	PeakMB    float64 `json:"peak_mb"`
	Hits      int64   `json:"cache_hits"`
}

func run() error {
	threads := flag.Int("threads", runtime.NumCPU(), "images prepared at a time")
	folder := flag.String("cache", "", "folder of a cache; none: every image is read")
	crop := flag.String("crop", "mask", "mask or foreground")
	dump := flag.String("dump", "", "file for the prepared voxels, little-endian float32")
	profile := flag.String("profile", "", "file for a CPU profile")
	flag.Parse()
	if flag.NArg() != 1 {
		return errors.New("name the cohort")
	}
	c, err := cohort.Open(flag.Arg(0), cohort.Options{})
	if err != nil {
		return err
	}
	plan := train.DefaultPlan()
	plan.Batch = 8
	plan.Prep.Crop, plan.Prep.Grid, plan.Prep.Spacing = *crop, []int{32, 48, 48}, []float64{3.27, 3, 3}
	reading := train.Reading{Threads: *threads}
	if *folder != "" {
		reading.Cache = prep.OpenCache(*folder, 1<<30)
	}
	var all cohort.Split
	for subject := range c.Subjects {
		all.Train = append(all.Train, subject)
	}
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	before, start := processorTime(), time.Now()
	images, err := train.Load(context.Background(), c, all, plan, reading)
	if err != nil {
		return err
	}
	r := result{
		Program: "ballast", Images: len(images.Train.Samples), Seconds: time.Since(start).Seconds(),
		Processor: processorTime() - before, PeakMB: peakMemory(),
	}
	if reading.Cache != nil {
		r.Hits, _ = reading.Cache.Counts()
	}
	if *dump != "" {
		if err := write(*dump, images); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func write(name string, images *train.Images) error {
	var out []byte
	for _, sample := range images.Train.Samples {
		for _, x := range sample.Image.Data {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		}
	}
	return os.WriteFile(name, out, 0o644)
}

// peakMemory is the largest resident set of the program so far in MB, 0 where it
// is not known how to ask.
func peakMemory() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kilobytes float64
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kilobytes); err == nil {
			return kilobytes / 1024
		}
	}
	return 0
}

// processorTime is the time that all threads of the program have computed so far
// in seconds, 0 where it is not known how to ask. Linux counts it in hundredths.
func processorTime() float64 {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}
