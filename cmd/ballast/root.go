package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
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

// errInput is wrapped by complaints about files that would otherwise pass for
// complaints about the command line, such as those about the plan of a run.
var errInput = errors.New("input")

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
	fmt.Fprintln(stderr, "ballast: "+strings.TrimPrefix(strings.TrimPrefix(err.Error(), errInput.Error()+": "), errUsage.Error()+": "))
	if errors.Is(err, errInput) {
		return exitFailed
	}
	if errors.Is(err, errFindings) {
		return exitFindings
	}
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
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unknown command %q%s; ballast --help lists the commands", errUsage, args[0], suggestion(c, args[0]))
			}
			return nil
		},
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := checkFlags(c); err != nil {
				return err
			}
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
		return fmt.Errorf("%w: %s; %s --help lists the flags", errUsage, flagProblem(err), c.CommandPath())
	})
	root.SetVersionTemplate("ballast {{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	root.AddCommand(demoCommand(), checkCommand(), initCommand(), trainCommand(), cvCommand(), resumeCommand(), lrRangeCommand(), netCommand(), splitCommand(), diagnoseCommand(), watchCommand(), predictCommand(), evaluateCommand(), explainCommand(), exportCommand(), importWeightsCommand(), phantomCommand(), lookCommand(), volumeCommand(), cacheCommand(), benchCommand(), versionCommand())
	return root
}

// printJSON writes a value for people and programs alike, indented.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
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
		verb := "needs"
		if n == 0 {
			verb = "takes"
		}
		return fmt.Errorf("%w: %s %s %s; %s --help shows an example", errUsage, c.CommandPath(), verb, what, c.CommandPath())
	}
}

// maxThreads is far above what helps on any machine.
const maxThreads = 1024

// checkFlags refuses values that make no sense for any command.
func checkFlags(c *cobra.Command) error {
	for _, name := range []string{"out", "html", "plan"} {
		if flag := c.Flags().Lookup(name); flag != nil && flag.Changed && flag.Value.String() == "" {
			return fmt.Errorf("%w: --%s is empty; name a file or folder, or leave it out", errUsage, name)
		}
	}
	if c.Flags().Lookup("threads") == nil {
		return nil
	}
	threads, err := c.Flags().GetInt("threads")
	if err != nil || threads < 0 || threads > maxThreads {
		return fmt.Errorf("%w: --threads is %d; it must lie between 1 and %d, or be 0 for all", errUsage, threads, maxThreads)
	}
	return nil
}

// flagProblem says what a flag takes instead of how Go failed to read it.
func flagProblem(err error) string {
	text := err.Error()
	var number *strconv.NumError
	if !errors.As(err, &number) {
		return text
	}
	wanted := map[string]string{
		"ParseInt": "a whole number", "ParseUint": "a whole number of at least 0", "ParseFloat": "a number", "ParseBool": "true or false",
	}[number.Func]
	if errors.Is(err, strconv.ErrRange) {
		wanted += " that fits into 64 bits"
	}
	before, _, _ := strings.Cut(text, ": strconv.")
	return before + ": it takes " + wanted
}

// helpCommand is cobra's, except that an unknown command is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("%w: no command %q; ballast --help lists the commands", errUsage, strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// untilCancelled returns what f returns, or the error of the context as soon as
// it is cancelled: for work that cannot be cancelled but writes nothing.
func untilCancelled[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := f()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
