package audit

import (
	"math"
	"strings"
	"testing"

	"ballast/stat"
)

// Six subjects are the fewest whose one-sided disagreement McNemar's test calls
// significant.
func TestLeastDiscordant(t *testing.T) {
	if p := stat.McNemar(0, leastDiscordant); p > 0.05 {
		t.Errorf("six: p = %g", p)
	}
	if p := stat.McNemar(0, leastDiscordant-1); p <= 0.05 {
		t.Errorf("five: p = %g", p)
	}
	for n, want := range map[int]float64{5: 1, 6: 1, 10: 0.6, 120: 0.05} {
		if got := LeastVisible(n); !near(got, want, 1e-12) {
			t.Errorf("%d subjects: %g, want %g", n, got, want)
		}
	}
}

// The number of subjects is held against the exact power of McNemar's mid-p
// test, summed over all outcomes (Fagerland, Lydersen and Laake, "The McNemar
// test for binary matched-pairs data", 2013, recommend it; the formula of Connor
// approximates the asymptotic test, which it follows closely). With few subjects
// who disagree almost all one way, as at 20 points, the formula asks for some more
// than needed.
func TestSubjectsNeededHavePower(t *testing.T) {
	for _, delta := range []float64{0.05, 0.1, 0.2} {
		n := SubjectsNeeded(delta, 0.7)
		if power := midPower(n, delta, 0.21); power < 0.77 || power > 0.9 {
			t.Errorf("%g points with %d subjects: power %.3f", 100*delta, n, power)
		}
	}
}

// midPower is the probability that the mid-p version of McNemar's test is at
// most 0.05 with n subjects, a share d of whom are discordant, by delta more in
// one direction.
func midPower(n int, delta, d float64) float64 {
	toward := (d + delta) / (2 * d)
	power := 0.0
	for discordant := 1; discordant <= n; discordant++ {
		weight := binomial(discordant, n, d)
		if weight < 1e-9 {
			continue
		}
		for b := range discordant + 1 {
			c := discordant - b
			p := stat.McNemar(b, c) - binomial(b, discordant, 0.5)
			if b == c {
				p = 1
			}
			if p <= 0.05 {
				power += weight * binomial(b, discordant, toward)
			}
		}
	}
	return power
}

func binomial(k, n int, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// Wilson's interval of 7 of 10 by hand: (7 + 1.9207 ± 1.96 sqrt(2.1 + 0.9604)) /
// 13.8415 = 0.6445 ± 0.2477. Of 10 guesses at one half 9 or more are right with
// probability 11/1024, 8 or more with 56/1024.
func TestResolve(t *testing.T) {
	r := resolve(10, false, 0.5)
	if !near(r.Low, 0.3968, 5e-4) || !near(r.High, 0.8922, 5e-4) || r.Visible != 0.6 || r.Beat != 9 {
		t.Errorf("%+v", r)
	}
	text := strings.Join(r.Sentences, " ")
	for _, want := range []string{"With 10 validation subjects an accuracy of 70 % has a 95 % interval of 40-89 %.", "Differences under 60 points", "9 of 10 must be right"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in: %s", want, text)
		}
	}
	if r := resolve(4, false, 0.5); !strings.Contains(strings.Join(r.Sentences, " "), "No difference between two networks") {
		t.Errorf("four subjects: %v", r.Sentences)
	}
	if r := resolve(12, false, 0.9); r.Beat <= 12 || r.Accuracy < 0.9 {
		t.Errorf("nine tenths of one class: %+v", r)
	}
}
