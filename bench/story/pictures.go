package main

import (
	"fmt"
	"math"

	"ballast/run"
	"ballast/stat"
)

// right is the room for the names of curves, left of them the numbers of the axis.
const (
	pageWidth = 736
	leftRoom  = 44
	rightRoom = 150
)

// drawCase draws the curves of the question with the band of a coin.
func drawCase(training, validation []float64, low, high float64, patients int) error {
	d := newDrawing(pageWidth, 300, "Training accuracy reaches 100 %, validation accuracy swings around 50 %")
	p := panel{drawing: d, left: leftRoom, top: 30, width: pageWidth - leftRoom - rightRoom, height: 230, from: 1, to: float64(len(validation)), low: 20, high: 102}
	p.axes("Accuracy after every epoch", []float64{20, 40, 60, 80, 100}, " %", "1", fmt.Sprintf("epoch %d", len(validation)))
	p.flat(low, high)
	p.curve("train", training)
	p.curve("validation", validation)
	d.text(p.left+p.width+8, p.y(100)+4, "train", "start", "training")
	d.text(p.left+p.width+8, p.y(validation[len(validation)-1])+4, "validation", "start", fmt.Sprintf("%d patients", patients))
	d.text(p.left+p.width+8, p.y(low)+4, "", "start", fmt.Sprintf("%d coins (95 %%)", patients))
	return d.save("story-curve.svg")
}

// drawTries draws a small panel for each thing that was tried.
func drawTries(curves [][]float64) error {
	const columns, width, height = 3, 196, 110
	d := newDrawing(pageWidth, 2*(height+58)+8, "Other learning rates and fewer layers: every curve swings")
	for i, curve := range curves {
		p := panel{drawing: d, left: leftRoom + float64(i%columns)*(width+32), top: 28 + float64(i/columns)*(height+58), width: width, height: height,
			from: 1, to: float64(len(curve)), low: 20, high: 100}
		p.axes(tries[i].title, []float64{25, 50, 75}, "", "1", fmt.Sprint(len(curve)))
		p.curve("validation", curve)
		d.text(p.left+p.width, p.top+14, "", "end", fmt.Sprintf("jitter %.1f", jitter(curve)))
	}
	return d.save("story-tries.svg")
}

// drawChance draws what n patients can show of a coin.
func drawChance(epochs int) error {
	d := newDrawing(pageWidth, 290, "How far an accuracy of 50 % swings by chance alone, by number of validation patients")
	p := panel{drawing: d, left: leftRoom, top: 30, width: pageWidth - leftRoom - rightRoom - 30, height: 220, from: 10, to: 1000, low: 0, high: 100, logarithmic: true}
	p.axes("What a coin shows with n validation patients", []float64{0, 25, 50, 75, 100}, " %")
	var low, high, least, most [][2]float64
	for n := 10; n <= 1000; n += max(1, n/20) {
		size := float64(n)
		a, b := stat.Wilson(size/2, size, 0.95)
		low, high = append(low, [2]float64{size, 100 * a}), append(high, [2]float64{size, 100 * b})
		_, span := stat.BinomialRange(n, 0.5, epochs)
		least, most = append(least, [2]float64{size, 50 - 50*span}), append(most, [2]float64{size, 50 + 50*span})
	}
	p.band(low, high)
	p.path("dashed guess", least)
	p.path("dashed guess", most)
	for _, n := range []float64{10, 20, 50, 100, 200, 500, 1000} {
		d.text(p.x(n), p.top+p.height+16, "", "middle", fmt.Sprint(n))
	}
	d.text(p.left+p.width+8, p.y(low[len(low)-1][1])+18, "", "start", "one epoch (95 %)")
	d.text(p.left+p.width+8, p.y(most[len(most)-1][1])-6, "guess", "start", fmt.Sprintf("extremes of %d draws", epochs))
	return d.save("story-chance.svg")
}

// drawTruth draws the same training in three views and on the fresh subjects.
func drawTruth(r *run.Run, truth Curves, best float64) error {
	logged, averaged := accuracies(r, run.Logged), accuracies(r, run.Averaged)
	d := newDrawing(pageWidth, 432, "The same weights on the validation patients, averaged, and on fresh patients")
	for i, c := range []struct {
		title, class string
		curve        []float64
	}{
		{fmt.Sprintf("As logged: %d validation patients", len(r.Header.Sets[run.Validation])), "validation", logged},
		{"The same patients, averaged weights", "averaged", averaged},
		{fmt.Sprintf("The weights as logged, %d fresh patients", fresh), "fixed", truth.Fresh},
	} {
		p := panel{drawing: d, left: leftRoom, top: 30 + float64(i)*142, width: pageWidth - leftRoom - rightRoom, height: 88, from: 1, to: float64(len(logged)), low: 40, high: 75}
		p.axes(c.title, []float64{40, 50, 60, 70}, " %", "1", fmt.Sprintf("epoch %d", len(logged)))
		if c.class == "fixed" {
			p.level("guess", best)
			d.text(p.left+p.width+8, p.y(best)+4, "guess", "start", "best possible")
		}
		p.curve(c.class, c.curve)
		d.text(p.left+p.width+8, p.y(c.curve[len(c.curve)-1])+4, c.class, "start", fmt.Sprintf("jitter %.1f", jitter(c.curve)))
	}
	return d.save("story-truth.svg")
}

// drawSeeds draws the paired comparison, a line for each seed.
func drawSeeds(pairs []Pair) error {
	d := newDrawing(pageWidth, 250, "The recipes plain and steady on the same seeds")
	for i, m := range measured[:3] {
		values := [][2]float64{}
		low, high := math.Inf(1), math.Inf(-1)
		for _, pair := range pairs {
			a, b := m.of(pair.Plain), m.of(pair.Steady)
			values = append(values, [2]float64{a, b})
			low, high = min(low, a, b), max(high, a, b)
		}
		marks := []float64{0, 2, 4, 6, 8, 10}
		if i == 2 {
			marks = []float64{45, 50, 55, 60, 65, 70}
		}
		p := panel{drawing: d, left: leftRoom + float64(i)*238, top: 34, width: 170, height: 170, from: 0, to: 1, low: min(marks[0], low), high: max(marks[len(marks)-1], high)}
		p.axes([]string{"Jitter, validation, points", fmt.Sprintf("Jitter, %d fresh, points", fresh), fmt.Sprintf("Accuracy, %d fresh, %%", fresh)}[i], marks, "")
		for _, v := range values {
			p.path("validation", [][2]float64{{0.15, v[0]}, {0.85, v[1]}})
			for k, x := range []float64{0.15, 0.85} {
				fmt.Fprintf(d, `<circle class="validation" fill="none" cx="%.1f" cy="%.1f" r="3.5"/>`, p.x(x), p.y(v[k]))
			}
		}
		d.text(p.x(0.15), p.top+p.height+16, "", "middle", "plain")
		d.text(p.x(0.85), p.top+p.height+16, "", "middle", "steady")
	}
	return d.save("story-seeds.svg")
}

// A lookalike is a run whose logged curve looks like the others'.
type lookalike struct {
	title string
	r     *run.Run
	low   float64 // of the axis
	guess float64
}

// drawLookalikes draws the logged and the recalibrated curves of real cohorts.
func drawLookalikes(runs []lookalike) error {
	d := newDrawing(pageWidth, 16+float64(len(runs))*178, "Curves of real cohorts that look alike, as logged and with batch-norm statistics recomputed")
	for i, l := range runs {
		logged, recalibrated := accuracies(l.r, run.Logged), accuracies(l.r, run.Recalibrated)
		p := panel{drawing: d, left: leftRoom, top: 30 + float64(i)*178, width: pageWidth - leftRoom - rightRoom, height: 120, from: 1, to: float64(len(logged)), low: l.low, high: 100}
		marks := []float64{25, 50, 75, 100}
		for len(marks) > 0 && marks[0] < l.low {
			marks = marks[1:]
		}
		p.axes(l.title, marks, " %", "1", fmt.Sprintf("epoch %d", len(logged)))
		p.level("guess", l.guess)
		p.curve("validation", logged)
		p.curve("averaged", recalibrated)
		d.text(p.left+p.width+8, p.top+12, "validation", "start", fmt.Sprintf("as logged: jitter %.1f", jitter(logged)))
		d.text(p.left+p.width+8, p.top+30, "averaged", "start", fmt.Sprintf("recalibrated: %.1f", jitter(recalibrated)))
		d.text(p.left+p.width+8, p.y(l.guess)+4, "guess", "start", "commonest class")
	}
	return d.save("story-real.svg")
}
