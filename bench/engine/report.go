package engine

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Report is what was measured. Rates are in nominal GFLOP/s.
type Report struct {
	Peak          float64    `json:"peak_gflops"` // of all threads used, median of all probes
	PeakOneThread float64    `json:"peak_one_thread_gflops"`
	PeakQuartiles [2]float64 `json:"peak_quartiles_gflops"` // of the probes of all threads
	Networks      []Result   `json:"networks"`
	LeftOut       []string   `json:"left_out,omitempty"` // networks of which one step would have taken too long
	Layers        []Layer    `json:"layers,omitempty"`
	Machine       Machine    `json:"machine"`
	Date          string     `json:"date"`
}

// A Result is the measurement of one network. Fields of one thread, of memory
// and of allocations are left out where there was no time or no way to measure.
type Result struct {
	ID             string   `json:"id"`
	About          string   `json:"about"`
	StepMS         float64  `json:"step_ms"` // median; of one forward pass for inference
	LeastStepMS    float64  `json:"least_step_ms"`
	GFLOPS         float64  `json:"gflops"`
	FractionOfPeak float64  `json:"fraction_of_peak"`   // of the peak of the whole run
	PeakBeside     float64  `json:"peak_beside_gflops"` // median of the probes between this network's samples
	Samples        int      `json:"samples"`
	OneThreadMS    float64  `json:"one_thread_step_ms,omitempty"`
	SpeedUp        float64  `json:"speed_up,omitempty"`       // of all threads over one
	PeakBytes      int64    `json:"peak_rss_bytes,omitempty"` // of the program during its steps on all threads
	Allocations    *float64 `json:"allocations_per_step,omitempty"`
	FLOPs          int64    `json:"nominal_flops"`

	times  [2][]float64 // ms, of all threads and of one
	probes [2][]float64
}

// summarise sets what follows from the samples.
func (r *Result) summarise() {
	r.StepMS, r.LeastStepMS = Median(r.times[0]), r.times[0][0]
	for _, t := range r.times[0] {
		r.LeastStepMS = min(r.LeastStepMS, t)
	}
	r.Samples = len(r.times[0])
	r.GFLOPS = float64(r.FLOPs) / r.StepMS / 1e6
	r.PeakBeside = Median(r.probes[0])
	r.OneThreadMS = Median(r.times[1])
	if r.OneThreadMS > 0 {
		r.SpeedUp = r.OneThreadMS / r.StepMS
	}
}

// finish sets the peaks and what is relative to them from all probes of all
// threads and of one.
func (r *Report) finish(probes [2][]float64) {
	r.Peak, r.PeakOneThread = Median(probes[0]), Median(probes[1])
	r.PeakQuartiles[0], r.PeakQuartiles[1] = Quartiles(probes[0])
	for i := range r.Networks {
		n := &r.Networks[i]
		n.FractionOfPeak = n.GFLOPS / r.Peak
	}
}

// Disturbed reports whether the peak, which only the machine decides, was not
// the same all the time.
func (r *Report) Disturbed() bool { return Wavers(r.PeakQuartiles[0], r.PeakQuartiles[1]) }

// Wavers reports whether quartiles of the peak lie more than a tenth apart.
func Wavers(low, high float64) bool { return high > 1.1*low }

// line tells the result in one line.
func (r *Result) line() string {
	return fmt.Sprintf("%s: %.1f ms, %s GFLOP/s", r.ID, r.StepMS, short(r.GFLOPS))
}

// Text writes the report as tables for people.
func (r *Report) Text(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s; %s kernels, %s of %d, %s, %s, %s\n", m.CPU, m.Kernels, counted(m.Threads, "thread"), m.Cores, m.Go, m.System, r.Date)
	fmt.Fprintf(w, "Peak of multiply-adds: %s GFLOP/s (quartiles %s to %s)\n", short(r.Peak), short(r.PeakQuartiles[0]), short(r.PeakQuartiles[1]))
	if r.Disturbed() {
		fmt.Fprintln(w, "The peak wavers: this machine does other work as well, and no figure here is what it could be.")
	}
	fmt.Fprintln(w)
	if err := writeTable(w, r.NetworkRows, 2); err != nil {
		return err
	}
	if len(r.LeftOut) > 0 {
		fmt.Fprintf(w, "Left out for lack of time: %s.\n", strings.Join(r.LeftOut, ", "))
	}
	if len(r.Layers) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nConvolutions on their own, GFLOP/s (of the peak)")
	return writeTable(w, r.LayerRows, 2)
}

// writeTable writes rows in columns, the first few of which are words and stand
// left.
func writeTable(w io.Writer, rows func(row func(cells ...string)), words int) error {
	var widths []int
	rows(func(cells ...string) {
		widths = append(widths, make([]int, len(cells)-min(len(cells), len(widths)))...)
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	})
	var text strings.Builder
	rows(func(cells ...string) {
		line := ""
		for i, cell := range cells {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < words {
				line += cell + space + "  "
			} else {
				line += space + cell + "  "
			}
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	})
	_, err := io.WriteString(w, text.String())
	return err
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// NetworkRows writes the table of networks, the head first.
func (r *Report) NetworkRows(row func(cells ...string)) {
	row("network", "what", "step ms", "GFLOP/s", "of the peak", "one thread ms", "speed-up", "peak RSS MB", "allocations")
	for _, n := range r.Networks {
		one, speed, memory, allocations := "-", "-", "-", "-"
		if n.OneThreadMS > 0 {
			one, speed = fmt.Sprintf("%.1f", n.OneThreadMS), fmt.Sprintf("%.2f", n.SpeedUp)
		}
		if n.PeakBytes > 0 {
			memory = fmt.Sprintf("%.0f", float64(n.PeakBytes)/1e6)
		}
		if n.Allocations != nil {
			allocations = fmt.Sprintf("%.0f", *n.Allocations)
		}
		row(n.ID, n.About, fmt.Sprintf("%.1f", n.StepMS), short(n.GFLOPS), percent(n.FractionOfPeak), one, speed, memory, allocations)
	}
}

// LayerRows writes the table of layers, the head first.
func (r *Report) LayerRows(row func(cells ...string)) {
	row("layer", "geometry", "forward", "backward data", "backward weights")
	for _, l := range r.Layers {
		forward, data, weights := r.Shares(l)
		row(l.Network+" "+l.Name, l.Shape, forward, data, weights)
	}
}

// Shares returns the rates of a layer as words, each with its share of the peak.
func (r *Report) Shares(l Layer) (forward, data, weights string) {
	data = "-"
	if l.BackwardData > 0 {
		data = r.withShare(l.BackwardData)
	}
	return r.withShare(l.Forward), data, r.withShare(l.BackwardWeights)
}

func (r *Report) withShare(gflops float64) string {
	return fmt.Sprintf("%s (%s)", short(gflops), percent(gflops/r.Peak))
}

// short writes a rate with two digits or more.
func short(gflops float64) string {
	if gflops < 10 {
		return fmt.Sprintf("%.1f", gflops)
	}
	return fmt.Sprintf("%.0f", gflops)
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
