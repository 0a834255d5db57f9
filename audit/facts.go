package audit

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// facts collects what is known of every subject without a network. Facts that
// are the same for all subjects, or different words for nearly every one, are
// left out: nothing can be learned from them.
func (s *study) facts() []Fact {
	images := s.bySubject()
	var list []Fact
	add := func(kind, name string, of func(subject int) value) {
		f := Fact{Name: name, Kind: kind}
		for n := range images {
			f.values = append(f.values, of(n))
		}
		if f.settle() {
			list = append(list, f)
		}
	}
	mean := func(of func(*ImageFacts) (float64, bool)) func(int) value {
		return func(n int) value { return meanOf(images[n], of) }
	}
	number := func(of func(*ImageFacts) float64) func(int) value {
		return mean(func(i *ImageFacts) (float64, bool) { return of(i), true })
	}
	word := func(of func(*ImageFacts) string) func(int) value {
		return func(n int) value { return wordOf(images[n], of) }
	}
	add(Acquisition, "site", func(n int) value { return spoken(s.cohort.Subjects[n].Site) })
	add(Acquisition, "encoding", word(func(i *ImageFacts) string { return i.Encoding }))
	add(Acquisition, "orientation", word(func(i *ImageFacts) string { return i.Direction }))
	for axis, name := range []string{"i", "j", "k"} {
		add(Acquisition, "voxels along "+name, number(func(i *ImageFacts) float64 { return float64(i.Shape[axis]) }))
	}
	add(Acquisition, "finest spacing", number((*ImageFacts).inPlane))
	add(Acquisition, "coarsest spacing", number((*ImageFacts).through))
	add(Acquisition, "has a mask", word(func(i *ImageFacts) string { return yesNo(i.Mask != nil) }))
	s.addImageFacts(images, add)
	add(Brightness, "mean intensity", number(func(i *ImageFacts) float64 { return i.Mean }))
	add(Brightness, "contrast (deviation / mean)", mean(func(i *ImageFacts) (float64, bool) { return i.Deviation / i.Mean, i.Mean > 0 }))
	add(Size, "foreground volume", number(func(i *ImageFacts) float64 { return i.Volume }))
	add(Size, "foreground share", number(func(i *ImageFacts) float64 { return i.Filled }))
	add(Size, "mask volume", mean(func(i *ImageFacts) (float64, bool) {
		if i.Mask == nil || i.Mask.problem != nil {
			return 0, false
		}
		return i.Mask.Volume, true
	}))
	s.addCovariates(add)
	return list
}

type adder func(kind, name string, of func(subject int) value)

// addImageFacts adds what sidecars, headers and the table say of single images.
func (s *study) addImageFacts(images [][]*ImageFacts, add adder) {
	names := map[string]bool{}
	for n := range s.images {
		for name := range s.images[n].source.Facts {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		s.addColumn(kindOf(name), name, add, func(n int) []string {
			var values []string
			for _, image := range images[n] {
				values = append(values, image.source.Facts[name])
			}
			return values
		})
	}
}

// addCovariates adds the other columns of the table.
func (s *study) addCovariates(add adder) {
	add(Covariate, "images per subject", func(n int) value {
		return value{known: true, number: float64(len(s.cohort.Subjects[n].Images))}
	})
	names := map[string]bool{}
	for _, subject := range s.cohort.Subjects {
		for name := range subject.Covariates {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		s.addColumn(kindOf(name), name, add, func(n int) []string { return []string{s.cohort.Subjects[n].Covariates[name]} })
	}
}

// acquisitionNames are columns and sidecar keys that say how an image was taken,
// in small letters without separators: those of BIDS (Magnetic Resonance Imaging
// data, common metadata fields) and the short ones that tables use.
var acquisitionNames = strings.Fields(`manufacturer manufacturersmodelname model modelname vendor scanner scannermodel
	devicename deviceserialnumber stationname softwareversions institutionname institutionaddress institutionaldepartmentname
	magneticfieldstrength fieldstrength tesla receivecoilname receivecoilactiveelements coil gradientsettype mrtransmitcoilsequence
	matrixcoilmode coilcombinationmethod pulsesequencetype pulsesequencedetails sequence sequencename sequencevariant scanningsequence
	scanoptions mracquisitiontype protocolname protocol seriesdescription numbershots parallelreductionfactorinplane
	parallelacquisitiontechnique partialfourier partialfourierdirection phaseencodingdirection effectiveechospacing totalreadouttime
	echotime echotime1 echotime2 te repetitiontime tr inversiontime ti slicetiming sliceencodingdirection dwelltime flipangle
	echotrainlength multibandaccelerationfactor pixelbandwidth bandwidth imagetype slicethickness slicethick spacingbetweenslices
	slicespace xyspacing pixelspacing spacing acquisitionmatrix acquisitionduration numberofaverages percentsampling
	percentphasefieldofview reconmatrixpe baseresolution bodypartexamined patientposition contrastbolusagent conversionsoftware
	conversionsoftwareversion modality field nx ny nz dx dy dz nxy nz ntimes pixtype width height columns rows bitsallocated bitsstored`)

// kindOf tells how an image was taken from what is known of the patient.
func kindOf(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	if slices.Contains(acquisitionNames, plain) {
		return Acquisition
	}
	return Covariate
}

// addColumn adds a fact that is written as text: a number when every known value
// is one and there are more than five different ones. Where a tenth of the
// values or more are missing, that they are is a fact too.
func (s *study) addColumn(kind, name string, add adder, of func(subject int) []string) {
	numeric, missing, different := true, 0, map[string]bool{}
	for n := range s.cohort.Subjects {
		text := strings.Join(of(n), "")
		if text == "" {
			missing++
		}
		for _, v := range of(n) {
			if v == "" {
				continue
			}
			different[v] = true
			if x, err := strconv.ParseFloat(v, 64); err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
				numeric = false
			}
		}
	}
	numeric = numeric && len(different) > 5
	add(kind, name, func(n int) value { return columnValue(of(n), numeric) })
	if count := len(s.cohort.Subjects); 10*missing >= count && missing < count {
		add(kind, "whether "+name+" is given", func(n int) value { return spoken(yesNo(strings.Join(of(n), "") != "")) })
	}
}

func columnValue(values []string, numeric bool) value {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if len(values) == 0 {
		return value{}
	}
	if !numeric {
		return spoken(mostCommon(values))
	}
	sum := 0.0
	for _, v := range values {
		x, _ := strconv.ParseFloat(v, 64) // was read before
		sum += x
	}
	return value{known: true, number: sum / float64(len(values))}
}

func yesNo(holds bool) string {
	if holds {
		return "yes"
	}
	return "no"
}

// spoken is a value that is a word; unknown when it is empty.
func spoken(word string) value { return value{known: word != "", word: word} }

func meanOf(images []*ImageFacts, of func(*ImageFacts) (float64, bool)) value {
	sum, count := 0.0, 0.0
	for _, image := range images {
		if x, ok := of(image); ok && !math.IsNaN(x) && !math.IsInf(x, 0) {
			sum += x
			count++
		}
	}
	return value{known: count > 0, number: sum / max(count, 1)}
}

func wordOf(images []*ImageFacts, of func(*ImageFacts) string) value {
	var words []string
	for _, image := range images {
		words = append(words, of(image))
	}
	return spoken(mostCommon(words))
}

// mostCommon returns the commonest word, the first in order of equals.
func mostCommon(words []string) string {
	best, most := "", 0
	counts := map[string]int{}
	for _, w := range words {
		counts[w]++
	}
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		if counts[w] > most {
			best, most = w, counts[w]
		}
	}
	return best
}

// settle says whether the fact is worth testing, and rounds numbers to nine
// digits: a spacing of 0.9765625 is that of 0.97656250001. Rare words, of fewer
// than two subjects, become one.
func (f *Fact) settle() bool {
	for _, v := range f.values {
		f.Numeric = f.Numeric || v.known && v.word == ""
	}
	known, different, counts := 0, map[float64]bool{}, map[string]int{}
	for n, v := range f.values {
		if !v.known {
			continue
		}
		known++
		if f.Numeric {
			rounded, err := strconv.ParseFloat(strconv.FormatFloat(v.number, 'g', 9, 64), 64)
			f.values[n].number = cmp.Or(rounded, 0)
			if err != nil {
				f.values[n].number = v.number
			}
			different[f.values[n].number] = true
		}
		counts[v.word]++
	}
	if f.Numeric {
		return known >= leastKnown && len(different) > 1
	}
	kept := map[string]bool{}
	for n, v := range f.values {
		if v.known && counts[v.word] < 2 {
			f.values[n].word = rare
		}
		kept[f.values[n].word] = v.known
	}
	return known >= leastKnown && len(kept) > 1 && 2*counts1(counts) < known
}

const (
	leastKnown = 8 // subjects for whom a fact must be known
	rare       = "(rare)"
)

// counts1 is how many words occur once.
func counts1(counts map[string]int) int {
	once := 0
	for _, n := range counts {
		once += indicator(n == 1)
	}
	return once
}
