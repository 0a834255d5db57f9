package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ballast/net"
	"ballast/train"
)

func importWeightsCommand() *cobra.Command {
	var j importJob
	var asJSON bool
	c := &cobra.Command{
		Use:   "import-weights FILE",
		Short: "Make a file that training can start from",
		Long: "Import-weights reads a safetensors file, of ballast or of PyTorch, holds its tensors against\n" +
			"the network of a plan or run, and writes those that fit, as float32 and with ballast's names,\n" +
			"for net.weights in a plan. What fits is decided by name and shape: a head for another number\n" +
			"of classes is left out, and training draws that layer from the seed.",
		Example: "  ballast import-weights pretrained.safetensors --run runs/COHORT-1 --out start.safetensors\n" +
			"  ballast import-weights torch.safetensors --plan plan.yaml --strip module. --map fc=head --out start.safetensors\n" +
			"  ballast train COHORT --set net.weights=start.safetensors --set net.freeze=[block1,block2]",
		Args: exactly(1, "one safetensors file"),
		RunE: func(c *cobra.Command, args []string) error {
			j.file, j.classesGiven = args[0], c.Flags().Changed("classes")
			renames, err := j.check()
			if err != nil {
				return err
			}
			result, err := j.run(renames)
			if err != nil {
				return err
			}
			return result.print(c.OutOrStdout(), asJSON)
		},
	}
	c.Flags().StringVar(&j.plan, "plan", "", "plan whose network the tensors are for; ballast train --dry-run prints one")
	c.Flags().StringVar(&j.runDir, "run", "", "run whose network the tensors are for")
	c.Flags().StringVar(&j.out, "out", "", "file to write")
	c.Flags().IntVar(&j.classes, "classes", 0, "classes of the plan's cohort (default: as many as the file's head has)")
	c.Flags().StringArrayVar(&j.strip, "strip", nil, "take this off the beginning of names, as module. ; may be repeated")
	c.Flags().StringArrayVar(&j.maps, "map", nil, "FROM=TO: begin names with TO in place of FROM, as fc=head; may be repeated, the first that applies counts")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

// An importJob is one import of weights.
type importJob struct {
	file, plan, runDir, out string
	classes                 int
	classesGiven            bool
	strip, maps             []string
}

// check refuses a wrong command line and reads the renames.
func (j *importJob) check() ([]train.Rename, error) {
	switch {
	case (j.plan == "") == (j.runDir == ""):
		return nil, fmt.Errorf("%w: the network comes from --plan or from --run; give one of them", errUsage)
	case j.out == "":
		return nil, fmt.Errorf("%w: --out is missing; name the file to write", errUsage)
	case j.classesGiven && j.runDir != "":
		return nil, fmt.Errorf("%w: a run knows its classes; leave --classes out", errUsage)
	case j.classesGiven && j.classes < 2:
		return nil, fmt.Errorf("%w: --classes is %d; it must be at least 2", errUsage, j.classes)
	}
	var renames []train.Rename
	for _, text := range j.maps {
		from, to, found := strings.Cut(text, "=")
		if !found || from == "" {
			return nil, fmt.Errorf("%w: --map %s: write it as FROM=TO, as in fc=head", errUsage, text)
		}
		renames = append(renames, train.Rename{From: from, To: to})
	}
	for _, prefix := range j.strip {
		if prefix == "" {
			return nil, fmt.Errorf("%w: --strip is empty; name the beginning to take off (as module.)", errUsage)
		}
	}
	return renames, mustBeFree(j.out)
}

// An importResult is what was done with the tensors of a file.
type importResult struct {
	Out     string         `json:"out"`
	Network string         `json:"network"`
	Used    []string       `json:"used"`
	Missing []string       `json:"missing"`
	Left    []net.Leftover `json:"left"`
	tensors int            // in the file
}

func (j *importJob) run(renames []train.Rename) (*importResult, error) {
	read, skipped, err := train.ReadTensors(j.file)
	if err != nil {
		return nil, err
	}
	tensors, err := train.RenameTensors(read, j.strip, renames)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	config, err := j.network(tensors)
	if err != nil {
		return nil, err
	}
	fit, err := train.FitNetwork(config, tensors)
	if err != nil {
		return nil, err
	}
	fit.Left = append(fit.Left, train.LeftSkipped(skipped)...)
	if len(fit.Used) == 0 {
		return nil, fmt.Errorf("import %s: none of its %d tensors fits network %q%s", j.file, len(read)+len(skipped), config.Name, examplesOf(fit))
	}
	data, err := train.ImportedFile(fit.Used, "ballast "+version, j.file)
	if err == nil {
		err = writeFree(j.out, data)
	}
	if err != nil {
		return nil, err
	}
	result := &importResult{Out: j.out, Network: config.Name, Missing: []string{}, Left: []net.Leftover{}, tensors: len(read) + len(skipped)}
	result.Missing, result.Left = append(result.Missing, fit.Missing...), append(result.Left, fit.Left...)
	for _, t := range fit.Used {
		result.Used = append(result.Used, t.Name)
	}
	return result, nil
}

// network is that of the run or the plan. A plan does not say how many classes
// there are; the file's head does.
func (j *importJob) network(tensors []net.Tensor) (net.Config, error) {
	if j.runDir != "" {
		config, err := train.NetOfRun(j.runDir)
		if err != nil {
			err = fmt.Errorf("%w: %w", errInput, err)
		}
		return config, err
	}
	plan, err := readPlan(j.plan)
	if err != nil {
		return net.Config{}, fmt.Errorf("%w: read plan %s: %w", errUsage, j.plan, withoutPath(err))
	}
	classes := j.classes
	for _, t := range tensors {
		if t.Name == "head.bias" && classes == 0 && len(t.Data) > 1 {
			classes = len(t.Data)
		}
	}
	return train.NetOfPlan(plan, max(2, classes))
}

// examplesOf shows a name of the file beside one that the network wants.
func examplesOf(fit net.Fit) string {
	text := ""
	if len(fit.Left) > 0 {
		text = fmt.Sprintf(" (%s: %s)", fit.Left[0].Name, fit.Left[0].Reason)
	}
	return fmt.Sprintf("%s; the first that the network wants is %s; --map and --strip change names", text, fit.Missing[0])
}

// print shows the result in lines, or as JSON.
func (r *importResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "wrote %s: %d of %d tensors, for %d of the %d of %s\n", r.Out, len(r.Used), r.tensors, len(r.Used), len(r.Used)+len(r.Missing), r.Network)
	for _, left := range r.Left {
		fmt.Fprintf(&text, "left out: %s: %s\n", left.Name, left.Reason)
	}
	for _, name := range r.Missing {
		fmt.Fprintf(&text, "not given, so drawn from the seed: %s\n", name)
	}
	fmt.Fprintf(&text, "train with it: ballast train COHORT --set net.weights=%s\n", quoted(r.Out))
	_, err := io.WriteString(w, text.String())
	return err
}
