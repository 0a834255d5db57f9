package audit

import (
	"math"
	"slices"

	"ballast/stat"
)

// Intensity is how bright the foreground is in one class or at one site.
type Intensity struct {
	Group     string    `json:"group"` // "class" or "site"
	Name      string    `json:"name"`
	Subjects  int       `json:"subjects"`
	Mean      float64   `json:"mean"`               // over subjects, of the mean intensity
	Deviation float64   `json:"standard_deviation"` // between subjects
	Quantiles []float64 `json:"quantiles"`          // 5, 25, 50, 75, 95 % of the voxels, each subject with equal weight
	Low       float64   `json:"histogram_low"`      // where the first bin begins, the same for all groups
	High      float64   `json:"histogram_high"`     // where the last one ends; voxels beyond count to the outermost
	Histogram []float64 `json:"histogram"`          // share of voxels in each bin
}

const histogramBins = 48

// intensities describes every class and, when sites are known, every site.
func (s *study) intensities() []Intensity {
	images := s.bySubject()
	var all []float64
	for _, list := range images {
		for _, image := range list {
			for _, x := range image.quantiles {
				all = append(all, float64(x))
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	low, high := stat.Quantile(all, 0.005), stat.Quantile(all, 0.995)
	if !(high > low) {
		high = low + 1
	}
	var list []Intensity
	for class, name := range s.cohort.Classes {
		list = append(list, group("class", name, low, high, images, func(n int) bool { return s.cohort.Subjects[n].Class == class }))
	}
	var sites []string
	for _, subject := range s.cohort.Subjects {
		if subject.Site != "" && !slices.Contains(sites, subject.Site) {
			sites = append(sites, subject.Site)
		}
	}
	slices.Sort(sites)
	if len(sites) > 1 && len(sites) <= mostSites {
		for _, name := range sites {
			list = append(list, group("site", name, low, high, images, func(n int) bool { return s.cohort.Subjects[n].Site == name }))
		}
	}
	return slices.DeleteFunc(list, func(i Intensity) bool { return i.Subjects == 0 })
}

// mostSites bounds the sites that are described one by one.
const mostSites = 24

// group pools the images of the subjects that belong to it.
func group(kind, name string, low, high float64, images [][]*ImageFacts, belongs func(int) bool) Intensity {
	g := Intensity{Group: kind, Name: name, Low: low, High: high, Histogram: make([]float64, histogramBins)}
	var means []float64
	var points []weighted
	for n, list := range images {
		if len(list) == 0 || !belongs(n) {
			continue
		}
		g.Subjects++
		means = append(means, meanOf(list, func(i *ImageFacts) (float64, bool) { return i.Mean, true }).number)
		weight := 1 / float64(len(list)*sketch)
		for _, image := range list {
			for q := range sketch {
				a, b := float64(image.quantiles[q]), float64(image.quantiles[q+1])
				spread(g.Histogram, low, high, a, b, weight)
				points = append(points, weighted{(a + b) / 2, weight})
			}
		}
	}
	if g.Subjects == 0 {
		return g
	}
	for n := range g.Histogram {
		g.Histogram[n] /= float64(g.Subjects)
	}
	g.Mean, g.Deviation = meanAndDeviation(means)
	slices.SortFunc(points, func(a, b weighted) int {
		if a.value < b.value {
			return -1
		}
		return indicator(a.value > b.value)
	})
	for _, q := range []float64{0.05, 0.25, 0.5, 0.75, 0.95} {
		g.Quantiles = append(g.Quantiles, weightedQuantile(points, q*float64(g.Subjects)))
	}
	return g
}

type weighted struct{ value, weight float64 }

func weightedQuantile(points []weighted, target float64) float64 {
	sum := 0.0
	for _, p := range points {
		if sum += p.weight; sum >= target-1e-12 {
			return p.value
		}
	}
	return points[len(points)-1].value
}

// spread adds a weight, evenly over a..b, to the bins of low..high.
func spread(bins []float64, low, high, a, b, weight float64) {
	at := func(x float64) float64 {
		return max(0, min(float64(len(bins)), (x-low)/(high-low)*float64(len(bins))))
	}
	from, to := at(a), at(b)
	if to-from < 1e-9 {
		bins[min(len(bins)-1, int(from))] += weight
		return
	}
	for n := int(from); n < len(bins) && float64(n) < to; n++ {
		overlap := min(to, float64(n+1)) - max(from, float64(n))
		bins[n] += weight * overlap / (to - from)
	}
}

func meanAndDeviation(values []float64) (mean, deviation float64) {
	weights := 0.0
	for _, x := range values {
		mean += x
		weights++
	}
	mean /= weights
	for _, x := range values {
		deviation += (x - mean) * (x - mean)
	}
	if weights > 1 {
		deviation /= weights - 1
	}
	return mean, math.Sqrt(deviation)
}

// checkIntensity reports subjects whose brightness is of another kind than that
// of the others, and scales that differ between sites.
func checkIntensity(s *study, r *Report) []Finding {
	var means []float64
	var subjects []int
	for n, images := range s.bySubject() {
		if v := meanOf(images, func(i *ImageFacts) (float64, bool) { return math.Log(i.Mean), i.Mean > 0 }); v.known {
			means = append(means, v.number)
			subjects = append(subjects, n)
		}
	}
	if len(means) < leastKnown {
		return nil
	}
	centre := stat.Quantile(means, 0.5)
	distances := make([]float64, len(means))
	for n, x := range means {
		distances[n] = math.Abs(x - centre)
	}
	// 1.4826 median absolute deviations are a standard deviation of normal numbers.
	scale := max(1.4826*stat.Quantile(distances, 0.5), 0.05)
	var odd, files []string
	for n, d := range distances {
		if d > 6*scale && d > math.Log(2) {
			subject := s.cohort.Subjects[subjects[n]]
			odd = append(odd, subject.ID+" (mean "+compact(math.Exp(means[n]))+")")
			files = append(files, subject.ID)
		}
	}
	if len(odd) == 0 {
		return nil
	}
	return []Finding{{
		ID: "intensity-outlier", Level: Warning, Subjects: files,
		Problem: plural(len(odd), "subject") + " of a brightness unlike the others', whose median is " + compact(math.Exp(centre)) + ": " + some(odd),
		Fix:     "look at the images: another sequence, another unit, or a failed conversion; prep.normalise: zscore evens out scale alone",
	}}
}
