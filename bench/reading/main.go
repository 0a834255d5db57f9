// Command reading reads images, several at a time, and prints how long it took,
// as reading.py does with nibabel; reading.py runs the two in turns.
//
//	go run ./bench/reading [-threads N] [-keep] IMAGE...
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ballast/cohort"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "reading:", err)
		os.Exit(1)
	}
}

func run() error {
	threads := flag.Int("threads", runtime.NumCPU(), "images read at a time")
	keep := flag.Bool("keep", false, "do not give the memory of one image to the next")
	flag.Parse()
	paths := flag.Args()
	sums, problems := make([]float64, len(paths)), make([]error, len(paths))
	start := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range *threads {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(paths); i = int(next.Add(1)) - 1 {
				v, err := cohort.ReadVolume(paths[i])
				if problems[i] = err; err != nil {
					continue
				}
				sums[i] = float64(v.Data[len(v.Data)/2])
				if !*keep {
					v.Release()
				}
			}
		})
	}
	workers.Wait()
	seconds := time.Since(start).Seconds()
	total := 0.0
	for _, sum := range sums {
		total += sum
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"seconds": seconds, "sum": total})
}
