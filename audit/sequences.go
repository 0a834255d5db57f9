package audit

import (
	"fmt"
	"math"

	"ballast/cohort"
)

// measureSequences reads the further sequences of an image, which need not be of
// its shape: the grid is laid in the world.
func (s *study) measureSequences(facts *ImageFacts, v *cohort.Volume, paths []string) {
	known := map[string]string{facts.Voxels: facts.Path}
	for _, path := range paths {
		other, err := cohort.ReadVolume(path)
		if err == nil {
			if err = other.Check(); err != nil {
				err = fmt.Errorf("read %s: %w", path, err)
			}
		}
		if err != nil {
			facts.problem, facts.Error = err, err.Error()
			return
		}
		voxels := contentHash(other)
		if first, ok := known[voxels]; ok {
			facts.equal = append(facts.equal, first+" and "+s.name(path))
		}
		known[voxels] = s.name(path)
		if !overlap(v, other) {
			facts.apart = append(facts.apart, s.name(path))
		}
		other.Release()
	}
}

// overlap tells whether two volumes share a part of the world, by the boxes
// along its axes that hold them.
func overlap(a, b *cohort.Volume) bool {
	lowA, highA := worldBox(a)
	lowB, highB := worldBox(b)
	for axis := range 3 {
		if lowA[axis] > highB[axis] || lowB[axis] > highA[axis] {
			return false
		}
	}
	return true
}

// worldBox returns the ends of a volume along the axes of the world, in mm.
func worldBox(v *cohort.Volume) (low, high [3]float64) {
	for row := range 3 {
		low[row], high[row] = math.Inf(1), math.Inf(-1)
		for corner := range 8 {
			x := v.Affine[row][3]
			for axis := range 3 {
				// Half a voxel beyond the centre of the first and the last.
				x += v.Affine[row][axis] * (float64((corner>>axis&1)*v.Shape[axis]) - 0.5)
			}
			low[row], high[row] = min(low[row], x), max(high[row], x)
		}
	}
	return low, high
}

// checkSequences reports sequences that are the same image twice, or lie
// elsewhere.
func checkSequences(s *study, _ *Report) []Finding {
	equal := Finding{ID: "sequence-twice", Level: Error, Fix: "name the right file: two channels of one image teach nothing"}
	apart := Finding{ID: "sequence-elsewhere", Level: Error, Fix: "check that both files are of one patient and one visit, and that conversion kept the position"}
	var pairs []string
	for n := range s.images {
		i := &s.images[n]
		if len(i.equal) > 0 {
			pairs = append(pairs, i.equal...)
			equal.Subjects = append(equal.Subjects, i.Subject)
		}
		if len(i.apart) > 0 {
			apart.Subjects, apart.Files = append(apart.Subjects, i.Subject), append(apart.Files, i.apart...)
		}
	}
	var findings []Finding
	if len(pairs) > 0 {
		equal.Problem = plural(len(pairs), "pair") + " of sequences of one visit have equal voxels: " + some(pairs)
		findings = append(findings, equal)
	}
	if len(apart.Files) > 0 {
		apart.Problem = plural(len(apart.Files), "sequence") + " without a place in common with the first one of the visit: " + some(apart.Files)
		findings = append(findings, apart)
	}
	return findings
}
