package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"ballast/bench/engine"
	"ballast/diagnosis"
)

const (
	page       = "docs/reliability-of-diagnosis.md"
	figureFile = "docs/confusion.svg"
	budgetPage = "docs/budget.md"
	logsPage   = "docs/logs.md"
)

// others makes the tables that the page takes from other pages: those of the budget and,
// where the folder of the logs is named, of the logs of other people.
func (s *study) others() error {
	if s.budget {
		if err := command(os.Stdout, "go", "run", "./bench/budget"); err != nil {
			return err
		}
	}
	if s.logs == "" {
		return nil
	}
	var table bytes.Buffer
	if err := command(&table, "go", "run", "./bench/logs", s.logs); err != nil {
		return err
	}
	text, err := os.ReadFile(logsPage)
	if err != nil {
		return err
	}
	replaced, err := replaceBlock(string(text), "logs", table.String())
	if err != nil {
		return fmt.Errorf("%s: %w", logsPage, err)
	}
	return os.WriteFile(logsPage, []byte(replaced), 0o644)
}

// command runs another command of the project.
func command(output io.Writer, name string, arguments ...string) error {
	c := exec.Command(name, arguments...)
	c.Stdout, c.Stderr = output, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, arguments...), " "), err)
	}
	return nil
}

// publish writes what follows from the results: the page, its figure, the rates in the
// doc comments of the causes and those that ballast explain prints.
func (s *study) publish() error {
	outcomes, err := readResults(resultsFile)
	if err != nil {
		return err
	}
	for _, file := range products(outcomes) {
		text, err := file.make()
		if err == nil {
			err = os.WriteFile(file.name, []byte(text), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A product is a file of which the whole or a part follows from the results.
type product struct {
	name string
	make func() (string, error)
}

// products lists them.
func products(outcomes []outcome) []product {
	all := []product{
		{page, func() (string, error) { return pageText(page, outcomes) }},
		{figureFile, func() (string, error) { return figure(outcomes), nil }},
		{ratesFile, func() (string, error) { return ratesText(outcomes) }},
	}
	return append(all, comments(outcomes)...)
}

// pageText is the page with its tables made anew and those of other pages copied.
func pageText(file string, outcomes []outcome) (string, error) {
	old, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w; run the command in the project's folder", err)
	}
	text := string(old)
	for _, table := range tables(outcomes) {
		if text, err = replaceBlock(text, "table "+table.name, table.text); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, copied := range []struct{ page, block string }{{budgetPage, "table trained-summary"}, {logsPage, "logs"}} {
		other, err := os.ReadFile(copied.page)
		if err != nil {
			return "", err
		}
		block := blockOf(copied.block).FindStringSubmatch(string(other))
		if block == nil {
			return "", fmt.Errorf("%s has no block %q", copied.page, copied.block)
		}
		if text, err = replaceBlock(text, copied.block, block[2]); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
	}
	return text, nil
}

// blockOf finds a block of a page by its name.
func blockOf(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)(<!-- ` + regexp.QuoteMeta(name) + ` -->\n)(.*?)(<!-- end -->)`)
}

func replaceBlock(text, name, block string) (string, error) {
	place := blockOf(name).FindStringSubmatchIndex(text)
	if place == nil {
		return "", fmt.Errorf("no place for the block %q", name)
	}
	return text[:place[4]] + block + text[place[5]:], nil
}

// A table of the page.
type table struct{ name, text string }

func tables(outcomes []outcome) []table {
	return []table{
		{"goals", goalsTable(outcomes)},
		{"faults", faultsTable(outcomes)},
		{"causes", causesTable(outcomes)},
		{"confusion", confusionTable(outcomes)},
		{"networks", networksTable(outcomes)},
		{"alarms", alarmsTable(outcomes)},
		{"alarm-causes", alarmCausesTable(outcomes)},
		{"rivals", rivalsTable(outcomes)},
		{"rules", rulesTable()},
		{"real", realTable(outcomes)},
		{"counts", countsText(outcomes)},
	}
}

// faultyPhantom, cleanPhantom and real divide the outcomes.
func faultyPhantom(o *outcome) bool { return o.cohort == phantomCohort && o.planted != "" }
func cleanPhantom(o *outcome) bool  { return o.cohort == phantomCohort && o.planted == "" }
func onPatients(o *outcome) bool    { return o.cohort != phantomCohort && o.planted != "" }

// and joins conditions.
func and(conditions ...func(*outcome) bool) func(*outcome) bool {
	return func(o *outcome) bool {
		for _, holds := range conditions {
			if !holds(o) {
				return false
			}
		}
		return true
	}
}

// made keeps the outcomes that were diagnosed in this way.
func (m mode) made(o *outcome) bool { return m.claims(o) != nil }

var modes = []mode{fromRecord, withProbes}

// falsely counts the claims of a verdict that are not true.
func (m mode) falsely(v string) func(*outcome) int {
	return func(o *outcome) int { return len(o.falseClaims(m.claims(o), v)) }
}

// goalsTable holds the results against what was asked for beforehand.
func goalsTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		row("measure (95 % interval)", "goal", "record alone", "goal", "with experiments")
		detected := func(first int, m mode) string {
			return rateOf(filter(outcomes, and(faultyPhantom, m.made)), m.among(first)).text()
		}
		row("planted cause named first", "", detected(1, fromRecord), "", detected(1, withProbes))
		row("planted cause named first or second", "at least 75 %", detected(2, fromRecord), "at least 90 %", detected(2, withProbes))
		same := rateOf(filter(outcomes, and(faultyPhantom, withProbes.made)), fromRecord.among(2))
		row("the same, of the runs with experiments before they were made", "", "", "", same.text())
		sure := func(m mode) string {
			return rateOf(filter(outcomes, and(faultyPhantom, m.made)), func(o *outcome) bool { return claim{"", verdict(m.claims(o), o.planted)}.sure() }).text()
		}
		row("planted cause likely or confirmed", "", sure(fromRecord), "", sure(withProbes))
		silent := func(m mode) string {
			return rateOf(filter(outcomes, and(faultyPhantom, m.made)), func(o *outcome) bool { return verdict(m.claims(o), o.planted) == diagnosis.CannotTell }).text()
		}
		row("planted cause: cannot tell", "", silent(fromRecord), "", silent(withProbes))
		for _, v := range []string{diagnosis.Confirmed, diagnosis.Likely} {
			alarms := func(m mode) string { return meanOf(filter(outcomes, and(cleanPhantom, m.made)), m.falsely(v)).text() }
			goal := map[string]string{diagnosis.Confirmed: "at most 0.05", diagnosis.Likely: "at most 0.2"}[v]
			row("false *"+v+"* per clean run", goal, alarms(fromRecord), goal, alarms(withProbes))
			row("the same, of the runs with experiments before they were made", "", "", "",
				meanOf(filter(outcomes, and(cleanPhantom, withProbes.made)), fromRecord.falsely(v)).text())
		}
		for _, v := range []string{diagnosis.Confirmed, diagnosis.Likely} {
			alarms := func(m mode) string { return meanOf(filter(outcomes, and(faultyPhantom, m.made)), m.falsely(v)).text() }
			row("false *"+v+"* per faulty run", "", alarms(fromRecord), "", alarms(withProbes))
		}
	})
	return b.String()
}

// countsText says how many runs there are.
func countsText(outcomes []outcome) string {
	seeds := map[uint64]bool{}
	for _, o := range filter(outcomes, faultyPhantom) {
		seeds[o.seed] = true
	}
	controls := map[uint64]bool{}
	for _, o := range filter(outcomes, cleanPhantom) {
		controls[o.seed] = true
	}
	count := func(keep func(*outcome) bool) int { return len(filter(outcomes, keep)) }
	return fmt.Sprintf("%d runs: %d with a planted fault on phantoms (%d causes by %d faults, %d seeds), %d clean controls (%d seeds), %d on real cohorts. "+
		"Experiments were made on %d of the faulty ones and on %d of the controls.\n",
		len(outcomes), count(faultyPhantom), len(plantedCauses(outcomes)), len(faultNames(outcomes)), len(seeds), count(cleanPhantom), len(controls),
		count(func(o *outcome) bool { return o.cohort != phantomCohort }), count(and(faultyPhantom, withProbes.made)), count(and(cleanPhantom, withProbes.made)))
}

// faultNames lists the faults of the outcomes in the order of their definition.
func faultNames(outcomes []outcome) (names []string) {
	for i := range faults {
		if f := &faults[i]; f.name != clean && len(filter(outcomes, func(o *outcome) bool { return o.fault == f.name })) > 0 {
			names = append(names, f.name)
		}
	}
	return names
}

// faultsTable shows what every fault does.
func faultsTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 3, func(row func(...string)) {
		row("fault", "cause", "what is changed", "accuracy on fresh subjects: cnn3", "resnet10", "cnn4-plain", "jitter at n = 200: cnn3", "resnet10", "cnn4-plain")
		for i := range faults {
			f := &faults[i]
			cells := []string{f.name, f.planted(), f.difference()}
			for _, of := range []func(*outcome) (float64, string){
				func(o *outcome) (float64, string) { return 100 * o.accuracy, "%.0f %%" },
				func(o *outcome) (float64, string) { return o.points, "%.1f" },
			} {
				for _, n := range networks {
					own := filter(outcomes, func(o *outcome) bool {
						return o.cohort == phantomCohort && o.fault == f.name && o.network == n.name && o.validation == mostValidation
					})
					cells = append(cells, averageText(own, of))
				}
			}
			row(cells...)
		}
	})
	return b.String()
}

// averageText is the mean of a value over the outcomes that have it.
func averageText(own []*outcome, of func(*outcome) (float64, string)) string {
	sum, n, format := 0.0, 0.0, ""
	for _, o := range own {
		x, f := of(o)
		if x == x {
			sum, n, format = sum+x, n+1, f
		}
	}
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf(format, sum/n)
}

// causesTable says of every planted cause how it was found.
func causesTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		row("planted", "runs", "first", "first or second", "likely or confirmed", "cannot tell", "ruled out", "runs with experiments", "first", "first or second", "likely or confirmed", "cannot tell", "ruled out")
		for _, id := range plantedCauses(outcomes) {
			cells := []string{id}
			for _, m := range modes {
				own := filter(outcomes, and(faultyPhantom, m.made, func(o *outcome) bool { return o.planted == id }))
				cells = append(cells, fmt.Sprint(len(own)))
				is := func(verdicts ...string) func(*outcome) bool {
					return func(o *outcome) bool { return slices.Contains(verdicts, verdict(m.claims(o), o.planted)) }
				}
				for _, hit := range []func(*outcome) bool{m.among(1), m.among(2), is(diagnosis.Confirmed, diagnosis.Likely), is(diagnosis.CannotTell), is(diagnosis.RuledOut)} {
					cells = append(cells, shortRate(own, hit))
				}
			}
			row(cells...)
		}
	})
	return b.String()
}

// shortRate is a rate without its interval.
func shortRate(own []*outcome, hit func(*outcome) bool) string {
	if len(own) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*rateOf(own, hit).share())
}

// confusionTable says what is named first.
func confusionTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 3, func(row func(...string)) {
		row("planted", "named first, record alone", "named first, with experiments")
		for _, id := range append(plantedCauses(outcomes), "") {
			cells := []string{id}
			if id == "" {
				cells[0] = "none (clean)"
			}
			for _, m := range modes {
				own := filter(outcomes, func(o *outcome) bool { return o.cohort == phantomCohort && o.planted == id && m.made(o) })
				cells = append(cells, namedFirst(own, m))
			}
			row(cells...)
		}
	})
	return b.String()
}

// namedFirst lists what is named first in a twentieth of the runs or more.
func namedFirst(own []*outcome, m mode) string {
	counts := map[string]int{}
	for _, o := range own {
		counts[firstNamed(m.claims(o))]++
	}
	var parts []string
	for _, name := range ordered(counts) {
		if 20*counts[name] >= len(own) {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", name, 100*float64(counts[name])/float64(len(own))))
		}
	}
	return strings.Join(parts, ", ")
}

// networksTable gives the measures for each network and size, each a network left out
// of nothing that was fitted, since no threshold is.
func networksTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		row("network", "n", "first or second, record alone", "with experiments", "false confirmed per clean run, record alone", "with experiments", "false likely, record alone", "with experiments")
		for _, n := range networks {
			for _, size := range append([]int{0}, validationSizes...) {
				here := func(o *outcome) bool { return o.network == n.name && (size == 0 || o.validation == size) }
				cells := []string{n.name, fmt.Sprint(size)}
				if size == 0 {
					cells[1] = "all"
				}
				for _, m := range modes {
					cells = append(cells, rateOf(filter(outcomes, and(faultyPhantom, m.made, here)), m.among(2)).text())
				}
				for _, v := range []string{diagnosis.Confirmed, diagnosis.Likely} {
					for _, m := range modes {
						cells = append(cells, meanOf(filter(outcomes, and(cleanPhantom, m.made, here)), m.falsely(v)).text())
					}
				}
				row(cells...)
			}
		}
	})
	return b.String()
}

// alarmsTable shows how many claims clean runs get and how many of them are false.
func alarmsTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		row("n", "clean runs", "likely or confirmed per run", "of these borne out by fresh subjects", "false confirmed", "false likely", "clean runs with experiments", "likely or confirmed per run", "borne out", "false confirmed", "false likely")
		for _, size := range append(slices.Clone(validationSizes), 0) {
			cells := []string{fmt.Sprint(size)}
			if size == 0 {
				cells[0] = "all"
			}
			for _, m := range modes {
				own := filter(outcomes, and(cleanPhantom, m.made, func(o *outcome) bool { return size == 0 || o.validation == size }))
				claims, borne := 0, 0
				for _, o := range own {
					for _, c := range m.claims(o) {
						if c.sure() {
							claims++
							if slices.Contains(o.truth, c.id) {
								borne++
							}
						}
					}
				}
				cells = append(cells, fmt.Sprint(len(own)))
				if len(own) == 0 {
					cells = append(cells, "-", "-", "-", "-")
					continue
				}
				cells = append(cells, fmt.Sprintf("%.2f", float64(claims)/float64(len(own))), fmt.Sprintf("%d of %d", borne, claims),
					meanOf(own, m.falsely(diagnosis.Confirmed)).text(), meanOf(own, m.falsely(diagnosis.Likely)).text())
			}
			row(cells...)
		}
	})
	return b.String()
}

// alarmCausesTable says which causes are claimed falsely.
func alarmCausesTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 2, func(row func(...string)) {
		row("runs", "claim", "false, record alone", "false, with experiments")
		for _, group := range []struct {
			name string
			keep func(*outcome) bool
		}{{"clean", cleanPhantom}, {"with another cause planted", faultyPhantom}} {
			for _, v := range []string{diagnosis.Confirmed, diagnosis.Likely} {
				cells := []string{group.name, v}
				for _, m := range modes {
					counts := map[string]int{}
					own := filter(outcomes, and(group.keep, m.made))
					for _, o := range own {
						for _, id := range o.falseClaims(m.claims(o), v) {
							counts[id]++
						}
					}
					cells = append(cells, fmt.Sprintf("in %d runs: %s", len(own), orNone(listed(counts))))
				}
				row(cells...)
			}
		}
	})
	return b.String()
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// realTable shows the planted causes in cohorts of patients.
func realTable(outcomes []outcome) string {
	var b strings.Builder
	engine.MarkdownTable(&b, 1, func(row func(...string)) {
		row("cohort", "n", "runs", "first", "first or second", "likely or confirmed", "ruled out")
		for _, c := range realCohorts {
			for _, size := range c.sizes {
				own := filter(outcomes, and(onPatients, func(o *outcome) bool { return o.cohort == c.name && o.validation == size }))
				row(c.name, fmt.Sprint(size), fmt.Sprint(len(own)), rateOf(own, fromRecord.among(1)).text(), rateOf(own, fromRecord.among(2)).text(),
					rateOf(own, func(o *outcome) bool { return claim{"", verdict(o.alone, o.planted)}.sure() }).text(),
					rateOf(own, func(o *outcome) bool { return verdict(o.alone, o.planted) == diagnosis.RuledOut }).text())
			}
		}
	})
	return b.String()
}
