// Command story tells docs/guides/why-does-my-validation-curve-fluctuate.md: it runs
// the commands that stand on that page, measures what no user can measure (the same
// trainings on hundreds of fresh phantom subjects, and over several seeds), and puts
// numbers and figures into the page.
//
//	go run ./bench/story [-folder FOLDER] [-shared FOLDER]
//
// It takes about half an hour on two cores. With -folder what is finished is kept there, and the
// command goes on where it was stopped. The real cohorts, which are no part of the
// repository, are looked for in the folder that -shared or BALLAST_SHARED names;
// without them their part of the page stays as it is.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"ballast/bench/engine"
)

const page = "docs/guides/why-does-my-validation-curve-fluctuate.md"

func main() {
	log.SetFlags(log.Ltime)
	folder := flag.String("folder", "", "where the cohorts and runs are kept (default a temporary folder)")
	shared := flag.String("shared", os.Getenv("BALLAST_SHARED"), "folder of the real cohorts")
	flag.Parse()
	if err := tell(context.Background(), *folder, *shared); err != nil {
		log.Fatal(err)
	}
}

// A story is the folder in which the page's commands run.
type story struct {
	folder  string
	program string // ballast, built from this checkout
}

// tell runs everything and writes the page.
func tell(ctx context.Context, folder, shared string) error {
	if folder == "" {
		made, err := os.MkdirTemp("", "story")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		folder = made
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	s := &story{folder: folder, program: filepath.Join(folder, "ballast")}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", s.program, "./cmd/ballast").CombinedOutput(); err != nil {
		return fmt.Errorf("build ballast: %w\n%s; run the command in the project's folder", err, out)
	}
	if err := s.runPage(ctx); err != nil {
		return err
	}
	truth, err := s.truth(ctx)
	if err != nil {
		return err
	}
	pairs, err := s.compare(ctx)
	if err != nil {
		return err
	}
	if err := s.publish(truth, pairs); err != nil {
		return err
	}
	return s.publishReal(ctx, shared)
}

var (
	planBlock   = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	commandLine = regexp.MustCompile(`(?m)^    ballast (.*)$`)
	outFlag     = regexp.MustCompile(`--out (\S+)`)
)

// runPage writes the page's plan.yaml and runs its commands, in their order, as they
// stand there. A command whose output is there is not run again.
func (s *story) runPage(ctx context.Context) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("%w; run the command in the project's folder", err)
	}
	plan := planBlock.FindSubmatch(text)
	if plan == nil {
		return fmt.Errorf("%s shows no plan.yaml", page)
	}
	if err := os.WriteFile(filepath.Join(s.folder, "plan.yaml"), plan[1], 0o644); err != nil {
		return err
	}
	for _, command := range commandLine.FindAllSubmatch(text, -1) {
		if err := s.once(ctx, string(command[1])); err != nil {
			return err
		}
	}
	return nil
}

// once runs a command unless it has run before just so, and keeps it and what it
// printed beside what it wrote.
func (s *story) once(ctx context.Context, line string) error {
	words := strings.Fields(line)
	output := words[1]
	if out := outFlag.FindStringSubmatch(line); out != nil {
		output = out[1]
	}
	done := filepath.Join(s.folder, output+"."+words[0])
	if old, err := os.ReadFile(done); err == nil && strings.HasPrefix(string(old), line+"\n") {
		return nil
	}
	log.Printf("ballast %s", line)
	if words[0] != "diagnose" { // which reads what others write
		if err := os.RemoveAll(filepath.Join(s.folder, output)); err != nil {
			return err
		}
	}
	printed, err := s.ballast(ctx, append(words, "--quiet")...)
	if err != nil {
		return err
	}
	return os.WriteFile(done, append([]byte(line+"\n"), printed...), 0o644)
}

// ballast runs the program in the story's folder and returns what it printed.
func (s *story) ballast(ctx context.Context, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, s.program, args...)
	command.Dir = s.folder
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("ballast %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// put puts a text into its place on the page.
func put(name, format string, values ...any) error {
	return engine.Publish(page, name, strings.TrimSpace(fmt.Sprintf(format, values...))+"\n")
}
