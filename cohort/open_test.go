package cohort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// study writes files into a new folder: a name ending in "/" is a folder, other
// names hold the text.
func study(t testing.TB, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// withImages adds empty files a.nii ... for the letters.
func withImages(table, text, letters string) map[string]string {
	files := map[string]string{table: text}
	for _, letter := range letters {
		files[string(letter)+".nii"] = ""
	}
	return files
}

// describe puts a cohort on one line: class and images of each subject.
func describe(c *Cohort) string {
	var parts []string
	for _, s := range c.Subjects {
		part := s.ID + "=" + c.Classes[s.Class]
		for _, image := range s.Images {
			part += " " + strings.TrimPrefix(filepath.ToSlash(image.Path), filepath.ToSlash(c.Dir)+"/")
			if image.Mask != "" {
				part += "/" + filepath.Base(image.Mask)
			}
		}
		if s.Site != "" || s.Set != "" {
			part += " (" + s.Site + "," + s.Set + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name     string
		files    map[string]string
		options  Options
		want     string
		excluded int
	}{
		{"TSV", withImages("participants.tsv", "participant_id\tpath\tlabel\nb\tb.nii\tyes\na\ta.nii\tno\n", "ab"),
			Options{}, "a=no a.nii; b=yes b.nii", 0},
		{"BOM, CRLF, blank lines, quotes", withImages("participants.tsv", "\xef\xbb\xbfparticipant_id\tpath\tlabel\r\n\"a\"\ta.nii\tno\r\n\r\nb\tb.nii\t\" yes \"\r\n", "ab"),
			Options{}, "a=no a.nii; b=yes b.nii", 0},
		{"CSV of names in capitals", withImages("t.csv", "Patient ID,Image,Diagnosis,MASK\n\"a\",a.nii,\"no, none\",b.nii\nc,c.nii,yes,\n", "abc"),
			Options{}, "a=no, none a.nii/b.nii; c=yes c.nii", 0},
		{"semicolons", withImages("t.csv", "pid;file;pCR;age\na;a.nii;0;61,5\nb;b.nii;1;n/a\n", "ab"),
			Options{}, "a=0 a.nii; b=1 b.nii", 0},
		{"lines that end in CR", withImages("t.csv", "pid,file,label\ra,a.nii,0\rb,b.nii,1\r", "ab"),
			Options{}, "a=0 a.nii; b=1 b.nii", 0},
		{"test and retest are no sets", withImages("t.csv", "pid,file,label,set\na,a.nii,0,test\nb,b.nii,1,retest\n", "ab"),
			Options{}, "a=0 a.nii; b=1 b.nii", 0},
		{"masks among the images of classes", map[string]string{"no/a (1).png": "", "no/a (1)_mask.png": "", "no/a (1)_mask_1.png": "", "yes/sub-2_T1w.nii.gz": "", "yes/sub-2_seg.nii.gz": ""},
			Options{}, "a (1)=no no/a (1).png; sub-2=yes yes/sub-2_T1w.nii.gz", 0},
		{"missing labels", withImages("t.csv", "pid,file,label\na,a.nii,0\nb,b.nii,n/a\nc,c.nii,NA\nd,d.nii,NaN\ne,e.nii,\nf,,1\ng,g.nii,1\n", "ag"),
			Options{}, "a=0 a.nii; g=1 g.nii", 5},
		{"numeric classes", withImages("t.csv", "pid,file,label\na,a.nii,10\nb,b.nii,9\n", "ab"),
			Options{}, "a=10 a.nii; b=9 b.nii", 0},
		{"several images", withImages("t.csv", "pid,file,label\na,b.nii,0\nb,c.nii,1\na,a.nii,0\n", "abc"),
			Options{}, "a=0 b.nii a.nii; b=1 c.nii", 0},
		{"the coarsest subject", withImages("t.csv", "patient,patient_group,file,label\na1,a,a.nii,0\na2,a,b.nii,0\nb1,b,c.nii,1\n", "abc"),
			Options{}, "a=0 a.nii b.nii; b=1 c.nii", 0},
		{"columns by flag", withImages("t.csv", "who,what,path,outcome,class\na,0,a.nii,5,x\nb,1,b.nii,6,y\n", "ab"),
			Options{Subject: "who", Label: "What"}, "a=0 a.nii; b=1 b.nii", 0},
		{"sets", withImages("t.csv", "pid,file,label,fold,Split\na,a.nii,0,1,Training\nb,b.nii,1,2,val\nc,c.nii,1,3,TEST\n", "abc"),
			Options{}, "a=0 a.nii (,train); b=1 b.nii (,validation); c=1 c.nii (,test)", 0},
		{"numbered folds are no sets", withImages("t.csv", "pid,file,label,fold\na,a.nii,0,1\nb,b.nii,1,2\n", "ab"),
			Options{}, "a=0 a.nii; b=1 b.nii", 0},
		{"site by flag", withImages("t.csv", "pid,file,label,site\na,a.nii,0,x\na,c.nii,0,w\nb,b.nii,1,y\n", "abc"),
			Options{Site: "site"}, "a=0 a.nii c.nii (w+x,); b=1 b.nii (y,)", 0},
		{"many sites are not sites", withImages("t.csv", "pid,file,label,site\na,a.nii,0,x\nb,b.nii,1,y\n", "ab"),
			Options{}, "a=0 a.nii; b=1 b.nii", 0},
		{"BIDS", map[string]string{"participants.tsv": "participant_id\tlabel\nsub-1\t0\n2\t1\n", "notes.tsv": "x\n",
			"sub-1/anat/sub-1_T1w.nii.gz": "", "sub-2/ses-1/anat/sub-2_ses-1_T1w.nii": "", "sub-2/ses-1/anat/sub-2_ses-1_T2w.nii": ""},
			Options{}, "2=1 sub-2/ses-1/anat/sub-2_ses-1_T1w.nii; sub-1=0 sub-1/anat/sub-1_T1w.nii.gz", 0},
		{"class folders", map[string]string{"no/a.png": "", "no/sub-7_x.nii.gz": "", "no/sub-7_y.nii.gz": "", "yes/deep/b.JPG": "", "yes/notes.txt": "", ".git/x.png": ""},
			Options{}, "a=no no/a.png; b=yes yes/deep/b.JPG; sub-7=no no/sub-7_x.nii.gz no/sub-7_y.nii.gz", 0},
		{"folders of sets", map[string]string{"train/no/a.png": "", "train/yes/b.png": "", "val/no/c.png": ""},
			Options{}, "a=no train/no/a.png (,train); b=yes train/yes/b.png (,train); c=no val/no/c.png (,validation)", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cohort, err := Open(study(t, c.files), c.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(cohort); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(cohort.Excluded) != c.excluded {
				t.Errorf("excluded %q, want %d", cohort.Excluded, c.excluded)
			}
			if c.name == "numeric classes" && !slices.Equal(cohort.Classes, []string{"9", "10"}) {
				t.Errorf("classes %q", cohort.Classes)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	table := func(text, letters string) map[string]string { return withImages("t.csv", text, letters) }
	ages := "pid,file,label\n"
	for n := range 10 {
		ages += fmt.Sprintf("%c,%c.nii,%d.5\n", 'a'+n, 'a'+n, 40+n%6)
	}
	for _, c := range []struct {
		name    string
		files   map[string]string
		options Options
		kind    error
		says    string
	}{
		{"empty folder", nil, Options{}, ErrNoCohort, "no participants.tsv, no other table and no class folders"},
		{"two tables", map[string]string{"a.csv": "x\n", "b.tsv": "x\n"}, Options{}, ErrTable, "a.csv, b.tsv"},
		{"empty table", table("", ""), Options{}, ErrTable, "it is empty"},
		{"header only", table("pid,file,label\n", ""), Options{}, ErrTable, "no row"},
		{"a field too few", table("pid,file,label\na,a.nii,0\nb,b.nii\n", "ab"), Options{}, ErrTable, "line 3 has 2 fields, the header has 3"},
		{"a tab too many", withImages("t.tsv", "pid\tfile\tlabel\na\ta.nii\t0\t\n", "a"), Options{}, ErrTable, "line 2 has 4 fields, the header has 3"},
		{"open quote", table("pid,file,label\na,\"a.nii,0\n", "a"), Options{}, ErrTable, "line"},
		{"same column twice", table("pid,label,label\n", ""), Options{}, ErrTable, `two columns are named "label"`},
		{"UTF-16", table("\xff\xfep\x00", ""), Options{}, ErrTable, "UTF-16"},
		{"an image as table", table("pid,file\x00\n", ""), Options{}, ErrTable, "not UTF-8"},
		{"no label", table("pid,file,age\na,a.nii,3\n", "a"), Options{}, ErrColumn, "name it with --label COLUMN (columns: pid, file, age)"},
		{"misspelt label", table("pid,file,response_pcr\na,a.nii,3\n", "a"), Options{Label: "response_prc"}, ErrColumn, `no column "response_prc"; did you mean --label response_pcr?`},
		{"far-off label", table("pid,file,label\na,a.nii,3\n", "a"), Options{Label: "malignancy"}, ErrColumn, `no column "malignancy" (columns: pid, file, label)`},
		{"misspelt fold", table("pid,file,label,parts\na,a.nii,3,1\n", "a"), Options{Fold: "part"}, ErrColumn, "did you mean --set data.fold=parts?"},
		{"two labels", table("pid,file,outcome,class\na,a.nii,3,4\n", "a"), Options{}, ErrColumn, "outcome, class; choose with --label COLUMN"},
		{"no subject", table("file,label\na.nii,3\n", "a"), Options{}, ErrColumn, "--subject COLUMN"},
		{"crossed subjects", table("patient,subject,file,label\na,1,a.nii,0\na,2,b.nii,0\nb,1,c.nii,1\n", "abc"), Options{}, ErrColumn, "several columns that may be the subject"},
		{"no path", table("pid,label\na,0\n", ""), Options{}, ErrColumn, "--path COLUMN"},
		{"empty subject", table("pid,file,label\n,a.nii,0\n", "a"), Options{}, ErrTable, "line 2 has no subject"},
		{"missing files", table("pid,file,label,mask\na,a.nii,0,x.nii\nb,b.nii,1,\nc,c.nii,1,\nd,d.nii,1,\n", "a"), Options{}, ErrMissingFiles, "x.nii, b.nii, c.nii and 1 more"},
		{"no BIDS image", map[string]string{"participants.tsv": "participant_id\tlabel\n1\t0\n2\t1\n3\t1\n4\t1\n5\t1\n"}, Options{}, ErrMissingFiles, "1, 2, 3 and 2 more"},
		{"two BIDS images", map[string]string{"participants.tsv": "participant_id\tlabel\n1\t0\n", "sub-1/anat/sub-1_run-1_T1w.nii": "", "sub-1/anat/sub-1_run-2_T1w.nii": ""}, Options{}, ErrSequence, "2 T1w images"},
		{"one class", table("pid,file,label\na,a.nii,0\nb,b.nii,0\n", "ab"), Options{}, ErrOneClass, "all 2 subjects have label 0"},
		{"two spellings", table("pid,file,label\na,a.nii,Yes\nb,b.nii,yes\n", "ab"), Options{}, ErrTable, `"Yes" and "yes"`},
		{"two spellings of 1", table("pid,file,label\na,a.nii,1\nb,b.nii,1.0\n", "ab"), Options{}, ErrTable, "two spellings"},
		{"two labels of a subject", table("pid,file,label\na,a.nii,0\na,b.nii,1\n", "ab"), Options{}, ErrLabelConflict, "a is 0 and 1 (line 3)"},
		{"a subject in two sets", table("pid,file,label,set\na,a.nii,0,train\na,b.nii,0,val\nb,c.nii,1,val\n", "abc"), Options{}, ErrSubjectInTwoSets, "a is in train and in validation (line 3)"},
		{"a subject half in a set", table("pid,file,label,set\na,a.nii,0,train\na,b.nii,0,\nb,c.nii,1,val\n", "abc"), Options{}, ErrSubjectInTwoSets, "a is in train and in no set"},
		{"a fold as set", table("pid,file,label,fold\na,a.nii,0,1\n", "a"), Options{Set: "fold"}, ErrTable, `column fold has "1", which is none of`},
		{"a misspelt set", table("pid,file,label,set\na,a.nii,0,train\nb,b.nii,1,trian\nc,c.nii,1,val\n", "abc"), Options{}, ErrTable, `line 3: column set has "trian"`},
		{"two columns but for capitals", table("pid,file,label,Label\na,a.nii,0,1\n", "a"), Options{}, ErrColumn, `"label" and "Label", which differ in spelling only`},
		{"the image as its mask", table("pid,file,label,mask\na,a.nii,0,./a.nii\n", "a"), Options{}, ErrTable, "a.nii is given as image and as its mask (line 2)"},
		{"a folder as image", map[string]string{"t.csv": "pid,file,label\na,series,0\n", "series/1.dcm": ""}, Options{}, ErrMissingFiles, "series (a folder"},
		{"backslashes", table("pid,file,label\na,x\\a.nii,0\n", ""), Options{}, ErrMissingFiles, "write paths with / instead of"},
		{"a control character", table("pid,file,label\na,a.nii,\x1b[31m0\n", "a"), Options{}, ErrTable, `line 2 has a control character in "\x1b[31m0"`},
		{"a spreadsheet as table", table("PK\x03\x04rest", ""), Options{}, ErrTable, "spreadsheet; save it as CSV"},
		{"a spreadsheet beside nothing", map[string]string{"patients.xlsx": "PK\x03\x04"}, Options{}, ErrNoCohort, "save patients.xlsx as CSV"},
		{"commas in a .tsv", map[string]string{"t.tsv": "pid,file,label\na,a.nii,0\n"}, Options{}, ErrTable, "name it .csv"},
		{"column of a folder of classes", map[string]string{"no/a.nii": "", "yes/b.nii": ""}, Options{Label: "pcr"}, ErrColumn, `no column "pcr"`},
		{"class folders of masks", map[string]string{"no/a_mask.nii": "", "yes/b_mask.nii": ""}, Options{}, ErrNoCohort, "masks by their names"},
		{"one file, two subjects", table("pid,file,label\na,a.nii,0\nb,./a.nii,1\n", "a"), Options{}, ErrDuplicateImage, "of subject a and of subject b (line 3)"},
		{"one file twice", table("pid,file,label\na,a.nii,0\na,a.nii,0\n", "a"), Options{}, ErrDuplicateImage, "lines 2 and 3"},
		{"continuous", table(ages, "abcdefghij"), Options{}, ErrContinuousLabel, "6 different values for 10 subjects"},
		{"every label missing", table("pid,file,label\na,a.nii,n/a\n", "a"), Options{}, ErrTable, "no row has both"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := study(t, c.files)
			_, err := Open(folder, c.options)
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.says) || !strings.HasPrefix(err.Error(), "open cohort "+folder) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q\nwant %q with %q", err, c.kind, c.says)
			}
		})
	}
	if _, err := Open("testdata/absent", Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent folder: %v", err)
	}
}

// A link is another name of the same file, and a linked folder is a folder.
func TestOpenFollowsLinks(t *testing.T) {
	folder := study(t, map[string]string{"t.csv": "pid,file,label\na,a.nii,0\nb,b.nii,1\n", "a.nii": "", "stored/yes/c.nii": "", "classes/no/d.nii": ""})
	link := func(target, name string) {
		if err := os.Symlink(filepath.Join(folder, target), filepath.Join(folder, name)); err != nil {
			t.Skip("links cannot be made here: ", err)
		}
	}
	link("a.nii", "b.nii")
	if _, err := Open(folder, Options{}); !errors.Is(err, ErrDuplicateImage) {
		t.Errorf("one image under two names: %v", err)
	}
	link("stored/yes", "classes/yes")
	cohort, err := Open(filepath.Join(folder, "classes"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(cohort); got != "c=yes yes/c.nii; d=no no/d.nii" {
		t.Errorf("got %s", got)
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	folder := study(t, map[string]string{"a.nii.gz": ""})
	for path, kind := range map[string]error{filepath.Join(folder, "a.nii.gz"): ErrNoCohort, os.DevNull: ErrTable} {
		if _, err := Open(path, Options{}); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", path, err, kind)
		}
	}
}

func TestOpenNotes(t *testing.T) {
	for _, c := range []struct{ text, subject, says string }{
		{"pid,file,label\nP1,a.nii,0\np1,b.nii,1\n", "", `"P1" and "p1" count as two patients`},
		{"slice,patient,file,label\n1,p,a.nii,0\n2,p,b.nii,0\n3,q,c.nii,1\n", "slice", "column slice names 3 subjects, but column patient groups them into 2"},
		{"slice,patient,file,label\n1,p,a.nii,0\n2,p,b.nii,0\n3,q,c.nii,1\n", "", ""},
	} {
		cohort, err := Open(study(t, withImages("t.csv", c.text, "abc")), Options{Subject: c.subject})
		if err != nil {
			t.Fatal(err)
		}
		if notes := strings.Join(cohort.Notes, "; "); !strings.Contains(notes, c.says) || (notes == "") != (c.says == "") {
			t.Errorf("notes %q, want %q", notes, c.says)
		}
	}
}

func TestOpenSharedCohorts(t *testing.T) {
	for _, c := range []struct {
		folder                    string
		options                   Options
		subjects, images, masks   int
		classes, subjectsPerClass string
	}{
		{"sts-lungmets", Options{}, 51, 51, 51, "[0 1]", "[32 19]"},
		{"cheng-brain-tumour", Options{Label: "label", Subject: "patient_group"}, 87, 1221, 1221, "[glioma meningioma pituitary]", ""},
		{"cheng-brain-tumour", Options{}, 87, 1221, 1221, "[glioma meningioma pituitary]", ""},
		{"cheng-brain-tumour", Options{Subject: "patient"}, 91, 1221, 1221, "[glioma meningioma pituitary]", "[35 32 24]"},
	} {
		cohort, err := Open(sharedFolder(t, "data/"+c.folder), c.options)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(cohort.Duplicates) > 0 { // there is none, says the data's README
			t.Errorf("%s: duplicates %v", c.folder, cohort.Duplicates)
		}
		if first := cohort.Subjects[0]; first.ID == "STS_001" && (first.Covariates["age"] != "59" || first.Covariates["sex"] != "Male" || first.Covariates["label"] != "") {
			t.Errorf("%s: covariates %v", c.folder, first.Covariates)
		}
		images, masks, perClass := 0, 0, make([]int, len(cohort.Classes))
		for _, s := range cohort.Subjects {
			perClass[s.Class]++
			for _, image := range s.Images {
				images++
				if image.Mask != "" {
					masks++
				}
			}
			if s.Site != "" {
				t.Errorf("%s: site %q", c.folder, s.Site)
			}
		}
		if len(cohort.Subjects) != c.subjects || images != c.images || masks != c.masks || fmt.Sprint(cohort.Classes) != c.classes ||
			c.subjectsPerClass != "" && fmt.Sprint(perClass) != c.subjectsPerClass {
			t.Errorf("%s %+v: %d subjects, %d images, %d masks, classes %v %v", c.folder, c.options, len(cohort.Subjects), images, masks, cohort.Classes, perClass)
		}
	}
}

// FuzzParseTable: whatever the bytes, a table is rectangular, and a row's line
// lies behind the header's.
func FuzzParseTable(f *testing.F) {
	for _, text := range []string{
		"participant_id\tpath\tlabel\na\ta.nii\t0\n", "pid,label,site,fold,volume,session,age\na,0,x,1,2,p,3\nb,1,y,2,,q,4\na,0,x,1,3,r,\n", "a;b\r\n1;\"2;3\"\r\n", "\xef\xbb\xbfa,b\n\"x\ny\",z\n", "a\n\"\"\"\"\n", "\xff\xfea", ",,\n,,\n",
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, tabs bool) {
		table, err := parseTable(text, tabs)
		if err != nil {
			if !errors.Is(err, ErrTable) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		for n, row := range table.rows {
			if len(row) != len(table.columns) || table.lines[n] < 2 {
				t.Fatalf("row %d of line %d has %d fields for %d columns", n, table.lines[n], len(row), len(table.columns))
			}
		}
		if _, err := table.findSubject(""); err != nil && !errors.Is(err, ErrColumn) {
			t.Fatal(err)
		}
		c := &Cohort{Dir: t.TempDir()}
		if err := c.fromTable(table, Options{}, false, true); err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		for _, s := range c.Subjects {
			if s.ID == "" || s.Class < 0 || s.Class >= len(c.Classes) || len(s.Images) > 0 {
				t.Fatalf("subject %+v of classes %q", s, c.Classes)
			}
		}
	})
}
