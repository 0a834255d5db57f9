// Command tables measures the reference networks and single convolutions of many
// shapes, on the kernels of this machine's CPU and, on amd64, on those for AVX2
// alone, and writes the tables into docs/performance.md:
//
//	go run ./bench/engine/tables
//
// It takes some three minutes, during which the machine is to do nothing else.
package main

import (
	"context"
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

// measured is what one process measures.
type measured struct {
	Report *engine.Report
	Shapes []engine.Layer
}

func main() {
	log.SetFlags(0)
	seconds := flag.Int("seconds", 60, "time for the networks, each time")
	dry := flag.Bool("dry-run", false, "print the tables, leave "+page+" as it is")
	child := flag.Bool("measure", false, "measure on the kernels that BALLAST_CPU names and print JSON: used by the command itself")
	flag.Parse()
	var err error
	if *child {
		err = measure(*seconds)
	} else {
		err = tables(*seconds, *dry)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// measure prints what this process measures.
func measure(seconds int) error {
	if err := kernel.PathError(); err != nil {
		return err
	}
	report, err := engine.Measure(context.Background(), engine.Options{
		Networks: engine.References(), Time: time.Duration(seconds) * time.Second, Layers: true,
		Progress: func(_ float64, line string) { log.Printf("%s: %s", kernel.Path(), line) },
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(measured{report, shapes()})
}

// tables measures in processes of their own, since a process keeps its kernels.
func tables(seconds int, dry bool) error {
	best, err := measureOn(kernel.Path(), seconds)
	if err != nil {
		return err
	}
	contents := map[string]string{"networks": networkTable(best.Report), "layers": layerTable(best.Report), "shapes": shapeTable(best)}
	if kernel.Path() == "avx512" {
		narrow, err := measureOn("avx2", seconds)
		if err != nil {
			return err
		}
		contents["avx2"] = networkTable(narrow.Report)
	}
	for _, name := range []string{"networks", "avx2", "layers", "shapes"} {
		text, ok := contents[name]
		if !ok {
			continue
		}
		fmt.Printf("%s\n\n%s\n", name, text)
		if dry {
			continue
		}
		if err := engine.Publish(page, name, text); err != nil {
			return err
		}
	}
	return nil
}

func measureOn(path string, seconds int) (m measured, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	command := exec.Command(self, "-measure", "-seconds", fmt.Sprint(seconds))
	command.Env = append(os.Environ(), "BALLAST_CPU="+path)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return m, fmt.Errorf("measure on %s: %w", path, err)
	}
	return m, json.Unmarshal(output, &m)
}

// where says where a report was measured, and the peak.
func where(r *engine.Report) string {
	m := r.Machine
	text := fmt.Sprintf("%s, %d threads, %s, %s kernels, %s, %s. Peak %.0f GFLOP/s (quartiles %.0f to %.0f).",
		m.CPU, m.Threads, m.System, m.Kernels, m.Go, r.Date, r.Peak, r.PeakQuartiles[0], r.PeakQuartiles[1])
	if r.Disturbed() {
		text += " The machine did other work as well."
	}
	return text + "\n\n"
}

func networkTable(r *engine.Report) string {
	var text strings.Builder
	text.WriteString(where(r))
	engine.MarkdownTable(&text, 2, r.NetworkRows)
	return text.String()
}

func layerTable(r *engine.Report) string {
	var text strings.Builder
	engine.MarkdownTable(&text, 2, r.LayerRows)
	return text.String()
}
