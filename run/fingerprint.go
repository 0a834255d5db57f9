package run

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// FingerprintFile holds what the network is shown of every subject, in a few
// numbers: enough to see that two sets are prepared differently, that one person
// is in both, or that the brightness alone gives the label away.
const FingerprintFile = "fingerprint.json"

// ThumbnailCells is the number of cells of a thumbnail: 8 x 8 of an image, 4 x 4 x 4
// of a volume.
const ThumbnailCells = 64

// A Fingerprint describes the prepared images of every subject, set by set, in
// the order of the header. Nothing of it is augmented.
type Fingerprint struct {
	Format int               `json:"format"` // Format
	Sets   map[string][]Look `json:"sets"`
}

// A Look is what the network is shown of one subject. Intensities are those of the
// network's input, over all images and channels of the subject.
type Look struct {
	Mean      Float `json:"mean"`
	Deviation Float `json:"deviation"` // standard deviation, divisor n
	Least     Float `json:"least"`
	Greatest  Float `json:"greatest"`
	// Thumbnail is the means of ThumbnailCells equal cells of the first channel of
	// the first image, slowest axis first, less their own mean and divided by their
	// own standard deviation, times 32, rounded and held within -127 to 127. All 0
	// for an image of one colour.
	Thumbnail []int `json:"thumbnail"`
}

// Encode returns the text of FingerprintFile.
func (f *Fingerprint) Encode() ([]byte, error) { return encode(f, "") }

func (r *Run) readFingerprint(dir string) error {
	file := filepath.Join(dir, FingerprintFile)
	text, err := readVersioned(file, maxHeader+int64(r.subjects())*1024)
	if text == nil || err != nil {
		return err
	}
	if r.Fingerprint, err = decodeFingerprint(text); err == nil {
		err = r.Header.checkFingerprint(r.Fingerprint)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w: %w", file, ErrInvalid, err)
	}
	return nil
}

// subjects is the number of subjects of all sets.
func (r *Run) subjects() int {
	n := 0
	for _, subjects := range r.Header.Sets {
		n += len(subjects)
	}
	return n
}

func (h *Header) checkFingerprint(f *Fingerprint) error {
	for _, set := range slices.Sorted(maps.Keys(f.Sets)) {
		subjects, known := h.Sets[set]
		if !known {
			return fmt.Errorf("the set %q is not in %s", set, HeaderFile)
		}
		if len(subjects) != len(f.Sets[set]) {
			return fmt.Errorf("set %s: %d subjects; %s has %d", set, len(f.Sets[set]), HeaderFile, len(subjects))
		}
		for i, look := range f.Sets[set] {
			if err := look.check(); err != nil {
				return fmt.Errorf("set %s: subject %s: %w", set, subjects[i].ID, err)
			}
		}
	}
	return nil
}

func (l *Look) check() error {
	if len(l.Thumbnail) != ThumbnailCells {
		return fmt.Errorf("a thumbnail of %d cells; want %d", len(l.Thumbnail), ThumbnailCells)
	}
	for _, x := range l.Thumbnail {
		if x < -127 || x > 127 {
			return fmt.Errorf("a cell of the thumbnail is %d; they lie from -127 to 127", x)
		}
	}
	if l.Deviation < 0 {
		return fmt.Errorf("deviation is %g; it is at least 0", float64(l.Deviation))
	}
	return nil
}

func decodeFingerprint(text []byte) (*Fingerprint, error) {
	f := &Fingerprint{Sets: map[string][]Look{}}
	err := decodeObject(text,
		member{"format", &f.Format, false},
		member{"sets", func(text []byte) error {
			return decodeNamed(text, func(set string, looks []byte) (err error) {
				f.Sets[set], err = decodeLooks(looks)
				return err
			})
		}, false},
	)
	return f, err
}

func decodeLooks(text []byte) ([]Look, error) {
	looks := []Look{}
	err := decodeArray(text, func(_ int, element []byte) error {
		var l Look
		err := decodeObject(element,
			member{"mean", &l.Mean, false},
			member{"deviation", &l.Deviation, false},
			member{"least", &l.Least, false},
			member{"greatest", &l.Greatest, false},
			member{"thumbnail", &l.Thumbnail, false},
		)
		looks = append(looks, l)
		return err
	})
	return looks, err
}
