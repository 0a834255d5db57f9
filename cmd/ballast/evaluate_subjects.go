package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/run"
	"ballast/train"
)

// everybody is the word of --set for all subjects, those trained on included.
const everybody = "all"

// A candidate is a subject of the cohort and what it was to the runs.
type candidate struct {
	subject cohort.Subject
	class   int    // of the runs
	set     string // of RUN; empty: in none
	trained bool   // some member trained on it
}

// candidates finds out what each subject was to the runs. Subjects are the same
// when name and class are; doubtful is how many share only the name.
func (j *evaluateJob) candidates(c *cohort.Cohort) (all []candidate, doubtful int, err error) {
	first := j.members[0]
	classOf := make([]int, len(c.Classes))
	for n, name := range c.Classes {
		if classOf[n] = slices.Index(first.Classes, name); classOf[n] < 0 {
			return nil, 0, fmt.Errorf("evaluate %s on %s: class %q is none of the run's: %s; name the column with --label", j.run, j.cohort, name, strings.Join(first.Classes, ", "))
		}
	}
	sets := map[string]run.Subject{}
	setOf := map[string]string{}
	// In order, so that of a subject in two sets, which is leakage, always the same
	// one counts.
	for _, name := range slices.Sorted(maps.Keys(first.Run.Header.Sets)) {
		for _, s := range first.Run.Header.Sets[name] {
			sets[s.ID], setOf[s.ID] = s, name
		}
	}
	trained := map[string]int{} // class by name
	for _, member := range j.members {
		for _, s := range member.Run.Header.Sets[run.Train] {
			trained[s.ID] = s.Class
		}
	}
	for _, subject := range c.Subjects {
		own := candidate{subject: subject, class: classOf[subject.Class]}
		if s, known := sets[subject.ID]; known && s.Class == own.class {
			own.set = setOf[subject.ID]
		} else if known {
			doubtful++
		}
		if class, known := trained[subject.ID]; known && class == own.class {
			own.trained = true
		}
		all = append(all, own)
	}
	return all, doubtful, nil
}

// choose divides the cohort's subjects into those that are evaluated, those that
// baselines are fitted on and those of the validation set, and says what has to
// be known of the choice.
func (j *evaluateJob) choose(c *cohort.Cohort) (notes []string, err error) {
	all, doubtful, err := j.candidates(c)
	if err != nil {
		return nil, err
	}
	leftOut, seen, validation := 0, 0, 0
	for _, s := range all {
		wanted := j.set == everybody || j.set == s.set && s.set != "" || j.set == ""
		if s.set == run.Train {
			j.training = append(j.training, s)
		}
		if s.set == run.Validation && !s.trained {
			j.validated = append(j.validated, s)
		}
		switch {
		case !wanted:
		case s.trained && j.set != everybody && j.set != run.Train:
			leftOut++
		default:
			j.evaluated = append(j.evaluated, s)
			seen += count(s.trained)
			validation += count(s.set == run.Validation)
		}
	}
	if len(j.evaluated) == 0 {
		return nil, j.nobody(len(all), leftOut)
	}
	if leftOut > 0 {
		notes = append(notes, fmt.Sprintf("%s that %s trained on %s left out, since scores on them are no evidence; --set all includes them", counted(leftOut, "subject"), j.who(), were(leftOut)))
	}
	if seen > 0 {
		notes = append(notes, fmt.Sprintf("%d of the %d subjects were trained on: their scores say how well the network remembers, not how well it predicts", seen, len(j.evaluated)))
	}
	if best := j.weights == train.BestWeights || j.snapshots; best && validation > 0 {
		notes = append(notes, fmt.Sprintf("the epoch of the best weights was chosen by the accuracy on %d of these subjects, so this is too good; test subjects tell", validation))
	}
	if doubtful > 0 {
		notes = append(notes, fmt.Sprintf("%s the name of one of the run's but not the class, and counted as not trained on", sharing(doubtful)))
	}
	notes = append(notes, j.odd()...)
	if len(c.Excluded) > 0 {
		notes = append(notes, fmt.Sprintf("%s of the cohort left out, as without a label; the first: %s", counted(len(c.Excluded), "row"), c.Excluded[0]))
	}
	return notes, nil
}

// who names the run, or the ensemble.
func (j *evaluateJob) who() string {
	if len(j.others) > 0 {
		return "a member of the ensemble"
	}
	return "the run"
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func sharing(n int) string {
	if n == 1 {
		return "1 subject shares"
	}
	return fmt.Sprintf("%d subjects share", n)
}

// mostOdd is how many odd covariates are shown.
const mostOdd = 5

// odd says what is unlike the training subjects in the covariates that RUN sees.
func (j *evaluateJob) odd() (lines []string) {
	if j.members[0].Covariates == nil {
		return nil
	}
	for _, s := range j.evaluated {
		for _, line := range j.members[0].Covariates.Odd(s.subject.Covariates) {
			lines = append(lines, "subject "+s.subject.ID+": "+line)
		}
	}
	if len(lines) > mostOdd {
		lines = append(lines[:mostOdd], fmt.Sprintf("and %d more values unlike those of the training subjects", len(lines)-mostOdd))
	}
	return lines
}

// nobody says why there is no subject to evaluate.
func (j *evaluateJob) nobody(all, leftOut int) error {
	switch {
	case leftOut > 0:
		return fmt.Errorf("evaluate %s on %s: all %s were trained on, so scores on them would be no evidence; --set all evaluates them all the same", j.run, j.cohort, counted(leftOut, "subject"))
	case j.set == run.Test && len(j.members[0].Run.Header.Sets[run.Test]) == 0:
		return fmt.Errorf("evaluate %s: the run has no test set; train with --set split.test=0.2, or choose --set validation", j.run)
	}
	return fmt.Errorf("evaluate %s on %s: none of its %s belongs to the run's %s set; is it the cohort that the run was trained on?", j.run, j.cohort, counted(all, "subject"), j.set)
}

// described says in words who is evaluated.
func (j *evaluateJob) described() string {
	counts := map[string]int{}
	for _, s := range j.evaluated {
		counts[s.set]++
	}
	var parts []string
	for _, set := range slices.Sorted(maps.Keys(counts)) {
		name := set + " set"
		if set == "" {
			name = "in no set of the run"
		} else {
			name = "of the " + name
		}
		parts = append(parts, fmt.Sprintf("%d %s", counts[set], name))
	}
	return fmt.Sprintf("%s (%s)", counted(len(j.evaluated), "subject"), strings.Join(parts, ", "))
}

// mostGroups is up to how many sites are subgroups without being asked for.
const mostGroups = 12

// group gives the subjects the columns of --by, or the sites where there are
// several.
func (j *evaluateJob) group(p *evaluation.Predictions, c *cohort.Cohort) (*evaluation.Predictions, error) {
	if len(j.by) == 0 {
		sites := map[string]bool{}
		for _, s := range j.evaluated {
			sites[s.subject.Site] = true
		}
		if len(sites) < 2 || len(sites) > mostGroups {
			return p, nil
		}
		j.by = []string{"site"}
	}
	for _, column := range j.by {
		known := map[string]bool{}
		for i, s := range j.evaluated {
			value := s.subject.Covariates[column]
			if column == "site" || column == c.Columns.Site {
				value = s.subject.Site
			}
			if p.Subjects[i].Groups == nil {
				p.Subjects[i].Groups = map[string]string{}
			}
			p.Subjects[i].Groups[column], known[value] = value, true
		}
		if delete(known, ""); len(known) == 0 {
			return nil, fmt.Errorf("%w: --by %s: no subject has a value; %s", errUsage, column, columnsOf(c))
		}
	}
	return p, nil
}

// columnsOf lists the columns with a value for each subject.
func columnsOf(c *cohort.Cohort) string {
	names := map[string]bool{}
	for _, s := range c.Subjects {
		for name := range s.Covariates {
			names[name] = true
		}
	}
	if c.Columns.Site != "" {
		names["site"] = true
	}
	if len(names) == 0 {
		return "the cohort has no columns to choose from"
	}
	return "columns with one value for each subject: " + strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}
