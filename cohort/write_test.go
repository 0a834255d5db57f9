package cohort

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a cohort of two sequences, sites, sessions, masks and awkward
// covariates, large enough to be split.
func written(t *testing.T) *Cohort {
	text := "pid,t1,flair,mask,outcome,centre,visit,sex,volume,patient\n"
	files := map[string]string{}
	for n := range 24 {
		for visit := range 1 + n%2 {
			name := fmt.Sprintf("images/%d_%d", n, visit)
			text += fmt.Sprintf("p%d,%s_t1.nii,%s_flair.nii,%s_mask.nii,%s,%c,%d,\"a, \"\"%d\"\"\",1.5,all\n",
				n, name, name, name, []string{"no", "yes"}[n%3/2], 'A'+n%2, visit, n)
			for _, file := range []string{"t1", "flair", "mask"} {
				files[name+"_"+file+".nii"] = name + file
			}
		}
	}
	files["t.csv"] = text
	c, err := Open(study(t, files), Options{Path: []string{"t1", "flair"}, Subject: "pid", Site: "centre"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A written table or datalist opens to the same subjects, images and sets, and
// splits to the same split whatever the seed.
func TestWrittenSplitsReadBack(t *testing.T) {
	c := written(t)
	split, err := c.SplitBy(5, SplitOptions{Validation: 0.25, Test: 0.2, Stratify: []string{"label", "site"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"split.tsv", "split.csv", "split.json"} {
		for _, below := range []bool{true, false} {
			dir := c.Dir
			if !below {
				dir = t.TempDir()
			}
			var text bytes.Buffer
			if name == "split.json" {
				err = c.WriteDatalist(&text, dir, c.Assign(split))
			} else {
				err = c.WriteTable(&text, dir, c.Assign(split), name == "split.tsv")
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), c.Dir) == below {
				t.Errorf("%s: absolute paths %v, below the folder %v", name, !below, below)
			}
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			options := Options{Path: []string{"t1", "flair"}, Site: "site"}
			if name == "split.json" {
				options.Path = nil
			}
			read, err := Open(path, options)
			if err != nil {
				t.Fatal(err)
			}
			again, err := read.Split(99, 0.5, 0)
			if err != nil || fmt.Sprint(again) != fmt.Sprint(split) {
				t.Errorf("%s: split %v, %v, want %v", name, again, err, split)
			}
			for n, s := range read.Subjects {
				want := c.Subjects[n]
				if s.ID != want.ID || read.Classes[s.Class] != c.Classes[want.Class] || s.Site != want.Site || len(s.Images) != len(want.Images) ||
					realPath(s.Images[0].Also[0]) != realPath(want.Images[0].Also[0]) || realPath(s.Images[0].Mask) != realPath(want.Images[0].Mask) {
					t.Fatalf("%s: subject %+v, want %+v", name, s, want)
				}
				if name != "split.json" && (s.Covariates["sex"] != want.Covariates["sex"] || s.Covariates["original_volume"] != "1.5" || s.Covariates["original_patient"] != "all") {
					t.Errorf("%s: covariates %v, want %v", name, s.Covariates, want.Covariates)
				}
			}
			os.Remove(path)
		}
	}
}

func TestWrittenFolds(t *testing.T) {
	c := written(t)
	folds, err := c.Folds(1, 3)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := c.WriteDatalist(&text, c.Dir, c.AssignFolds(folds)); err != nil {
		t.Fatal(err)
	}
	// The layout that MONAI's load_decathlon_datalist and Auto3DSeg's
	// datalist_split read: lists of objects, "fold" in "training".
	var list struct {
		Labels   map[string]string
		Training []struct {
			Image []string
			Label int
			Fold  *int
		}
		Validation, Test []any
	}
	if err := json.Unmarshal(text.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Training) != 36 || list.Training[0].Fold == nil || len(list.Training[0].Image) != 2 || len(list.Validation)+len(list.Test) > 0 || list.Labels["1"] != "yes" {
		t.Errorf("datalist %+v", list)
	}
	path := filepath.Join(c.Dir, "folds.json")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	split, err := read.SplitBy(1, SplitOptions{Validation: 0.25, Fold: "2"})
	if err != nil || fmt.Sprint(split.Validation) != fmt.Sprint(folds[2].Validation) {
		t.Errorf("fold 2 is %v, %v, want %v", split.Validation, err, folds[2].Validation)
	}
}

func TestDatalistOfAnArchive(t *testing.T) {
	c, err := Open("testdata/numpy/grey.npz", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WriteDatalist(&bytes.Buffer{}, ".", c.Assign(Split{})); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}
