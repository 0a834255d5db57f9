package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"ballast/evaluation"
)

// unitAxis runs from 0 to 1.
func unitAxis() axis { return linearAxis(0, 1, 5) }

// curveName says which class a curve is about.
func curveName(r *evaluation.Report, c *evaluation.Curve) string {
	if r.Binary() {
		return r.Classes[c.Class]
	}
	return r.Classes[c.Class] + " against the rest"
}

// rocFigure draws sensitivity against false positives.
func rocFigure(r *evaluation.Report) figure {
	c := plot{xName: "share of the others called so"}
	c.id, c.title, c.height = "roc", "ROC curve", 300
	c.description = "Sensitivity against the share of false positives"
	c.x, c.y = unitAxis(), unitAxis()
	c.curves = append(c.curves, curve{class: "guess", points: []point{{0, 0}, {1, 1}}})
	f := figure{Title: "ROC.", Unit: "Sensitivity", Caption: "Every threshold at once; dotted, what guessing does. A step is a subject."}
	for n := range r.Curves {
		line := curve{class: groupClass(n)}
		for _, at := range r.Curves[n].Points {
			line.points = append(line.points, point{at.FalsePositives, at.Sensitivity})
		}
		c.curves = append(c.curves, line)
		f.Legend = append(f.Legend, legendEntry{groupClass(n), curveName(r, &r.Curves[n]), false})
	}
	if r.Binary() {
		sensitivity, specificity := evaluation.Find(r.Metrics, evaluation.Sensitivity), evaluation.Find(r.Metrics, evaluation.Specificity)
		c.marks = []mark{{"g0", 1 - float64(specificity.Value), float64(sensitivity.Value), 11,
			fmt.Sprintf("threshold %s: sensitivity %s, specificity %s", significant(float64(r.How.Threshold)), metricValue(sensitivity), metricValue(specificity)), 0}}
		f.Caption += " The disc is the threshold that was fixed beforehand."
	}
	f.SVG = c.svg()
	return f
}

// precisionFigure draws precision against recall, as steps: between two
// thresholds no precision is known.
func precisionFigure(r *evaluation.Report) figure {
	c := plot{xName: "recall"}
	c.id, c.title, c.height = "precision", "Precision-recall curve", 300
	c.description = "Precision against recall"
	c.x, c.y = unitAxis(), unitAxis()
	f := figure{Title: "Precision and recall.", Unit: "Precision", Caption: "Of those called so, the share that is. Dotted: what guessing has."}
	for n := range r.Curves {
		points := r.Curves[n].Points
		line := curve{class: groupClass(n)}
		for k := 1; k < len(points); k++ {
			line.points = append(line.points, point{points[k-1].Sensitivity, points[k].Precision}, point{points[k].Sensitivity, points[k].Precision})
		}
		last := points[len(points)-1]
		c.curves = append(c.curves, curve{class: "guess", points: []point{{0, last.Precision}, {1, last.Precision}}}, line)
		f.Legend = append(f.Legend, legendEntry{groupClass(n), curveName(r, &r.Curves[n]), false})
	}
	f.SVG = c.svg()
	return f
}

// reliabilityFigure draws the share right against the confidence.
func reliabilityFigure(r *evaluation.Report) figure {
	c := plot{xName: "confidence: probability of the predicted class"}
	c.id, c.title, c.height = "reliability", "Reliability diagram", 300
	c.description = "Share of subjects that are right against the confidence, with Wilson's intervals"
	low := math.Floor(10/float64(len(r.Classes))) / 10
	c.x, c.y = linearAxis(low, 1, 5), unitAxis()
	c.curves = []curve{{class: "guess", points: []point{{low, low}, {1, 1}}}}
	for _, b := range r.Calibration.Bins {
		at := float64(b.Right) / float64(b.Subjects)
		c.ranges = append(c.ranges, upright{"", float64(b.Confidence), float64(b.RightLow), float64(b.RightHigh), fmt.Sprint(b.Subjects)})
		c.marks = append(c.marks, mark{"g0", float64(b.Confidence), at, 10, fmt.Sprintf("%d of %d right at a mean confidence of %s", b.Right, b.Subjects, decimal(float64(b.Confidence), 2)), 0})
	}
	return figure{Title: "Reliability.", Unit: "Share right", SVG: c.svg(),
		Caption: glue("Subjects in bins of their confidence: their number above, Wilson's 95 % interval as a line. On the dotted line confidence is right; below it the network is too sure.")}
}

const histogramBins = 20

// histogramFigure draws how often each probability is given: of two classes the
// positive one's, by the true class, else the confidence by right and wrong.
func histogramFigure(r *evaluation.Report) figure {
	names := []string{"right", "wrong"}
	about := "confidence: probability of the predicted class"
	if r.Binary() {
		names = []string{r.Classes[1-r.Positive], r.Classes[r.Positive]}
		about = "probability of " + r.Classes[r.Positive]
	}
	var counts [2][histogramBins]int
	highest := 1
	for i := range r.Subjects {
		l := &r.Subjects[i]
		x, group := float64(slices.Max(l.Probabilities)), 0
		if r.Binary() {
			x = float64(l.Probabilities[r.Positive])
			if l.Class == r.Positive {
				group = 1
			}
		} else if !l.Right() {
			group = 1
		}
		bin := min(histogramBins-1, int(x*histogramBins))
		counts[group][bin]++
		highest = max(highest, counts[group][bin])
	}
	f := figure{Title: "What it says how often.", Unit: "Subjects", Legend: []legendEntry{{"g0", names[0], true}, {"g1", names[1], true}},
		Caption: "A network that can tell the groups puts them at opposite ends; one that is sure of everything puts all at the ends."}
	if !r.Binary() {
		f.Caption = "A network that knows when it errs is less sure of those it has wrong."
	}
	f.SVG = columnsSVG("probabilities", "Histogram of probabilities", about, counts, highest)
	return f
}

// columnsSVG draws two groups of columns side by side over 0 to 1.
func columnsSVG(id, title, about string, counts [2][histogramBins]int, highest int) template.HTML {
	x, y := unitAxis(), linearAxis(0, float64(highest), 4)
	y.ticks = slices.DeleteFunc(y.ticks, func(t tick) bool { return t.value != math.Trunc(t.value) })
	var b strings.Builder
	openSVG(&b, id, title, title+": "+about, 300)
	for _, t := range y.ticks {
		at := share(1 - y.at(t.value))
		fmt.Fprintf(&b, `<line class="grid" x1="0" x2="100%%" y1="%s" y2="%s"/><text class="tick" x="0" dx="-8" y="%s" dy="4" text-anchor="end">%s</text>`, at, at, at, decimal(t.value, 0))
	}
	b.WriteString(`<line class="axis" x1="0" x2="100%" y1="100%" y2="100%"/>`)
	for _, t := range x.ticks {
		fmt.Fprintf(&b, `<text class="tick" x="%s" y="100%%" dy="17" text-anchor="middle">%s</text>`, share(x.at(t.value)), t.label)
	}
	fmt.Fprintf(&b, `<text class="tick" x="100%%" y="100%%" dy="34" text-anchor="end">%s</text>`, escape(about))
	width := 0.42 / histogramBins
	for group := range counts {
		for bin, n := range counts[group] {
			if n == 0 {
				continue
			}
			left := (float64(bin)+0.06)/histogramBins + float64(group)*width
			fmt.Fprintf(&b, `<rect class="columns %s" x="%s" width="%s" y="%s" height="%s"><title>%d</title></rect>`,
				groupClass(group), share(left), share(width), share(1-y.at(float64(n))), share(y.at(float64(n))), n)
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
