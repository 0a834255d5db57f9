package run

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tableCases are tables in the manner of their writers; want as in textCases.
var tableCases = []struct {
	name   string
	text   string
	format string
	want   [][][5]float64
	note   string
	rates  []float64
}{
	{
		name:   "Keras, validation every second epoch, NA and nan",
		text:   "epoch,acc,loss,lr,val_acc,val_loss\n0,0.5,0.7,0.001,NA,NA\n1,0.6,0.6,0.001,0.55,0.65\n2,0.7,nan,0.001,NA,NA\n3,0.8,inf,0.001,0.65,nan\n",
		format: "keras-csv",
		want:   [][][5]float64{{{1, 0.7, 0.5, -1, -1}, {2, 0.6, 0.6, 0.65, 0.55}, {3, math.NaN(), 0.7, -1, -1}, {4, math.Inf(1), 0.8, math.NaN(), 0.65}}},
	},
	{
		name:   "two runs, header repeated, tabs, byte order mark, Windows lines",
		text:   "\xEF\xBB\xBFepoch\tloss\tval_loss\r\n0\t1\t2\r\n1\t0.5\t1.5\r\nepoch\tloss\tval_loss\r\n0\t3\t4\r\n1\t2\t3\r\n",
		format: "keras-csv",
		want:   [][][5]float64{{{1, 1, -1, 2, -1}, {2, 0.5, -1, 1.5, -1}}, {{1, 3, -1, 4, -1}, {2, 2, -1, 3, -1}}},
	},
	{
		name:   "one-epoch runs appended",
		text:   "epoch,loss,val_loss\n0,1,2\n0,3,4\n0,5,6\n",
		format: "keras-csv",
		want:   [][][5]float64{{{1, 1, -1, 2, -1}}, {{1, 3, -1, 4, -1}}, {{1, 5, -1, 6, -1}}},
	},
	{
		name:   "a last row that is still being written",
		text:   "epoch,loss,val_loss,val_accuracy\n1,1,2,0.5\n2,0.5,1.5,0.6\n3,0.4,1.2",
		format: "keras-csv",
		want:   [][][5]float64{{{1, 1, -1, 2, 0.5}, {2, 0.5, -1, 1.5, 0.6}, {3, 0.4, -1, -1, -1}}},
		note:   "cut short",
	},
	{
		name:   "Lightning, epoch and step values, several validations in an epoch",
		text:   "epoch,step,train_loss_epoch,train_loss_step,val_acc,val_loss\n0,4,,0.9,,\n0,9,,,0.5,0.8\n0,14,,0.7,,\n0,19,,,0.6,0.7\n0,19,0.8,,,\n1,24,,0.6,,\n1,29,,,0.7,0.6\n1,34,,0.4,,\n1,39,,,0.8,0.5\n1,39,0.5,,,\n",
		format: "lightning-csv",
		want:   [][][5]float64{{{1, -1, -1, 0.8, 0.5}, {2, 0.8, -1, 0.7, 0.6}, {3, -1, -1, 0.6, 0.7}, {4, 0.5, -1, 0.5, 0.8}}},
		note:   "every validation is one point",
	},
	{
		name:   "Lightning with a monitor of the learning rate, in rows without an epoch",
		text:   "epoch,lr-Adam,step,train_loss,val_acc,val_loss\n,0.1,0,,,\n0,,4,0.9,,\n0,,5,,0.5,0.8\n,0.01,6,,,\n1,,10,0.7,,\n1,,11,,0.6,0.7\n,0.001,12,,,\n",
		format: "lightning-csv",
		want:   [][][5]float64{{{1, 0.9, -1, 0.8, 0.5}, {2, 0.7, -1, 0.7, 0.6}}},
		rates:  []float64{0.1, 0.01},
	},
	{
		name:   "Ultralytics detection, losses in parts",
		text:   "epoch,train/box_loss,train/cls_loss,metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss,val/cls_loss,lr/pg0\n1,1.5,2.5,0.5,0.25,1.25,2.25,0.1\n2,1.25,2.25,0.6,0.3,1.5,2.0,0.1\n",
		format: "ultralytics-csv",
		want:   [][][5]float64{{{1, 1.5, -1, 1.25, 0.5}, {2, 1.25, -1, 1.5, 0.6}}},
		note:   "val/box_loss is taken of 2",
	},
	{
		name:   "fastai as it prints, lined up with blanks",
		text:   "epoch     train_loss  valid_loss  accuracy  time    \n0         0.9         0.8         0.5       00:03   \n1         0.7         0.6         0.75      00:03   \n",
		format: "fastai-csv",
		want:   [][][5]float64{{{1, 0.9, -1, 0.8, 0.5}, {2, 0.7, -1, 0.6, 0.75}}},
	},
	{
		name:   "timm, per cent",
		text:   "epoch,train_loss,eval_loss,eval_top1,eval_top5\n0,0.7,0.6,52.63,100.0\n1,0.6,0.5,63.16,100.0\n",
		format: "timm-csv",
		want:   [][][5]float64{{{1, 0.7, -1, 0.6, 0.5263}, {2, 0.6, -1, 0.5, 0.6316}}},
		note:   "per cent",
	},
	{
		name:   "ClinicaDL, several rows per epoch",
		text:   "epoch\titeration\ttime\tbalanced_accuracy_train\tloss_train\tbalanced_accuracy_valid\tloss_valid\n0\t0\t1.0\t0.5\t0.7\t0.5\t0.71\n0\t10\t2.0\t0.6\t0.6\t0.55\t0.66\n1\t0\t3.0\t0.7\t0.5\t0.6\t0.61\n1\t10\t4.0\t0.8\t0.4\t0.65\t0.56\n",
		format: "clinicadl-tsv",
		want:   [][][5]float64{{{1, 0.7, 0.5, 0.71, 0.5}, {2, 0.6, 0.6, 0.66, 0.55}, {3, 0.5, 0.7, 0.61, 0.6}, {4, 0.4, 0.8, 0.56, 0.65}}},
	},
	{
		name:   "pandas with an index, quoted names, tensors",
		text:   ",\"epoch\",\"train_loss\",\"val_loss\",\"val_auc\"\n0,1,tensor(0.7),0.6,0.5\n1,2,tensor(0.5),0.5,0.7\n",
		format: "csv",
		want:   [][][5]float64{{{1, 0.7, -1, 0.6, 0.5}, {2, 0.5, -1, 0.5, 0.7}}},
	},
	{
		name:   "a test set in place of the validation set",
		text:   "epoch,train_loss,train_acc,test_loss,test_acc\n1,0.7,0.5,0.8,0.4\n2,0.6,0.6,0.7,0.5\n",
		format: "csv",
		want:   [][][5]float64{{{1, 0.7, 0.5, 0.8, 0.4}, {2, 0.6, 0.6, 0.7, 0.5}}},
		note:   "names no validation set",
	},
	{
		name:   "an accuracy that is none",
		text:   "epoch,loss,val_loss,val_accuracy\n1,0.7,0.6,1200\n2,0.6,0.5,1300\n",
		format: "keras-csv",
		want:   [][][5]float64{{{1, 0.7, -1, 0.6, -1}, {2, 0.6, -1, 0.5, -1}}},
		note:   "neither a share nor per cent",
	},
}

func TestReadTable(t *testing.T) {
	for _, test := range tableCases {
		t.Run(test.name, func(t *testing.T) {
			if !isTable([]byte(test.text)) {
				t.Fatal("not recognised")
			}
			runs, format, err := readTable(strings.NewReader(test.text))
			if err != nil || format != test.format {
				t.Fatalf("format %s, error %v", format, err)
			}
			if len(runs) != len(test.want) {
				t.Fatalf("%d runs, want %d", len(runs), len(test.want))
			}
			notes := ""
			for i, one := range runs {
				c := one.curves("", format)
				comparePoints(t, c.Points, test.want[i])
				notes += strings.Join(c.Notes, "\n")
				for j, rate := range test.rates {
					if float64(c.Points[j].LearningRate) != rate {
						t.Errorf("learning rate %v, want %v", c.Points[j].LearningRate, rate)
					}
				}
			}
			if !strings.Contains(notes, test.note) {
				t.Errorf("no note says %q: %q", test.note, notes)
			}
		})
	}
}

// Tables of other things are left alone.
func TestIsTable(t *testing.T) {
	for _, text := range []string{
		"", "epoch", "a,b\n1,2\n", "subject,age\nsub-01,30\n", "name,loss of weight\nAnna,none\n",
		`{"loss": [1, 2], "val_loss": [1, 2]}`, "Epoch 1, loss: 0.5, val_loss: 0.6\n", "0.5,0.6\n0.4,0.5\n",
		"2024-01-01 10:00:00,123 INFO loss: 0.5\n",
	} {
		if isTable([]byte(text)) {
			t.Errorf("taken for a table: %q", text)
		}
	}
}

// Rows without an end do not fill the memory: what is beyond the limit is left
// out and said.
func TestEndlessTable(t *testing.T) {
	run := newLoggedRun("")
	*run.source = mostSamples
	run.add("val_loss", anySet, sample{value: 1})
	run.add("val_loss", anySet, sample{value: 2})
	next := run.another("")
	next.add("val_loss", anySet, sample{value: 3})
	if run.count+next.count != 0 || len(run.notes) != 1 || len(next.notes) != 1 {
		t.Errorf("%d samples, notes %q", run.count, run.notes)
	}
	line := strings.Repeat("x", 3*longestLine)
	all := newLines(strings.NewReader(line + "\nshort"))
	if !all.next() || len(all.line) != longestLine || !all.cut || !all.next() || string(all.line) != "short" {
		t.Error("a long line is not cut")
	}
}

func TestUTF16(t *testing.T) {
	text := "Epoch 1/1\nval_loss: 0.5 é\U0001F600 val_acc: 0.75\n"
	for _, big := range []bool{false, true} {
		encoded := []byte{0xFF, 0xFE}
		if big {
			encoded = []byte{0xFE, 0xFF}
		}
		for _, unit := range utf16Units(text) {
			if big {
				encoded = append(encoded, byte(unit>>8), byte(unit))
			} else {
				encoded = append(encoded, byte(unit), byte(unit>>8))
			}
		}
		if !isText(encoded) {
			t.Error("not recognised")
		}
		all := newLines(bytes.NewReader(append(encoded, 'x'))) // half a character at the end
		var got []string
		for all.next() {
			got = append(got, string(all.line))
		}
		if strings.Join(got, "\n")+"\n" != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
}

func utf16Units(text string) (units []uint16) {
	for _, r := range text {
		if r >= 0x10000 {
			r -= 0x10000
			units = append(units, uint16(0xD800+r>>10), uint16(0xDC00+r&0x3FF))
			continue
		}
		units = append(units, uint16(r))
	}
	return units
}

func FuzzTable(f *testing.F) {
	for _, test := range tableCases {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		isTable(file)
		runs, _, _ := readTable(bytes.NewReader(file))
		checkRuns(t, runs)
	})
}

func FuzzText(f *testing.F) {
	for _, test := range textCases {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		runs, err := readText(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		checkRuns(t, runs)
	})
}

// addFiles seeds a fuzz target with files of testdata/logs.
func addFiles(f *testing.F, pattern string) {
	paths, err := filepath.Glob(filepath.Join("testdata/logs", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no files %s: %v", pattern, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
}
