package web

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"ballast/train"
)

// rangeTest is a made-up range test that falls and diverges.
func rangeTest() *train.RangeTest {
	test := &train.RangeTest{Guess: 0.69, Diverged: true, Noise: 0.1, Fall: 0.4, Error: 0.02, Least: 0.02, Steepest: 0.003, Suggested: 0.002}
	for i := range 60 {
		x := float64(i) / 10
		loss := 0.69 - 0.1*min(x, 4) + 3*max(0, x-5)
		test.Points = append(test.Points, train.RangePoint{Rate: 1e-6 * math.Pow(10, x), Loss: loss + 0.1*math.Sin(30*x), Smoothed: loss})
	}
	return test
}

func rangePageOf(t *testing.T, test *train.RangeTest) string {
	t.Helper()
	var page bytes.Buffer
	if err := LearningRateRange(&page, "studies/<b>cohort", test); err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(strings.NewReader(page.String()))
	decoder.Strict, decoder.Entity = true, xml.HTMLEntity
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
	}
	return page.String()
}

func TestLearningRateRangePage(t *testing.T) {
	page := rangePageOf(t, rangeTest())
	for _, want := range []string{
		"Set optimizer.lr to about 0.002.", "near 0.003", "diverges beyond", "suggested</text>", "least</text>", "guess</text>",
		"studies/&lt;b&gt;cohort", "± 0.020 by noise", "All steps in numbers",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "<script", "<b>cohort", "http://w", "https://"} {
		if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if page != rangePageOf(t, rangeTest()) {
		t.Error("the same test gives another page")
	}
}

func TestLearningRateRangePageWithoutSuggestion(t *testing.T) {
	doubtful := rangeTest()
	doubtful.Doubt, doubtful.Suggested, doubtful.Least, doubtful.Steepest = "the loss only rises", 0, 0, 0
	page := rangePageOf(t, doubtful)
	if !strings.Contains(page, "suggests no learning rate: the loss only rises.") || strings.Contains(page, "suggested</text>") {
		t.Error("a doubtful test has a suggestion")
	}
	for name, points := range map[string][]train.RangePoint{"none": nil, "one": doubtful.Points[:1], "equal": {{Rate: 1e-6, Loss: 1, Smoothed: 1}, {Rate: 1e-5, Loss: 1, Smoothed: 1}}} {
		if page := rangePageOf(t, &train.RangeTest{Points: points, Doubt: "nothing is there"}); strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
			t.Errorf("%s: the page holds a number that is none", name)
		}
	}
}
