package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ballast/net"
	"ballast/train"
)

func netCommand() *cobra.Command {
	var j netJob
	var asJSON bool
	c := &cobra.Command{
		Use:   "net [PLAN|RUN]",
		Short: "Show a network: layers, shapes, parameters, arithmetic, memory",
		Long: "Net builds the network of a plan file, of a run, or of the flags alone, and prints its layers\n" +
			"with the shape that each gives for one image, its parameters, and what a step costs. A plan\n" +
			"that leaves the grid to be chosen from a cohort needs --grid, or to be resolved before:\n" +
			"ballast train COHORT --plan PLAN --dry-run > resolved.yaml",
		Example: "  ballast net --net vgg11 --grid 64,64,64 --classes 3\n" +
			"  ballast net plan.yaml --set net.width=32\n" +
			"  ballast net runs/COHORT-1 --json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%w: %s takes one plan or run; %s --help shows an example", errUsage, c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			j.changed = c.Flags().Changed
			summary, err := j.summary(strings.Join(args, ""), len(args) > 0)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), summary)
			}
			return summary.print(c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&j.net, "net", "", "network, as of ballast train (default cnn4)")
	c.Flags().IntSliceVar(&j.grid, "grid", nil, "voxels along D, H, W, as 32,48,48; in 2D along H, W")
	c.Flags().IntVar(&j.classes, "classes", 2, "classes of the cohort")
	c.Flags().IntVar(&j.covariates, "covariates", 0, "numbers that encode the covariates of a subject")
	c.Flags().IntVar(&j.batch, "batch", 0, "images per step (default the plan's, else 8 volumes or 32 slices)")
	c.Flags().StringArrayVar(&j.set, "set", nil, "change one value of the plan, as in net.width=32; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// A netJob is what was asked for.
type netJob struct {
	net                        string
	grid                       []int
	classes, covariates, batch int
	set                        []string
	changed                    func(flag string) bool
}

// A netSummary is a network and its cost.
type netSummary struct {
	Network    string     `json:"network"`
	Input      []int      `json:"input"` // channels, voxels along D, H, W or H, W
	Classes    int        `json:"classes"`
	Covariates int        `json:"covariates"`
	Batch      int        `json:"batch"` // images of a step; where attention pools those of a subject, at most
	Layers     []netLayer `json:"layers"`
	Parameters int64      `json:"parameters"`
	Frozen     []string   `json:"frozen,omitempty"`
	Field      int        `json:"receptive_field,omitempty"` // voxels along each axis that a voxel of the last layer sees
	Forward    int64      `json:"flops_forward"`             // of one image
	Step       int64      `json:"flops_step"`                // of a batch, forward and backward
	Memory     int64      `json:"bytes_network"`             // parameters, activations and gradients of a batch
	Optimizer  string     `json:"optimizer"`
	State      int64      `json:"bytes_optimizer"` // what it keeps from step to step
}

type netLayer struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Output     []int  `json:"output"`
	Parameters int    `json:"parameters"`
	FLOPs      int64  `json:"flops_forward"`
}

// summary builds the network of a plan or run, or of the flags.
func (j *netJob) summary(path string, given bool) (*netSummary, error) {
	plan, config, err := j.network(path, given)
	if err != nil {
		return nil, err
	}
	network, err := net.Build(config, plan.Seed, nil)
	if err != nil {
		return nil, err
	}
	if err := network.Freeze(plan.Net.Freeze); err != nil {
		return nil, fmt.Errorf("%w: net.freeze: %w", train.ErrPlan, err)
	}
	images := plan.Batch
	if plan.Net.Pooling == "attention" { // a batch is of subjects
		images *= train.MaxBag
	}
	cost := network.Cost(images)
	s := &netSummary{
		Network: config.Name, Input: slices.Concat([]int{config.Channels}, config.Size[3-config.Dims:]),
		Classes: config.Classes, Covariates: config.Covariates, Batch: images, Frozen: plan.Net.Freeze, Field: network.ReceptiveField(),
		Parameters: cost.Parameters, Forward: cost.ForwardFLOPs / int64(images), Step: cost.StepFLOPs,
		Memory: cost.Bytes, Optimizer: plan.Optimizer.Name,
	}
	arrays := map[string]int64{"sgd": 1, "rmsprop": 1, "adam": 2, "adamw": 2}[plan.Optimizer.Name]
	for _, p := range network.Params() { // those that are trained
		s.State += 4 * arrays * int64(len(p.Value))
	}
	for _, l := range network.Layers() {
		s.Layers = append(s.Layers, netLayer(l))
	}
	return s, nil
}

// network returns a plan whose batch is stated and its network.
func (j *netJob) network(path string, given bool) (train.Plan, net.Config, error) {
	info, err := os.Stat(path)
	if given && err != nil {
		return train.Plan{}, net.Config{}, fmt.Errorf("read %q: %w", path, withoutPath(err))
	}
	if given && info.IsDir() {
		return j.ofRun(path)
	}
	plan := train.DefaultPlan()
	if given {
		if plan, err = readPlan(path); err != nil {
			return plan, net.Config{}, fmt.Errorf("%w: read plan %s: %w", errUsage, path, withoutPath(err))
		}
	}
	if err := j.change(&plan); err != nil {
		return plan, net.Config{}, err
	}
	config, err := train.NetOfPlan(plan, j.classes)
	if err != nil {
		return plan, config, err
	}
	config.Covariates = j.covariates
	return plan, config, config.Check()
}

// ofRun is the network of a run, which is as it is.
func (j *netJob) ofRun(dir string) (plan train.Plan, config net.Config, err error) {
	for _, flag := range []string{"net", "grid", "classes", "covariates", "set"} {
		if j.changed(flag) {
			return plan, config, fmt.Errorf("%w: %s is a folder, as of a run, whose network --%s cannot change; give its plan: %s",
				errUsage, dir, flag, quoted(filepath.Join(dir, "plan.yaml")))
		}
	}
	if config, err = train.NetOfRun(dir); err != nil {
		return plan, config, fmt.Errorf("%w: %w", errInput, err)
	}
	if plan, err = readPlan(filepath.Join(dir, "plan.yaml")); err != nil {
		return plan, config, fmt.Errorf("%w: read %s: %w", errInput, filepath.Join(dir, "plan.yaml"), withoutPath(err))
	}
	return plan, config, j.setBatch(&plan)
}

// change puts the flags on top of a plan, and states what it leaves open but
// for the grid.
func (j *netJob) change(plan *train.Plan) error {
	if j.changed("net") {
		plan.Net.Name = j.net
	}
	for _, assignment := range j.set {
		if err := setKey(plan, assignment); err != nil {
			return err
		}
	}
	if j.changed("grid") {
		plan.Prep.Grid = j.grid
		if len(plan.Prep.Spacing) != len(j.grid) {
			plan.Prep.Spacing = nil
		}
	}
	switch {
	case len(plan.Prep.Grid) == 0:
		return fmt.Errorf("%w: prep.grid is still to be chosen from the images of a cohort; give one, as --grid 32,48,48, or resolve the plan: ballast train COHORT --dry-run", errUsage)
	case j.classes < 2:
		return fmt.Errorf("%w: --classes is %d; it must be at least 2", errUsage, j.classes)
	case j.covariates < 0:
		return fmt.Errorf("%w: --covariates is %d; it must be at least 0", errUsage, j.covariates)
	}
	plan.Prep.Channels = max(1, plan.Prep.Channels, len(plan.Data.Path), len(plan.Data.Sequences))
	if !j.changed("covariates") && len(plan.Data.Covariates) > 0 {
		j.covariates = len(plan.Data.Covariates) // at least; a column of words becomes several
	}
	return j.setBatch(plan)
}

func (j *netJob) setBatch(plan *train.Plan) error {
	if j.changed("batch") {
		if j.batch < 1 || j.batch > 100_000 {
			return fmt.Errorf("%w: --batch is %d; it must lie between 1 and 100000", errUsage, j.batch)
		}
		plan.Batch = j.batch
	}
	usual := 8
	if len(plan.Prep.Grid) == 2 {
		usual = 32
	}
	plan.Batch = cmp.Or(plan.Batch, usual)
	return nil
}

// print writes the layers as a table and the totals as lines.
func (s *netSummary) print(w io.Writer) error {
	rows := [][]string{{"layer", "kind", "output", "parameters", "MFLOP"}}
	for _, l := range s.Layers {
		row := []string{l.Name, l.Kind, times(l.Output), "", ""}
		if l.Parameters > 0 {
			row[3] = thousands(int64(l.Parameters))
		}
		if l.FLOPs > 0 {
			row[4] = strconv.FormatFloat(float64(l.FLOPs)/1e6, 'f', 3, 64)
		}
		rows = append(rows, row)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s: input %s, %d classes", s.Network, times(s.Input), s.Classes)
	if s.Covariates > 0 {
		fmt.Fprintf(&text, ", %d covariates", s.Covariates)
	}
	text.WriteString("\n\n")
	writeColumns(&text, rows, 3)
	fmt.Fprintf(&text, "\nparameters  %s", thousands(s.Parameters))
	if len(s.Frozen) > 0 {
		fmt.Fprintf(&text, ", some of them frozen (%s)", strings.Join(s.Frozen, ", "))
	}
	if s.Field > 0 {
		fmt.Fprintf(&text, "\nseen        %d voxels along each axis by a voxel of the last layer", s.Field)
	}
	fmt.Fprintf(&text, "\narithmetic  %s forward for an image, %s for a step of %d images\n", flopsText(s.Forward), flopsText(s.Step), s.Batch)
	fmt.Fprintf(&text, "memory      %s for parameters, activations and gradients of a step, %s for %s\n", bytesText(s.Memory), bytesText(s.State), s.Optimizer)
	_, err := io.WriteString(w, text.String())
	return err
}

// writeColumns pads the columns; those from the given one on are aligned right.
func writeColumns(w *strings.Builder, rows [][]string, right int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			width := -widths[i] // aligned left
			if i >= right {
				width = widths[i]
			}
			fmt.Fprintf(&line, "%*s  ", width, cell)
		}
		w.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// thousands writes a number as 1,234,567.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func flopsText(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.1f MFLOP", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GFLOP", float64(n)/1e9)
}
