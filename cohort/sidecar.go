package cohort

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Bounds of the sidecars: real ones hold a few kilobytes.
const (
	maxSidecar = 4 << 20 // bytes
	maxFacts   = 500
	maxFact    = 200 // characters of one value
)

// readSidecar returns the acquisition facts of a JSON file, as dcm2niix and
// BIDS write it; nil when there is none or it is no JSON object: a sidecar is a
// help and not needed for anything.
func readSidecar(path string) map[string]string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSidecar+1))
	if err != nil || len(text) > maxSidecar {
		return nil
	}
	return parseSidecar(text)
}

// parseSidecar keeps the texts, numbers, truth values and flat lists of an
// object, unless they tell who the patient is.
func parseSidecar(text []byte) map[string]string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil {
		return nil
	}
	facts := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if len(facts) == maxFacts {
			break
		}
		if fact := plainFact(object[name]); fact != "" && !identifying(name) && len(name) <= maxFact {
			facts[name] = fact
		}
	}
	return facts
}

// plainFact writes a value as text: a number in decimal notation, a list with
// backslashes, as DICOM does. Anything else, or too long, is empty.
func plainFact(value any) string {
	text := ""
	switch v := value.(type) {
	case string:
		text = strings.TrimSpace(v)
	case bool:
		text = strconv.FormatBool(v)
	case json.Number:
		text = plainNumber(v)
	case []any:
		var parts []string
		for _, element := range v {
			if _, nested := element.([]any); nested {
				return ""
			}
			part := plainFact(element)
			if part == "" {
				return ""
			}
			parts = append(parts, part)
			if len(parts) > maxFact {
				return ""
			}
		}
		text = strings.Join(parts, `\`)
	}
	if len(text) > maxFact || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}

// plainNumber writes 1.5e-3 as 0.0015, and whole numbers as they stand.
func plainNumber(n json.Number) string {
	if !strings.ContainsAny(n.String(), "eE") {
		return n.String()
	}
	x, err := n.Float64()
	if err != nil || math.Abs(x) > 1e15 || x != 0 && math.Abs(x) < 1e-15 {
		return n.String()
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// identifying tells whether a field says who somebody is: names, identifiers,
// dates of birth and addresses are not kept.
func identifying(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"patientname", "patientid", "patientbirth", "patientaddress", "otherpatient", "accession", "physician", "operator", "studyid", "instanceuid", "phone"} {
		if strings.Contains(strings.ReplaceAll(name, "_", ""), part) {
			return true
		}
	}
	return false
}

// sidecarOf returns the sidecar's name of an image: x.json beside x.nii.gz.
func sidecarOf(path string) string {
	if ending, ok := imageEnding(path); ok {
		return strings.TrimSuffix(path, ending) + ".json"
	}
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
}
