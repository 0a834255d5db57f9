package audit

import (
	"fmt"
	"math"

	"ballast/stat"
)

// A Resolution is what a validation set can show.
//
// Interval is Wilson's at 95 % (stat.Wilson). Visible is the least difference
// between two networks on the same n subjects that McNemar's exact test can
// call significant at 5 %: six subjects right in one and wrong in the other and
// none the other way round (2 * 0.5^6 = 0.031; five give 0.0625), so 6/n. It is a
// floor: any disagreement in the other direction raises it. Needed says how many
// subjects show a difference with 80 % power:
//
//	n = (z_0.975 sqrt(d) + z_0.8 sqrt(d - delta²))² / delta²
//
// where d is the share of subjects on which the two networks differ in being
// right, taken as accuracy (1 - accuracy), half of what two unrelated networks
// of that accuracy show, and at least delta.
// Connor, "Sample size for testing differences in proportions for the
// paired-sample design" (Biometrics 1987).
type Resolution struct {
	Validation int            `json:"validation_subjects"`
	Fixed      bool           `json:"fixed_by_table"` // else by the proposed share
	Accuracy   float64        `json:"accuracy"`       // at which all this is worked out
	Low        float64        `json:"low"`
	High       float64        `json:"high"`
	Visible    float64        `json:"least_visible"`          // NaN-free: 1 where nothing is visible
	Beat       int            `json:"right_to_beat_guessing"` // validation subjects; one more than all when none suffice
	Guessing   float64        `json:"commonest_class"`
	Needed     []Needed       `json:"needed"`
	Curve      []ResolutionAt `json:"curve"`
	Sentences  []string       `json:"sentences"`
}

// Needed is how many subjects show a difference of so many points.
type Needed struct {
	Points   int `json:"points"`
	Subjects int `json:"subjects"`
}

// ResolutionAt is a point of the resolution curve.
type ResolutionAt struct {
	Subjects int     `json:"subjects"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Visible  float64 `json:"least_visible"`
}

// leastDiscordant is the smallest c with stat.McNemar(0, c) <= 0.05.
const leastDiscordant = 6

// LeastVisible is the least difference that n subjects can show (see Resolution),
// 1 when they can show none.
func LeastVisible(n int) float64 {
	if n < leastDiscordant {
		return 1
	}
	return leastDiscordant / float64(n)
}

// SubjectsNeeded is how many subjects show a difference delta between two
// networks of about the accuracy with 80 % power (see Resolution).
func SubjectsNeeded(delta, accuracy float64) int {
	discordant := max(accuracy*(1-accuracy), delta)
	root := stat.NormalQuantile(0.975)*math.Sqrt(discordant) + stat.NormalQuantile(0.8)*math.Sqrt(discordant-delta*delta)
	return max(leastDiscordant, int(math.Ceil(root*root/(delta*delta))))
}

// resolve works out what n validation subjects show when the commonest class
// has the given share.
func resolve(n int, fixed bool, guessing float64) Resolution {
	r := Resolution{Validation: n, Fixed: fixed, Accuracy: max(0.7, math.Ceil(20*guessing)/20), Guessing: guessing}
	r.Accuracy = min(r.Accuracy, 0.95)
	r.Low, r.High = stat.Wilson(r.Accuracy*float64(n), float64(n), 0.95)
	r.Visible = LeastVisible(n)
	r.Beat = stat.LeastSignificant(n, guessing, 0.05)
	for _, points := range []int{2, 5, 10, 20} {
		r.Needed = append(r.Needed, Needed{points, SubjectsNeeded(float64(points)/100, r.Accuracy)})
	}
	for _, count := range []int{5, 7, 10, 14, 20, 28, 40, 56, 80, 110, 160, 220, 320, 450, 640, 900, 1300} {
		low, high := stat.Wilson(r.Accuracy*float64(count), float64(count), 0.95)
		r.Curve = append(r.Curve, ResolutionAt{count, low, high, LeastVisible(count)})
	}
	r.Sentences = r.sentences()
	return r
}

func (r *Resolution) sentences() []string {
	list := []string{fmt.Sprintf("With %d validation subjects an accuracy of %.0f %% has a 95 %% interval of %.0f-%.0f %%.",
		r.Validation, 100*r.Accuracy, 100*r.Low, 100*r.High)}
	if r.Visible < 1 {
		list = append(list, fmt.Sprintf("Differences under %.0f points between two networks are invisible on them, whatever their cause.", math.Ceil(100*r.Visible)))
	} else {
		list = append(list, "No difference between two networks, however large, is significant on so few.")
	}
	list = append(list, fmt.Sprintf("To see 5 points takes about %d validation subjects, to see 10 points %d.", r.Needed[1].Subjects, r.Needed[2].Subjects))
	if r.Beat > r.Validation {
		list = append(list, fmt.Sprintf("The commonest class makes up %.0f %%: not even %d of %d right would prove more than guessing it.", 100*r.Guessing, r.Validation, r.Validation))
	} else {
		list = append(list, fmt.Sprintf("The commonest class makes up %.0f %%: %d of %d must be right before guessing it is refuted.", 100*r.Guessing, r.Beat, r.Validation))
	}
	return list
}

// checkResolution warns of a validation set on which nothing can be seen.
func checkResolution(_ *study, r *Report) []Finding {
	res := r.Resolution
	if res.Visible < 0.2 && res.Beat <= res.Validation {
		return nil
	}
	f := Finding{
		ID: "small-validation-set", Level: Note,
		Problem: res.Sentences[0] + " " + res.Sentences[1],
		Fix:     "judge by cross-validation, where every subject is validated on once, and compare runs on the same split and several seeds; do not choose epochs or settings by this curve",
	}
	if res.Visible >= 1 || res.Beat > res.Validation {
		f.Level = Warning
	}
	return []Finding{f}
}
