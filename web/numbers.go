package web

import (
	"math"
	"strconv"
	"strings"

	"ballast/diagnosis"
)

const unknown = "–"

// decimal writes x with a fixed number of decimals, a true minus sign and no
// negative zero; unknown when x is not finite.
func decimal(x float64, decimals int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return unknown
	}
	text := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Trim(text, "-0.") == "" {
		text = strings.TrimPrefix(text, "-")
	}
	return strings.Replace(text, "-", "−", 1)
}

// significant writes x with about three digits: for losses and gradient norms.
func significant(x float64) string {
	switch size := math.Abs(x); {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return unknown
	case size >= 1e5 || size > 0 && size < 1e-3:
		return strings.Replace(strconv.FormatFloat(x, 'g', 3, 64), "-", "−", 1)
	case size >= 100:
		return decimal(x, 0)
	case size >= 10:
		return decimal(x, 1)
	case size >= 1:
		return decimal(x, 2)
	}
	return decimal(x, 3)
}

// percent writes a share as "62 %", with a decimal below one half per cent.
func percent(share float64) string { return number(diagnosis.Ratio, share) + " %" }

// number writes a value of a unit of package diagnosis, without the unit.
func number(unit string, x float64) string {
	switch unit {
	case diagnosis.Nats, diagnosis.Units:
		return decimal(x, 3)
	case diagnosis.Ratio:
		return decimal(100*x, 0)
	}
	return decimal(x, 1)
}

func unitName(unit string) string {
	switch unit {
	case diagnosis.Nats:
		return "nats"
	case diagnosis.Units:
		return ""
	case diagnosis.Ratio:
		return "%"
	}
	return "points"
}

// rangeOf writes the ends of an interval as "4.9 to 7.8"; "" when unknown.
func rangeOf(unit string, low, high diagnosis.Number) string {
	if !low.Known() || !high.Known() {
		return ""
	}
	return number(unit, float64(low)) + " to " + number(unit, float64(high))
}

// plural writes "1 subject", "2 subjects".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// glue keeps a number and its per-cent sign on one line.
func glue(text string) string { return strings.ReplaceAll(text, " %", "\u00a0%") }
