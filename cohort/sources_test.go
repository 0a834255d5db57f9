package cohort

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// account is describe with sequences, volumes, sessions, folds, covariates and facts.
func account(c *Cohort) string {
	var parts []string
	for _, s := range c.Subjects {
		part := s.ID + "=" + c.Classes[s.Class]
		for _, image := range s.Images {
			for n, file := range append([]string{image.Path}, image.Also...) {
				part += string(" +"[min(n, 1)]) + strings.TrimPrefix(filepath.ToSlash(file), filepath.ToSlash(c.Dir)+"/")
			}
			if image.Mask != "" {
				part += "/" + filepath.Base(image.Mask)
			}
			if image.Volume != Unchosen {
				part += fmt.Sprintf(" volume %d", image.Volume)
			}
			if image.Session != "" {
				part += " in " + image.Session
			}
			if len(image.Facts) > 0 {
				part += " " + listed(image.Facts)
			}
		}
		if s.Site+s.Set+s.Fold != "" {
			part += fmt.Sprintf(" (%s,%s,%s)", s.Site, s.Set, s.Fold)
		}
		if len(s.Covariates) > 0 {
			part += " " + listed(s.Covariates)
		}
		parts = append(parts, part)
	}
	if c.Sequences != nil {
		parts = append(parts, fmt.Sprint(c.Sequences))
	}
	return strings.Join(parts, "; ")
}

func listed(values map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, name+":"+values[name])
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// tree writes an image for each name without an ending that says otherwise;
// every image has its own content.
func tree(t *testing.T, text map[string]string, images ...string) string {
	files := maps.Clone(text)
	if files == nil {
		files = map[string]string{}
	}
	for _, name := range images {
		files[name] = "content of " + name
	}
	return study(t, files)
}

const twoParticipants = "participant_id\tlabel\tage\nsub-1\t0\t50\nsub-2\t1\tn/a\n"

// dicomStart is how a DICOM file begins: 128 bytes of anything, then DICM.
var dicomStart = strings.Repeat("\x00", 128) + "DICM"

func TestOpenSources(t *testing.T) {
	for _, c := range []struct {
		name    string
		text    map[string]string
		images  []string
		options Options
		want    string
		notes   string
	}{
		{"BIDS: the sequence that all have", map[string]string{"participants.tsv": twoParticipants},
			[]string{"sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_FLAIR.nii.gz", "sub-2/anat/sub-2_FLAIR.nii.gz"}, Options{},
			"sub-1=0 sub-1/anat/sub-1_FLAIR.nii.gz {age:50}; sub-2=1 sub-2/anat/sub-2_FLAIR.nii.gz; [FLAIR]",
			"sequence FLAIR is used, which all subjects have; there are also T1w (1 of 2 subjects)"},
		{"BIDS: chosen sequences, plain before contrast-enhanced", map[string]string{"participants.tsv": twoParticipants},
			[]string{"sub-1/anat/sub-1_T1w.nii.gz", "sub-1/anat/sub-1_ce-gd_T1w.nii.gz", "sub-1/dwi/sub-1_dwi.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz", "sub-2/anat/sub-2_ce-gd_T1w.nii.gz", "sub-2/dwi/sub-2_dwi.nii.gz"},
			Options{Sequences: []string{"dwi", "ce-gd_T1w", "T1w"}, Volume: "2"},
			"sub-1=0 sub-1/dwi/sub-1_dwi.nii.gz+sub-1/anat/sub-1_ce-gd_T1w.nii.gz+sub-1/anat/sub-1_T1w.nii.gz volume 2 {age:50}; " +
				"sub-2=1 sub-2/dwi/sub-2_dwi.nii.gz+sub-2/anat/sub-2_ce-gd_T1w.nii.gz+sub-2/anat/sub-2_T1w.nii.gz volume 2; [dwi ce-gd_T1w T1w]", ""},
		{"BIDS: sessions are images", map[string]string{"participants.tsv": twoParticipants},
			[]string{"sub-1/ses-10/anat/sub-1_ses-10_T1w.nii.gz", "sub-1/ses-9/anat/sub-1_ses-9_T1w.nii.gz", "sub-2/ses-9/anat/sub-2_ses-9_T1w.nii.gz"}, Options{},
			"sub-1=0 sub-1/ses-9/anat/sub-1_ses-9_T1w.nii.gz in 9 sub-1/ses-10/anat/sub-1_ses-10_T1w.nii.gz in 10 {age:50}; sub-2=1 sub-2/ses-9/anat/sub-2_ses-9_T1w.nii.gz in 9; [T1w]",
			"up to 2 sessions"},
		{"BIDS: first session", map[string]string{"participants.tsv": twoParticipants},
			[]string{"sub-1/ses-10/anat/sub-1_ses-10_T1w.nii.gz", "sub-1/ses-9/anat/sub-1_ses-9_T1w.nii.gz", "sub-2/ses-10/anat/sub-2_ses-10_T1w.nii.gz"}, Options{Session: "first"},
			"sub-1=0 sub-1/ses-9/anat/sub-1_ses-9_T1w.nii.gz in 9 {age:50}; sub-2=1 sub-2/ses-10/anat/sub-2_ses-10_T1w.nii.gz in 10; [T1w]", ""},
		{"BIDS: labels by session", map[string]string{"participants.tsv": "participant_id\tage\nsub-1\t50\nsub-2\t60\n",
			"sub-1/sub-1_sessions.tsv": "session_id\tlabel\tweight\nses-pre\t1\t70\nses-post\t1\t68\n", "sub-2/sub-2_sessions.tsv": "session_id\tlabel\nses-pre\t0\n"},
			[]string{"sub-1/ses-pre/anat/sub-1_ses-pre_T1w.nii", "sub-1/ses-post/anat/sub-1_ses-post_T1w.nii", "sub-2/ses-pre/anat/sub-2_ses-pre_T1w.nii"}, Options{},
			"sub-1=1 sub-1/ses-pre/anat/sub-1_ses-pre_T1w.nii in pre {weight:70} sub-1/ses-post/anat/sub-1_ses-post_T1w.nii in post {weight:68} {age:50}; sub-2=0 sub-2/ses-pre/anat/sub-2_ses-pre_T1w.nii in pre {age:60}; [T1w]", ""},
		{"BIDS: sessions in both tables", map[string]string{"participants.tsv": "participant_id\tsession_id\tlabel\nsub-1\tses-a\t0\nsub-1\tses-b\t0\nsub-2\tses-a\t1\n",
			"sub-1/sub-1_sessions.tsv": "session_id\tweight\nses-a\t70\nses-b\t68\n"},
			[]string{"sub-1/ses-a/anat/sub-1_ses-a_T1w.nii", "sub-1/ses-b/anat/sub-1_ses-b_T1w.nii", "sub-2/ses-a/anat/sub-2_ses-a_T1w.nii"}, Options{},
			"sub-1=0 sub-1/ses-a/anat/sub-1_ses-a_T1w.nii in a {weight:70} sub-1/ses-b/anat/sub-1_ses-b_T1w.nii in b {weight:68}; sub-2=1 sub-2/ses-a/anat/sub-2_ses-a_T1w.nii in a; [T1w]", ""},
		{"BIDS: one session of the table", map[string]string{"participants.tsv": "participant_id\tage\nsub-1\t50\nsub-2\t60\n",
			"sub-1/sub-1_sessions.tsv": "session_id\tlabel\nses-pre\t1\nses-post\t0\n", "sub-2/sub-2_sessions.tsv": "session_id\tlabel\nses-pre\t0\n"},
			[]string{"sub-1/ses-pre/anat/sub-1_ses-pre_T1w.nii", "sub-1/ses-post/anat/sub-1_ses-post_T1w.nii", "sub-2/ses-pre/anat/sub-2_ses-pre_T1w.nii"}, Options{Session: "ses-pre"},
			"sub-1=1 sub-1/ses-pre/anat/sub-1_ses-pre_T1w.nii in pre {age:50}; sub-2=0 sub-2/ses-pre/anat/sub-2_ses-pre_T1w.nii in pre {age:60}; [T1w]", ""},
		{"BIDS: sidecars by inheritance, nobody named", map[string]string{"participants.tsv": twoParticipants,
			"T1w.json": `{"Manufacturer": "Siemens", "MagneticFieldStrength": 3, "PatientName": "A^B"}`, "T2w.json": `{"EchoTime": 1}`,
			"sub-1/anat/sub-1_T1w.json": `{"EchoTime": 2.98e-3, "ImageType": ["ORIGINAL", "PRIMARY"], "MagneticFieldStrength": 1.5, "Nested": {"a": 1}}`},
			[]string{"sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz"}, Options{},
			`sub-1=0 sub-1/anat/sub-1_T1w.nii.gz {EchoTime:0.00298 ImageType:ORIGINAL\PRIMARY MagneticFieldStrength:1.5 Manufacturer:Siemens} {age:50}; ` +
				"sub-2=1 sub-2/anat/sub-2_T1w.nii.gz {MagneticFieldStrength:3 Manufacturer:Siemens}; [T1w]", ""},
		{"BIDS: masks of the derivatives", map[string]string{"participants.tsv": twoParticipants},
			[]string{"sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz", "derivatives/manual/sub-1/anat/sub-1_label-lesion_mask.nii.gz", "derivatives/manual/sub-1/anat/sub-1_label-brain_mask.nii.gz"},
			Options{Mask: "label-lesion_mask"},
			"sub-1=0 sub-1/anat/sub-1_T1w.nii.gz/sub-1_label-lesion_mask.nii.gz {age:50}; sub-2=1 sub-2/anat/sub-2_T1w.nii.gz; [T1w]", ""},
		{"several path columns", map[string]string{"t.csv": "pid,t1,flair,label,mask,age\na,1.nii,2.nii,0,3.nii,7\nb,4.nii,5.nii,1,,8\nc,6.nii,,1,,9\n"},
			[]string{"1.nii", "2.nii", "3.nii", "4.nii", "5.nii", "6.nii"}, Options{Path: []string{"t1", "flair"}},
			"a=0 1.nii+2.nii/3.nii {age:7}; b=1 4.nii+5.nii {age:8}; [t1 flair]", ""},
		{"sequences are columns", map[string]string{"t.csv": "pid,t1,FLAIR,label\na,1.nii,2.nii,0\nb,4.nii,5.nii,1\n"},
			[]string{"1.nii", "2.nii", "4.nii", "5.nii"}, Options{Sequences: []string{"flair"}}, "a=0 2.nii {t1:1.nii}; b=1 5.nii {t1:4.nii}", ""},
		{"unused images are noted", map[string]string{"t.csv": "pid,t1,flair,label\na,1.nii,2.nii,0\nb,4.nii,5.nii,1\n"},
			[]string{"1.nii", "2.nii", "4.nii", "5.nii"}, Options{}, "a=0 1.nii {flair:2.nii}; b=1 4.nii {flair:5.nii}", "--path t1,flair"},
		{"volumes of 4D files", map[string]string{"t.csv": "pid,file,label,volume\na,1.nii,0,0\na,1.nii,0,3\nb,2.nii,1,\n"},
			[]string{"1.nii", "2.nii"}, Options{}, "a=0 1.nii volume 0 1.nii volume 3; b=1 2.nii", "column volume chooses the volume"},
		{"first session of a table", map[string]string{"t.csv": "pid,file,label,session\na,1.nii,0,10\na,2.nii,0,9\nb,3.nii,1,b\n"},
			[]string{"1.nii", "2.nii", "3.nii"}, Options{Session: "first"}, "a=0 2.nii in 9; b=1 3.nii in b", ""},
		{"a measured volume", map[string]string{"t.csv": "pid,file,label,volume\na,1.nii,0,12.5\nb,2.nii,1,7\n"},
			[]string{"1.nii", "2.nii"}, Options{}, "a=0 1.nii {volume:12.5}; b=1 2.nii {volume:7}", ""},
		{"a whole measured volume", map[string]string{"t.csv": "pid,file,label,volume\na,1.nii,0,12\nb,2.nii,1,7\n"},
			[]string{"1.nii", "2.nii"}, Options{Volume: "none"}, "a=0 1.nii {volume:12}; b=1 2.nii {volume:7}", ""},
		{"covariates and facts", map[string]string{"t.csv": "pid,file,label,sex,te,cv_fold,PatientName\na,1.nii,0,f,5,2,x\na,2.nii,0,,6,2,y\nb,3.nii,1,m,n/a,1,z\n"},
			[]string{"1.nii", "2.nii", "3.nii"}, Options{}, "a=0 1.nii {te:5} 2.nii {te:6} (,,2) {sex:f}; b=1 3.nii (,,1) {sex:m}", ""},
		{"a sidecar of a table", map[string]string{"t.csv": "pid,file,label\na,1.nii.gz,0\nb,2.nii.gz,1\n", "1.json": `{"EchoTime": 0.1}`, "2.json": `damaged`},
			[]string{"1.nii.gz", "2.nii.gz"}, Options{}, "a=0 1.nii.gz {EchoTime:0.1}; b=1 2.nii.gz", ""},
		{"DICOM folders in a table", map[string]string{"t.csv": "pid,file,label\na,a/series,0\nb,b,1\n", "a/series/IM1": dicomStart, "b/IM1": dicomStart + "b"},
			nil, Options{}, "a=0 a/series; b=1 b", ""},
		{"DICOM folders of classes", map[string]string{"no/p1/IM1": dicomStart, "no/p1/IM2": dicomStart, "no/p2/s1/IM1": dicomStart + "2", "no/p2/s2/IM1": dicomStart + "3", "yes/p3/1.dcm": dicomStart + "4"},
			nil, Options{}, "p1=no no/p1; p2=no no/p2/s1 no/p2/s2; p3=yes yes/p3", "these folders are the subjects"},
		{"folders of subjects in folders of classes", nil,
			[]string{"no/p1/1.tif", "no/p1/2.tif", "no/p2/1.bmp", "yes/p3/deep/1.tiff"}, Options{}, "p1=no no/p1/1.tif no/p1/2.tif; p2=no no/p2/1.bmp; p3=yes yes/p3/deep/1.tiff", "these folders are the subjects"},
		{"training and test alone", nil, []string{"Training/no/a.png", "Training/yes/b.png", "Testing/no/c.png"}, Options{},
			"a=no Training/no/a.png; b=yes Training/yes/b.png; c=no Testing/no/c.png (,test,)", "the 2 training subjects are divided"},
		{"datalist", map[string]string{"dataset.json": `{"name": "x", "labels": {"0": "no"}, "training": [
				{"image": ["a1.nii", "a2.nii"], "label": 0, "subject": "a", "fold": 0, "age": 5.50}, {"image": ["b1.nii", "b2.nii"], "label": 1, "subject": "b", "fold": 1}],
			"validation": [{"image": ["c1.nii", "c2.nii"], "label": 1, "subject": "c"}], "test": ["d.nii"]}`},
			[]string{"a1.nii", "a2.nii", "b1.nii", "b2.nii", "c1.nii", "c2.nii"}, Options{},
			"a=0 a1.nii+a2.nii (,train,0) {age:5.50}; b=1 b1.nii+b2.nii (,train,1); c=1 c1.nii+c2.nii (,validation,); [image image 2]", ""},
		{"datalist without subjects or validation", map[string]string{"datalist.json": `{"training": [{"image": "x/T1.nii", "label": "no"}, {"image": "sub-7/T1.nii", "label": "yes"}, {"image": "sub-7/T2.nii", "label": "yes"}]}`},
			[]string{"x/T1.nii", "sub-7/T1.nii", "sub-7/T2.nii"}, Options{}, "sub-7=yes sub-7/T1.nii sub-7/T2.nii; x/T1=no x/T1.nii", "divided by split.validation"},
		{"datalist of segmentation", map[string]string{"dataset.json": `{"training": [{"image": "a.nii", "label": "am.nii", "grade": 3}, {"image": "b.nii", "label": "bm.nii", "grade": 4}]}`},
			[]string{"a.nii", "b.nii", "am.nii", "bm.nii"}, Options{Label: "grade"}, "a=3 a.nii/am.nii; b=4 b.nii/bm.nii", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := tree(t, c.text, c.images...)
			cohort, err := Open(folder, c.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := account(cohort); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if notes := strings.Join(cohort.Notes, "; "); !strings.Contains(notes, c.notes) {
				t.Errorf("notes %q, want %q", notes, c.notes)
			}
			// The columns that were used open the same cohort again, as a stored plan does.
			again, err := Open(folder, cohort.Columns)
			if err != nil {
				t.Fatal(err)
			}
			if got := account(again); got != c.want {
				t.Errorf("again %s\nwant  %s", got, c.want)
			}
		})
	}
}

func TestOpenSourcesRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		text    map[string]string
		images  []string
		options Options
		kind    error
		says    string
	}{
		{"no sequence that all have", map[string]string{"participants.tsv": twoParticipants}, []string{"sub-1/anat/sub-1_T1w.nii", "sub-2/anat/sub-2_T2w.nii"},
			Options{}, ErrMissingFiles, "no sequence is there for all subjects: T1w (1 of 2 subjects), T2w (1 of 2 subjects)"},
		{"a sequence that one lacks", map[string]string{"participants.tsv": twoParticipants}, []string{"sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T2w.nii", "sub-2/anat/sub-2_T1w.nii"},
			Options{Sequences: []string{"T1w", "T2w"}}, ErrMissingFiles, "for sub-2 (sequences there: T1w, T2w); give them the label n/a"},
		{"no such session", map[string]string{"participants.tsv": twoParticipants}, []string{"sub-1/ses-a/anat/sub-1_ses-a_T1w.nii", "sub-2/ses-b/anat/sub-2_ses-b_T1w.nii"},
			Options{Session: "c"}, ErrColumn, `no session "c"; there are a, b`},
		{"sessions.tsv without sessions", map[string]string{"participants.tsv": twoParticipants, "sub-1/sub-1_sessions.tsv": "label\n1\n"}, nil,
			Options{}, ErrTable, "has no column session_id"},
		{"labels that differ by session", map[string]string{"participants.tsv": "participant_id\nsub-1\n", "sub-1/sub-1_sessions.tsv": "session_id\tlabel\nses-a\t1\nses-b\t0\n"},
			[]string{"sub-1/ses-a/anat/sub-1_ses-a_T1w.nii", "sub-1/ses-b/anat/sub-1_ses-b_T1w.nii"}, Options{}, ErrLabelConflict, "sub-1 is 1 and 0"},
		{"a tree without participants", nil, []string{"sub-1/anat/sub-1_T1w.nii", "sub-2/anat/sub-2_T1w.nii"}, Options{}, ErrNoCohort, "a BIDS tree without participants.tsv"},
		{"participant above the tree", map[string]string{"participants.tsv": "participant_id\tlabel\n../x\t1\n"}, nil, Options{}, ErrTable, `participant "../x"`},
		{"one column twice", map[string]string{"t.csv": "pid,file,label\na,1.nii,0\n"}, []string{"1.nii"}, Options{Path: []string{"file", "File"}}, ErrColumn, "asked for twice"},
		{"one file as two sequences", map[string]string{"t.csv": "pid,t1,t2,label\na,1.nii,./1.nii,0\n"}, []string{"1.nii"}, Options{Path: []string{"t1", "t2"}}, ErrDuplicateImage, "given as two sequences"},
		{"sequences that are no columns", map[string]string{"t.csv": "pid,t1,label\na,1.nii,0\n"}, []string{"1.nii"}, Options{Sequences: []string{"T2w"}}, ErrSequence, "has the columns pid, t1, label"},
		{"a volume that is no index", map[string]string{"t.csv": "pid,file,label,frame\na,1.nii,0,x\n"}, []string{"1.nii"}, Options{Volume: "frame"}, ErrTable, `line 2: column frame has "x"`},
		{"a volume below 0", map[string]string{"t.csv": "pid,file,label\na,1.nii,0\n"}, []string{"1.nii"}, Options{Volume: "-2"}, ErrColumn, "volumes count from 0"},
		{"a subject in two folds", map[string]string{"t.csv": "pid,file,label,part\na,1.nii,0,1\na,2.nii,0,2\n"}, []string{"1.nii", "2.nii"}, Options{Fold: "part"}, ErrSubjectInTwoSets, "a is in fold 1 and in fold 2 (line 3)"},
		{"four subjects in two sets", map[string]string{"t.csv": "pid,file,label,set\na,1,0,train\na,2,0,test\nb,3,1,train\nb,4,1,test\nb,5,1,test\nc,6,1,train\nc,7,1,test\nd,8,0,val\nd,9,0,test\n"},
			[]string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}, Options{}, ErrSubjectInTwoSets, "a is in train and in test (line 3); b is in train and in test (line 5); c is in train and in test (line 8) and 1 more subjects"},
		{"a folder in the table", map[string]string{"t.csv": "pid,file,label\na,x,0\n", "x/notes.txt": "no DICOM here"}, nil, Options{}, ErrMissingFiles, "x (a folder without DICOM files"},
		{"same content in two sets", map[string]string{"t.csv": "pid,file,label,set\na,1.nii,0,train\nb,2.nii,1,val\n", "1.nii": "same", "2.nii": "same"}, nil,
			Options{}, ErrDuplicateImage, "1.nii of subject a and 2.nii of subject b, labelled 0 and 1, are in train and validation"},
		{"damaged datalist", map[string]string{"dataset.json": "{\"training\": [\n{\"image\": \"a.nii\"},\n{\"image\": }]}"}, nil, Options{}, ErrTable, "line 3: invalid character '}'"},
		{"datalist that ends early", map[string]string{"dataset.json": "{\"training\": [{\"image\": \"a.nii\"}"}, nil, Options{}, ErrTable, "the JSON text ends early"},
		{"no datalist", map[string]string{"dataset.json": `{"Name": "x", "BIDSVersion": "1.8.0"}`}, nil, Options{}, ErrNoCohort, "no list called training"},
		{"a list", map[string]string{"dataset.json": `[]`}, nil, Options{}, ErrNoCohort, "not an object"},
		{"a section that is no list", map[string]string{"dataset.json": `{"training": 5}`}, nil, Options{}, ErrTable, "training is not a list"},
		{"an item that is no object", map[string]string{"dataset.json": `{"training": [5]}`}, nil, Options{}, ErrTable, "neither an object"},
		{"an image that is no name", map[string]string{"dataset.json": `{"training": [{"image": 5}]}`}, nil, Options{}, ErrTable, "neither the name of a file nor a list"},
		{"labels one-hot", map[string]string{"dataset.json": `{"training": [{"image": "a.nii", "label": [0, 1]}]}`}, nil, Options{}, ErrTable, "label is a list"},
		{"labels that are masks", map[string]string{"dataset.json": `{"training": [{"image": "a.nii", "label": "m.nii"}]}`}, nil, Options{}, ErrColumn, "a list for segmentation"},
		{"not an archive", map[string]string{"x.npz": "PK\x03\x04"}, nil, Options{}, ErrArchive, "not a valid zip file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := tree(t, c.text, c.images...)
			_, err := Open(folder, c.options)
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) || strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("error %q\nwant %v with %q", err, c.kind, c.says)
			}
		})
	}
}

// Inspect goes on where Open refuses, and says what it saw.
func TestInspect(t *testing.T) {
	folder := study(t, map[string]string{"t.csv": "pid,file,label,set\na,1.nii,0,train\na,2.nii,0,val\nb,3.nii,1,val\nc,4.nii,1,train\n",
		"1.nii": "1", "2.nii": "2", "3.nii": "same", "4.nii": "same"})
	if _, err := Open(folder, Options{}); !errors.Is(err, ErrSubjectInTwoSets) {
		t.Errorf("Open: %v", err)
	}
	c, err := Inspect(folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Overlap); got != "[a is in train and in validation (line 3)]" || c.Subjects[0].Set != "train" {
		t.Errorf("overlap %s, set %s", got, c.Subjects[0].Set)
	}
	if len(c.Duplicates) != 1 || c.Duplicates[0].Subjects != [2]int{1, 2} || filepath.Base(c.Duplicates[0].Paths[1]) != "4.nii" {
		t.Errorf("duplicates %v", c.Duplicates)
	}
}

// The same content is found whatever the name; large files that differ in the
// middle only are not taken for the same, nor are empty ones.
func TestDuplicates(t *testing.T) {
	large := strings.Repeat("x", 5*sampleBytes)
	other := large[:sampleBytes+9] + "y" + large[sampleBytes+10:]
	folder := study(t, map[string]string{
		"t.csv": "pid,file,label\na,1.nii,0\na,2.nii,0\nb,3.nii,1\nc,4.nii,1\nd,5.nii,0\ne,6.nii,0\nf,7.nii,1\ng,s1,0\nh,s2,1\n",
		"1.nii": large, "2.nii": large, "3.nii": large, "4.nii": other, "5.nii": "", "6.nii": "", "7.nii": large[:len(large)-1],
		"s1/1": dicomStart + "1", "s1/2": dicomStart + "2", "s2/a": dicomStart + "2", "s2/b": dicomStart + "1",
	})
	c, err := Open(folder, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range c.Duplicates {
		found = append(found, fmt.Sprint(c.Subjects[d.Subjects[0]].ID, c.Subjects[d.Subjects[1]].ID, " ", filepath.Base(d.Paths[0]), " ", filepath.Base(d.Paths[1])))
	}
	if got := strings.Join(found, "; "); got != "ab 1.nii 3.nii; gh s1 s2" {
		t.Errorf("duplicates %s", got)
	}
	notes := strings.Join(c.Notes, "; ")
	for _, want := range []string{"subject a has one image twice", "1.nii of subject a and 3.nii of subject b, labelled 0 and 1,"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q lack %q", notes, want)
		}
	}
}

func TestOpenTable(t *testing.T) {
	c, err := OpenTable(sharedFolder(t, "data/ispy2-pcr-table"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	counts := [2]int{}
	ages := 0
	for _, s := range c.Subjects {
		counts[s.Class]++
		if s.Covariates["age"] != "" {
			ages++
		}
		if len(s.Images) > 0 {
			t.Fatalf("%s has images", s.ID)
		}
	}
	// 316 with and 666 without complete response, says the data's README.
	if counts != [2]int{666, 316} || ages < 900 || c.Subjects[0].Covariates["pid"] != "" {
		t.Errorf("%v subjects, %d ages", counts, ages)
	}
	if _, err := Open(sharedFolder(t, "data/ispy2-pcr-table"), Options{}); !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), "the table names no images") {
		t.Errorf("Open: %v", err)
	}
	if _, err := OpenTable(t.TempDir(), Options{}); !errors.Is(err, ErrNoCohort) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := OpenTable("absent", Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// FuzzDatalist: whatever the bytes, the table is rectangular, its lines are in
// order, and every error is one line.
func FuzzDatalist(f *testing.F) {
	for _, text := range []string{
		`{"training": [{"image": "a", "label": 0, "fold": 1}], "validation": [{"image": ["a", "b"]}], "test": ["c"]}`,
		"\xef\xbb\xbf{\"x\": [1, {}],\n\"Train\":\n[{\"image 2\": null, \"image\": [\"a\", \"b\"]}]}", `{"test": [[]]}`, `{"training": {}}`, "[",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseDatalist(text)
		if err != nil {
			if !errors.Is(err, ErrTable) && !errors.Is(err, ErrNoCohort) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if !slices.IsSorted(list.lines) || len(list.rows) != len(list.setOf) {
			t.Fatalf("lines %v, %d rows, %d sets", list.lines, len(list.rows), len(list.setOf))
		}
		for _, row := range list.rows {
			if len(row) != len(list.columns) {
				t.Fatalf("%d fields for %d columns", len(row), len(list.columns))
			}
		}
		c := &Cohort{Dir: t.TempDir()}
		if err := c.fromDatalist(list, Options{}, true); err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("error %q", err)
		}
	})
}

// FuzzSidecar: no fact is long, has a control character or names the patient.
func FuzzSidecar(f *testing.F) {
	f.Add([]byte(`{"EchoTime": 1e-3, "ImageType": ["A", 2, true], "PatientName": "x", "Nested": {}, "Deep": [[1]]}`))
	f.Add([]byte(`{"a": 1e999, "b": -0, "c": "\u0000"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, fact := range parseSidecar(text) {
			if fact == "" || len(fact) > maxFact || strings.ContainsAny(fact, "\n\x00") || strings.EqualFold(name, "PatientName") {
				t.Fatalf("%q is %q", name, fact)
			}
		}
	})
}
