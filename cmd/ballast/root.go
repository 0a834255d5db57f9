package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ballast/kernel"
	"ballast/net"
	"ballast/phantom"
	"ballast/train"
)

// The exit codes of every command, as the README documents them.
const (
	exitDone        = 0
	exitFailed      = 1   // the input cannot be used, or the work failed
	exitUsage       = 2   // wrong command line or plan; nothing was read or written
	exitInterrupted = 130 // ended by Ctrl-C or SIGTERM; what was recorded is valid
)

// errUsage is wrapped by complaints about the command line.
var errUsage = errors.New("usage")

// execute runs the program and returns its exit code. Results go to stdout,
// everything else to stderr.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if errors.Is(err, train.ErrInterrupted) || errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "ballast: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(stderr, "ballast: "+strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
	if errors.Is(err, errUsage) || errors.Is(err, train.ErrPlan) || errors.Is(err, phantom.ErrConfig) || errors.Is(err, net.ErrConfig) {
		return exitUsage
	}
	return exitFailed
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "ballast",
		Short: "Train a CNN on an MRI cohort and learn why its validation curve fluctuates",
		Long: "ballast trains a small convolutional network on an MRI cohort, measures where the\n" +
			"fluctuation of its validation curve comes from, and says what makes it stop.",
		Example:       "  ballast demo\n  ballast train COHORT\n  ballast diagnose runs/COHORT-1 --html report.html",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unknown command %q%s; ballast --help lists the commands", errUsage, args[0], suggestion(c, args[0]))
			}
			return nil
		},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if err := kernel.PathError(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; %s --help lists the flags", errUsage, err, c.CommandPath())
	})
	root.AddCommand(demoCommand(), trainCommand(), diagnoseCommand(), predictCommand(), phantomCommand(), versionCommand())
	return root
}

func suggestion(c *cobra.Command, word string) string {
	if names := c.SuggestionsFor(word); len(names) > 0 {
		return fmt.Sprintf("; did you mean %q?", names[0])
	}
	return ""
}

// exactly demands n positional arguments, described by what.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fmt.Errorf("%w: %s needs %s; %s --help shows an example", errUsage, c.CommandPath(), what, c.CommandPath())
	}
}
