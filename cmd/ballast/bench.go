package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ballast/bench/engine"
)

// maxBenchSeconds is far above what makes a median better.
const maxBenchSeconds = 3600

func benchCommand() *cobra.Command {
	b := benchmark{all: engine.References()}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine trains reference networks",
		Long: "Bench times training steps of reference networks (R1 to R4) and the application of one\n" +
			"(R5), beside the peak of this machine's multiply-adds and one thread, and prints GFLOP/s\n" +
			"of the networks and of their convolutions. Other work on the machine disturbs it.",
		Example: "  ballast bench\n  ballast bench --networks R1,R1-nobn --seconds 10\n  ballast bench --json --layers=false",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return b.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	var ids []string
	for _, n := range b.all {
		ids = append(ids, n.ID)
	}
	c.Flags().StringSliceVar(&b.ids, "networks", nil, "networks to measure, of "+strings.Join(ids, ", ")+" (default all)")
	c.Flags().BoolVar(&b.layers, "layers", true, "measure the convolutions one by one, too")
	c.Flags().IntVar(&b.seconds, "seconds", 40, "time to spend, about; networks too slow for it are left out and named")
	c.Flags().IntVar(&b.threads, "threads", 0, "threads to use (default all)")
	c.Flags().BoolVar(&b.asJSON, "json", false, "print as JSON")
	c.Flags().BoolVar(&b.quiet, "quiet", false, "show no progress")
	return c
}

// A benchmark is the command's flags and the networks to choose from.
type benchmark struct {
	all              []engine.Network
	ids              []string
	seconds, threads int
	layers           bool
	asJSON, quiet    bool
}

func (b *benchmark) run(ctx context.Context, stdout, stderr io.Writer) error {
	chosen, err := b.chosen()
	if err != nil {
		return err
	}
	report, err := b.measure(ctx, chosen, stderr)
	if err != nil {
		return err
	}
	if b.asJSON {
		return printJSON(stdout, report)
	}
	return report.Text(stdout)
}

// chosen returns the networks to measure, all unless some are named.
func (b *benchmark) chosen() ([]engine.Network, error) {
	if b.seconds < 1 || b.seconds > maxBenchSeconds {
		return nil, fmt.Errorf("%w: --seconds is %d; it must lie between 1 and %d", errUsage, b.seconds, maxBenchSeconds)
	}
	if b.ids == nil {
		return b.all, nil
	}
	chosen, unknown := engine.Select(b.all, b.ids)
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w: --networks: unknown network %q; ballast bench --help lists them", errUsage, unknown[0])
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w: --networks is empty; name networks, or leave it out", errUsage)
	}
	return chosen, nil
}

func (b *benchmark) measure(ctx context.Context, networks []engine.Network, stderr io.Writer) (*engine.Report, error) {
	bar := newTracker(stderr, "measuring", b.quiet)
	defer bar.done()
	return engine.Measure(ctx, engine.Options{
		Networks: networks, Threads: b.threads, Layers: b.layers, Time: time.Duration(b.seconds) * time.Second,
		Progress: func(share float64, line string) {
			if line != "" {
				bar.say(share, line, line)
			}
		},
	})
}
