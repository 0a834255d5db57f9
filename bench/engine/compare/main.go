// Command compare measures the reference networks in ballast and in PyTorch in
// one run, by turns, on the same number of threads, and writes the table into
// docs/performance.md:
//
//	python -m venv /tmp/torch && /tmp/torch/bin/pip install torch numpy safetensors
//	go run ./bench/engine/compare -python /tmp/torch/bin/python
//
// In every round ballast, PyTorch with its usual memory format and PyTorch with
// channels_last each run a step that does not count and two that do; medians are
// compared, PyTorch by the better of its formats. Leave the machine alone while
// it runs: some five minutes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"ballast/bench/engine"
	"ballast/kernel"
)

const page = "docs/performance.md"

// options are the command's flags.
type options struct {
	python  string
	threads int
	seconds int
	ids     string
	dry     bool
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.python, "python", "python3", "Python with torch and safetensors")
	flag.IntVar(&o.threads, "threads", 0, "threads of both (default all)")
	flag.IntVar(&o.seconds, "seconds", 280, "time to spend, about")
	flag.StringVar(&o.ids, "networks", "", "networks to compare, such as R1,R4 (default all)")
	flag.BoolVar(&o.dry, "dry-run", false, "print the table, leave "+page+" as it is")
	once := flag.String("once", "", "run one step of this network and print the peak memory: used by the command itself")
	flag.Parse()
	if *once != "" {
		if err := printMemory(*once, o.threads); err != nil {
			log.Fatal(err)
		}
		return
	}
	table, err := compare(o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(table)
	if !o.dry {
		if err := engine.Publish(page, "compare", table); err != nil {
			log.Fatal(err)
		}
	}
}

// printMemory prints the peak memory of one step, for memoryOf.
func printMemory(id string, threads int) error {
	networks, unknown := engine.Select(engine.References(), []string{id})
	if len(unknown) > 0 {
		return fmt.Errorf("no network %s", id)
	}
	pool := kernel.NewPool(threads)
	defer pool.Close()
	before := engine.PeakMemory()
	w, err := engine.NewWorkload(networks[0], pool)
	if err != nil {
		return err
	}
	w.Run()
	return json.NewEncoder(os.Stdout).Encode(memory{engine.PeakMemory(), before})
}

// compare returns the table.
func compare(o options) (string, error) {
	networks := engine.References()
	if o.ids != "" {
		var unknown []string
		if networks, unknown = engine.Select(networks, strings.Split(o.ids, ",")); len(unknown) > 0 {
			return "", fmt.Errorf("no network %s", unknown[0])
		}
	}
	pool := kernel.NewPool(o.threads)
	defer pool.Close()
	o.threads = pool.Workers()
	c := comparison{pool: pool, peak: engine.NewPeak(pool)}
	var err error
	if c.torch, err = startTorch(o.python); err != nil {
		return "", err
	}
	defer c.torch.stop()
	deadline := time.Now().Add(time.Duration(o.seconds) * time.Second)
	for i, n := range networks {
		share := time.Until(deadline) / time.Duration(len(networks)-i)
		r, err := c.network(n, time.Now().Add(share))
		if err != nil {
			return "", fmt.Errorf("%s: %w", n.ID, err)
		}
		log.Print(r.line())
		c.results = append(c.results, r)
	}
	return c.table(o)
}

// memories measures one step of the first network in programs of their own.
func memories(o options) (ours, theirs memory, err error) {
	self, err := os.Executable()
	if err != nil {
		return ours, theirs, err
	}
	n := engine.References()[0]
	if ours, err = memoryOf(exec.Command(self, "-once", n.ID, "-threads", fmt.Sprint(o.threads))); err != nil {
		return ours, theirs, err
	}
	theirs, err = torchMemory(o.python, n, o.threads)
	return ours, theirs, err
}
