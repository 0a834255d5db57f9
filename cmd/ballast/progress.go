package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A tracker shows how far long work is: a bar with the time left on a
// terminal, plain lines in a pipe.
type tracker struct {
	out   io.Writer
	bar   *progressbar.ProgressBar // nil in a pipe
	start time.Time
}

const barSteps = 1000

// newTracker starts tracking work with the given label.
func newTracker(out io.Writer, label string, quiet bool) *tracker {
	t := &tracker{out: out, start: time.Now()}
	switch {
	case quiet:
		t.out = io.Discard
	case isTerminal(out):
		t.bar = progressbar.NewOptions(barSteps,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(label),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	return t
}

// to moves the bar to a share of the work, 0 to 1.
func (t *tracker) to(share float64) {
	if t.bar != nil {
		_ = t.bar.Set(int(share * barSteps)) // drawing fails only when the terminal is gone
	}
}

// counter returns what is to be called, from any goroutine, after each of n
// pieces of work.
func (t *tracker) counter(n int) func() {
	var done atomic.Int64
	return func() { t.to(float64(done.Add(1)) / float64(n)) }
}

// say shows news: a few words beside the bar on a terminal, a line in a pipe.
func (t *tracker) say(share float64, words, line string) {
	if t.bar != nil {
		t.bar.Describe(words)
		t.to(share)
		return
	}
	fmt.Fprintf(t.out, "%s%s\n", line, t.left(share))
}

func (t *tracker) left(share float64) string {
	if share <= 0 || share >= 1 {
		return ""
	}
	remaining := time.Duration(float64(time.Since(t.start)) * (1 - share) / share)
	return ", " + brief(remaining) + " left"
}

// done removes the bar.
func (t *tracker) done() {
	if t.bar != nil {
		_ = t.bar.Finish()
	}
}

// brief writes a duration with two units at most: 45s, 3m20s, 2h10m.
func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// colourful reports whether colours help: on a terminal that wants them.
func colourful(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// textWidth is the width to format text for.
func textWidth(w io.Writer) int {
	if file, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 40 {
			return min(width, 120)
		}
	}
	return 100
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool {
		return r < 128 && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+,:@%=", r)
	}) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
