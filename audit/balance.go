package audit

import (
	"fmt"
	"slices"
)

// leastOfClass is below how many subjects a class can hardly be learned or
// validated: a quarter of them is two.
const leastOfClass = 10

// checkBalance reports classes of few subjects and classes that outnumber the
// others so far that accuracy measures little.
func checkBalance(s *study, r *Report) []Finding {
	var findings []Finding
	largest, smallest, all := r.Print.Classes[0], r.Print.Classes[0], 0
	for _, class := range r.Print.Classes {
		all += class.Count
		if class.Count > largest.Count {
			largest = class
		}
		if class.Count < smallest.Count {
			smallest = class
		}
	}
	if smallest.Count < leastOfClass {
		findings = append(findings, Finding{
			ID: "few-of-a-class", Level: Warning,
			Problem: fmt.Sprintf("class %s has %s; of a quarter set aside for validation %d would be its own", smallest.Name, plural(smallest.Count, "subject"), (smallest.Count+2)/4),
			Fix:     "find more, merge classes, or cross-validate and report sensitivity with its interval",
		})
	}
	if share := float64(largest.Count) / float64(all); share >= 0.75 {
		findings = append(findings, Finding{
			ID: "class-imbalance", Level: Warning,
			Problem: fmt.Sprintf("%.0f %% of the subjects are %s: always answering that is right as often", 100*share, largest.Name),
			Fix:     "judge by balanced accuracy or AUROC, not by accuracy",
		})
	}
	return append(findings, s.checkImageBalance()...)
}

// checkImageBalance reports a cohort in which few subjects have most images.
func (s *study) checkImageBalance() []Finding {
	var counts []int
	all := 0
	for _, subject := range s.cohort.Subjects {
		counts = append(counts, len(subject.Images))
		all += len(subject.Images)
	}
	slices.Sort(counts)
	if counts[len(counts)-1] == counts[0] || counts[len(counts)-1] < 3 {
		return nil
	}
	tenth := 0
	for _, n := range counts[len(counts)-max(1, len(counts)/10):] {
		tenth += n
	}
	return []Finding{{
		ID: "unequal-images-per-subject", Level: Note,
		Problem: fmt.Sprintf("subjects have %d to %d images; a tenth of the subjects has %.0f %% of the images", counts[0], counts[len(counts)-1], 100*float64(tenth)/float64(all)),
		Fix:     "split by subject (ballast always does); accuracy is counted per subject, the mean over its images",
	}}
}
