package audit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// A Pair is two images that are the same or nearly so.
type Pair struct {
	A, B       int       `json:"-"` // indices into Report.Images
	Files      [2]string `json:"files"`
	Subjects   [2]string `json:"subjects"`
	Exact      bool      `json:"exact"`      // equal voxels
	Similarity float64   `json:"similarity"` // correlation of fine detail, -1 to 1
	Distance   int       `json:"distance"`   // bits of the perceptual hash that differ
	Flip       []string  `json:"flip"`       // axes along which one is the mirror image of the other

	near bool
}

// Thresholds, set on development cohorts (docs/checking-a-cohort.md says what they
// do on others).
const (
	// A near-duplicate differs in at most nearShare of the hash's bits and
	// correlates in fine detail by at least nearSimilarity.
	nearShare      = 0.2
	nearSimilarity = 0.6
	// candidateShare is the largest share of bits in which a pair differs that is
	// compared in detail, and may be shown as alike.
	candidateShare = 0.3
	// allPairs is the number of pairs up to which the hash decides nothing, because
	// the medians of few images are no thresholds; fewSimilarity then does.
	allPairs      = 120
	fewSimilarity = 0.75
)

// mostPairs bounds the pairs that are listed, the most similar ones; mostAlike
// bounds those below the threshold, which are there to be looked at.
const (
	mostPairs = 200
	mostAlike = 6
)

// pairs finds equal and nearly equal images of different subjects, and equal
// images of one subject; alike are the most similar of the other pairs of
// different subjects, at most one of any two subjects.
func (s *study) pairs(ctx context.Context) (list, alike []Pair, err error) {
	list = s.exactPairs()
	known := map[[2]int]bool{}
	for _, p := range list {
		known[[2]int{p.A, p.B}] = true
	}
	for _, dims := range []int{2, 3} {
		var members []int
		for n := range s.images {
			if sig := s.images[n].signature; sig != nil && s.images[n].readable() && sig.dims == dims {
				members = append(members, n)
			}
		}
		found, err := s.nearPairs(ctx, members)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range found {
			switch {
			case known[[2]int{p.A, p.B}]:
			case p.near:
				list = append(list, p)
			default:
				alike = append(alike, p)
			}
		}
	}
	return first(list, mostPairs, func(Pair) bool { return true }), first(alike, mostAlike, s.newSubjects(list)), nil
}

// newSubjects returns a filter that lets the first pair of any two subjects
// through, and none of those that are listed.
func (s *study) newSubjects(listed []Pair) func(Pair) bool {
	seen := map[[2]string]bool{}
	for _, p := range listed {
		seen[p.Subjects] = true
	}
	return func(p Pair) bool {
		if seen[p.Subjects] {
			return false
		}
		seen[p.Subjects] = true
		return true
	}
}

// first returns up to most pairs that pass the filter, the most similar first.
func first(pairs []Pair, most int, pass func(Pair) bool) []Pair {
	slices.SortStableFunc(pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(indicator(b.Exact), indicator(a.Exact)), cmp.Compare(b.Similarity, a.Similarity),
			cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	})
	kept := []Pair{}
	for _, p := range pairs {
		if len(kept) < most && pass(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

func indicator(holds bool) int {
	if holds {
		return 1
	}
	return 0
}

func (s *study) pair(a, b int) Pair {
	return Pair{A: a, B: b, Files: [2]string{s.images[a].Path, s.images[b].Path},
		Subjects: [2]string{s.images[a].Subject, s.images[b].Subject}}
}

// exactPairs pairs every image with the first one of the same voxels.
func (s *study) exactPairs() []Pair {
	first := map[string]int{}
	var list []Pair
	for n := range s.images {
		if !s.images[n].readable() {
			continue
		}
		other, ok := first[s.images[n].Voxels]
		if !ok {
			first[s.images[n].Voxels] = n
			continue
		}
		p := s.pair(other, n)
		p.Exact, p.Similarity = true, 1
		list = append(list, p)
	}
	return list
}

// nearPairs compares all pairs of images of different subjects by hash, and the
// candidates by their detail.
func (s *study) nearPairs(ctx context.Context, members []int) ([]Pair, error) {
	if len(members) < 2 {
		return nil, nil
	}
	thresholds := s.medians(members)
	s.removeCommon(members)
	hashes := make([][]hash, len(members)) // of each image, mirrored in every way
	for m, n := range members {
		sig := s.images[n].signature
		for flip := range 1 << sig.dims {
			hashes[m] = append(hashes[m], sig.hashOf(flip, thresholds))
		}
		s.images[n].Hash = hashes[m][0].String()
	}
	limit := limits{int(candidateShare * float64(len(thresholds))), int(nearShare * float64(len(thresholds))), nearSimilarity}
	if len(members)*(len(members)-1)/2 <= allPairs {
		limit = limits{len(thresholds), len(thresholds), fewSimilarity}
	}
	found := make([][]Pair, len(members))
	err := inParallel(ctx, len(members), s.options.Threads, func(a int) {
		for b := a + 1; b < len(members); b++ {
			if s.images[members[a]].subject == s.images[members[b]].subject {
				continue
			}
			if p, ok := s.compare(members[a], members[b], hashes[a][0], hashes[b], limit); ok {
				found[a] = append(found[a], p)
			}
		}
		found[a] = mostSimilar(found[a])
	})
	return slices.Concat(found...), err
}

// mostSimilar keeps of one image's pairs as many as can be listed, so that
// memory stays bounded in a cohort of which every image is like every other.
func mostSimilar(pairs []Pair) []Pair {
	near, rest := 0, 0
	slices.SortStableFunc(pairs, func(a, b Pair) int { return cmp.Compare(b.Similarity, a.Similarity) })
	return slices.Clone(slices.DeleteFunc(pairs, func(p Pair) bool {
		if p.near {
			near++
			return near > mostPairs
		}
		rest++
		return rest > mostAlike
	}))
}

// medians of every coefficient over the images.
func (s *study) medians(members []int) []float32 {
	medians := make([]float32, len(s.images[members[0]].signature.coefficients))
	column := make([]float32, len(members))
	for c := range medians {
		for m, n := range members {
			column[m] = s.images[n].signature.coefficients[c]
		}
		slices.Sort(column)
		medians[c] = (column[(len(column)-1)/2] + column[len(column)/2]) / 2
	}
	return medians
}

// removeCommon subtracts from every detail what all have in common, the mean of
// the cohort: all heads are alike, and only what is a subject's own tells it. Of
// n images n/(n+4) of the mean is subtracted, so that two equal images of few do
// not cancel.
func (s *study) removeCommon(members []int) {
	sums := make([]float64, len(s.images[members[0]].signature.detail))
	for _, n := range members {
		for at, x := range s.images[n].signature.detail {
			sums[at] += float64(x)
		}
	}
	own := make([]float32, len(sums))
	for _, n := range members {
		detail := s.images[n].signature.detail
		for at, x := range detail {
			own[at] = float32(float64(x) - sums[at]/float64(len(members)+4))
		}
		if standardise(own) {
			keep(detail, own)
		}
	}
}

// limits of the bits that differ, and of the similarity.
type limits struct {
	candidate, near int
	similarity      float64
}

// compare returns the best match of b, mirrored in any way, with a.
func (s *study) compare(a, b int, own hash, mirrored []hash, limit limits) (Pair, bool) {
	best := s.pair(a, b)
	best.Similarity = math.Inf(-1)
	for flip, other := range mirrored {
		distance := 0
		for n := range own {
			distance += bits.OnesCount64(own[n] ^ other[n])
		}
		if distance > limit.candidate {
			continue
		}
		similarity := align(s.images[a].signature, s.images[b].signature, flip)
		if similarity > best.Similarity {
			best.Similarity, best.Distance, best.Flip = similarity, distance, flipNames(flip, s.images[a].signature.dims)
		}
	}
	best.near = best.Distance <= limit.near && best.Similarity >= limit.similarity
	return best, best.Similarity >= hopeless
}

func flipNames(flip, dims int) []string {
	names := [3]string{"left-right", "anterior-posterior", "superior-inferior"}
	if dims == 2 {
		names = [3]string{"left-right", "up-down", ""}
	}
	list := []string{}
	for axis := range dims {
		if flip>>axis&1 == 1 {
			list = append(list, names[axis])
		}
	}
	return list
}

// hopeless is a correlation in place from which no step of one thumbnail voxel
// leads to a near-duplicate.
const hopeless = 0.2

// align returns the highest correlation of two details, the second mirrored,
// over shifts of up to one thumbnail voxel along each axis.
func align(a, b *signature, flip int) float64 {
	similarity := correlate(a, b, flip, [3]int{})
	if similarity < hopeless {
		return similarity
	}
	depth := 1
	if a.dims == 2 {
		depth = 0
	}
	for z := -depth; z <= depth; z++ {
		for y := -1; y <= 1; y++ {
			for x := -1; x <= 1; x++ {
				similarity = max(similarity, correlate(a, b, flip, [3]int{x, y, z}))
			}
		}
	}
	return similarity
}

// correlate is Pearson's correlation over the voxels that both details have
// when the second is mirrored and then shifted.
func correlate(a, b *signature, flip int, shift [3]int) float64 {
	side := a.side()
	var sumA, sumB, squareA, squareB, product, count int64
	start, step := 0, 1
	if flip&1 == 1 {
		start, step = side[0]-1, -1
	}
	lowX, highX := max(0, shift[0]), min(side[0], side[0]+shift[0])
	for z := max(0, shift[2]); z < min(side[2], side[2]+shift[2]); z++ {
		fromZ := mirrored(z-shift[2], side[2], flip>>2&1)
		for y := max(0, shift[1]); y < min(side[1], side[1]+shift[1]); y++ {
			fromY := mirrored(y-shift[1], side[1], flip>>1&1)
			rowA := a.detail[side[0]*(y+side[1]*z):][:side[0]]
			rowB := b.detail[side[0]*(fromY+side[1]*fromZ):][:side[0]]
			from := start + step*(lowX-shift[0])
			var sa, sb, aa, bb, ab int32 // a row of 64 fits
			for _, p := range rowA[lowX:highX] {
				u, v := int32(p), int32(rowB[from])
				sa += u
				sb += v
				aa += u * u
				bb += v * v
				ab += u * v
				from += step
			}
			sumA, sumB, squareA, squareB, product = sumA+int64(sa), sumB+int64(sb), squareA+int64(aa), squareB+int64(bb), product+int64(ab)
			count += int64(highX - lowX)
		}
	}
	n := float64(count)
	covariance := float64(product) - float64(sumA)*float64(sumB)/n
	varianceA, varianceB := float64(squareA)-float64(sumA)*float64(sumA)/n, float64(squareB)-float64(sumB)*float64(sumB)/n
	if !(varianceA > 0 && varianceB > 0) {
		return 0
	}
	return covariance / math.Sqrt(varianceA*varianceB)
}

func mirrored(n, size, flipped int) int {
	if flipped == 1 {
		return size - 1 - n
	}
	return n
}

// checkDuplicates reports equal images of two subjects or of one, and nearly
// equal ones of two.
func checkDuplicates(s *study, r *Report) []Finding {
	var kinds [4][]Pair // within a subject, nearly equal, equal, across sets
	for _, p := range r.Pairs {
		a, b := s.cohort.Subjects[s.images[p.A].subject], s.cohort.Subjects[s.images[p.B].subject]
		switch {
		case a.ID == b.ID:
			kinds[0] = append(kinds[0], p)
		case a.Set != b.Set:
			kinds[3] = append(kinds[3], p)
		case p.Exact:
			kinds[2] = append(kinds[2], p)
		default:
			kinds[1] = append(kinds[1], p)
		}
	}
	texts := [4]Finding{
		{ID: "duplicate-within-subject", Level: Note, Fix: "keep one of each; the copies weigh the subject more in training"},
		{ID: "near-duplicate", Level: Warning, Fix: "look at the pictures in the HTML report; if they are one patient, give both rows the same subject"},
		{ID: "duplicate", Level: Error, Fix: "find out whose image it is, remove the other row, or give both rows the same subject"},
		{ID: "duplicate-across-sets", Level: Error, Fix: "keep all images of a patient in one set: validation on them measures memory, not learning"},
	}
	var findings []Finding
	for n, f := range texts {
		if len(kinds[n]) > 0 {
			findings = append(findings, describePairs(s, f, kinds[n]))
		}
	}
	return findings
}

// describePairs names each two subjects once, with their most similar images.
func describePairs(s *study, f Finding, pairs []Pair) Finding {
	counts := map[[2]string]int{}
	for _, p := range pairs {
		counts[p.Subjects]++
	}
	var lines []string
	seen := map[[2]string]bool{}
	for _, p := range pairs {
		for n := range p.Files {
			if !slices.Contains(f.Subjects, p.Subjects[n]) {
				f.Subjects = append(f.Subjects, p.Subjects[n])
			}
			f.Files = append(f.Files, p.Files[n])
		}
		within := p.Subjects[0] == p.Subjects[1]
		if seen[p.Subjects] && !within {
			continue
		}
		seen[p.Subjects] = true
		line := p.describe(s)
		if more := counts[p.Subjects] - 1; more > 0 && !within {
			line += fmt.Sprintf(" (and %s more)", plural(more, "pair"))
		}
		lines = append(lines, line)
	}
	f.Problem = plural(len(pairs), "pair") + " of images of different subjects are the same or nearly so: "
	if f.ID == "duplicate-within-subject" {
		f.Problem = plural(len(pairs), "image") + " of a subject repeat another of the same subject: "
	}
	f.Problem += someOf(lines, "; ")
	return f
}

// someOf joins the first three and counts the rest.
func someOf(lines []string, separator string) string {
	if len(lines) <= 3 {
		return strings.Join(lines, separator)
	}
	return strings.Join(lines[:3], separator) + fmt.Sprintf("%sand %d more", separator, len(lines)-3)
}

// describe says who is like whom, and how: "A and B are equal".
func (p *Pair) describe(s *study) string {
	a, b := s.images[p.A].subject, s.images[p.B].subject
	names := fmt.Sprintf("%s and %s", p.Subjects[0], p.Subjects[1])
	if a == b {
		names = fmt.Sprintf("%s and %s", p.Files[0], p.Files[1])
	}
	text := names + " have equal voxels"
	if !p.Exact {
		text = fmt.Sprintf("%s correlate %.2f in fine detail", names, p.Similarity)
	}
	if len(p.Flip) > 0 {
		text += ", mirrored " + strings.Join(p.Flip, " and ")
	}
	if a != b && s.class(a) != s.class(b) {
		text += fmt.Sprintf(", labelled %s and %s", s.class(a), s.class(b))
	}
	return text
}
