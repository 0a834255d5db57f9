package run

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// wandbRow is a Record with one HistoryRecord.
func wandbRow(values ...string) []byte {
	var history []byte
	for i := 0; i+1 < len(values); i += 2 {
		item := protowire.AppendTag(nil, 1, protowire.BytesType)
		item = protowire.AppendString(item, values[i])
		item = protowire.AppendTag(item, 16, protowire.BytesType)
		item = protowire.AppendString(item, values[i+1])
		history = protowire.AppendTag(history, 1, protowire.BytesType)
		history = protowire.AppendBytes(history, item)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), history)
}

// wandbFile frames records as a LevelDB log, cut into chunks at the ends of
// blocks.
func wandbFile(records ...[]byte) []byte {
	file := []byte(wandbMagic)
	for _, record := range records {
		for first := true; first || len(record) > 0; first = false {
			left := wandbBlock - len(file)%wandbBlock
			if left < chunkHeader {
				file = append(file, make([]byte, left)...)
				left = wandbBlock
			}
			piece := record[:min(len(record), left-chunkHeader)]
			record = record[len(piece):]
			kind := byte(3) // middle
			switch {
			case first && len(record) == 0:
				kind = 1
			case first:
				kind = 2
			case len(record) == 0:
				kind = 4
			}
			body := append([]byte{kind}, piece...)
			file = binary.LittleEndian.AppendUint32(file, crc32.ChecksumIEEE(body))
			file = binary.LittleEndian.AppendUint16(file, uint16(len(piece)))
			file = append(file, body...)
		}
	}
	return file
}

func wandbRows(n, padding int) [][]byte {
	var rows [][]byte
	for i := range n {
		rows = append(rows, wandbRow("epoch", fmt.Sprint(i), "val_loss", fmt.Sprint(90-i), "val_acc", "0.5", "note", `"`+strings.Repeat("x", padding)+`"`))
	}
	return rows
}

func wandbCurves(t *testing.T, file []byte) *Curves {
	t.Helper()
	runs, err := readWandb(bytes.NewReader(file))
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, error %v", len(runs), err)
	}
	return runs[0].curves("", "wandb")
}

// Records of all lengths round the size of a block, whole, in two and in three
// chunks, and padding of every length at the end of a block.
func TestWandbBlocks(t *testing.T) {
	for padding := wandbBlock - 120; padding < wandbBlock-40; padding++ {
		if got := losses(wandbCurves(t, wandbFile(wandbRows(3, padding)...))); !equalValues(got, 90, 89, 88) {
			t.Fatalf("padding %d: %v", padding, got)
		}
	}
	if got := losses(wandbCurves(t, wandbFile(wandbRows(3, 3*wandbBlock)...))); !equalValues(got, 90, 89, 88) {
		t.Fatalf("over three blocks: %v", got)
	}
}

func TestCutWandb(t *testing.T) {
	file := wandbFile(wandbRows(3, 0)...)
	size := (len(file) - len(wandbMagic)) / 3
	for cut := len(wandbMagic) + size; cut < len(file); cut++ {
		c := wandbCurves(t, file[:cut])
		whole := (cut - len(wandbMagic)) / size
		if len(c.Points) != whole {
			t.Fatalf("cut at %d: %d points, want %d", cut, len(c.Points), whole)
		}
		said := strings.Contains(strings.Join(c.Notes, " "), "cut short")
		if said != ((cut-len(wandbMagic))%size != 0) {
			t.Fatalf("cut at %d: notes %q", cut, c.Notes)
		}
	}
}

// A damaged chunk costs the rest of its block and no more.
func TestDamagedWandb(t *testing.T) {
	file := wandbFile(wandbRows(8, wandbBlock/2)...)
	for at := len(wandbMagic); at < 2*wandbBlock; at += 977 {
		broken := bytes.Clone(file)
		broken[at] ^= 1
		c := wandbCurves(t, broken)
		if len(c.Points) < 4 || len(c.Points) > 7 || !strings.Contains(strings.Join(c.Notes, " "), "damaged") {
			t.Errorf("byte %d: %d points, %q", at, len(c.Points), c.Notes)
		}
		for _, p := range c.Points {
			// Epochs count from 0, and from 1 if the first row is lost.
			if sum := float64(p.ValidationLoss) + float64(p.Epoch); sum != 91 && sum != 90 {
				t.Errorf("byte %d: epoch %d has loss %v", at, p.Epoch, p.ValidationLoss)
			}
		}
	}
}

func TestWandbValues(t *testing.T) {
	file := wandbFile(
		wandbRow("epoch", "0", "trainer/global_step", "9", "train_loss", "0.7", "val_loss", "NaN", "val_acc", "0.5", "_timestamp", "1e9", "images", `{"a": 1}`),
		wandbRow("epoch", "1", "trainer/global_step", "19", "train_loss", `"Infinity"`, "val_loss", "0.6", "val_acc", "0.6"))
	c := wandbCurves(t, file)
	comparePoints(t, c.Points, [][5]float64{{1, 0.7, -1, math.NaN(), 0.5}, {2, math.Inf(1), -1, 0.6, 0.6}})
	if c.Points[1].Step != 19 || !strings.Contains(strings.Join(c.Notes, " "), "did not finish") {
		t.Errorf("%+v, %q", c.Points[1], c.Notes)
	}
}

func FuzzWandb(f *testing.F) {
	addFiles(f, "wandb/*.wandb")
	f.Add(wandbFile(wandbRows(2, wandbBlock)...))
	f.Fuzz(func(t *testing.T, file []byte) {
		runs, _ := readWandb(bytes.NewReader(file))
		checkRuns(t, runs)
		w := wandbReader{byPrefix: map[string]*loggedRun{}} // past the checksums
		_ = w.record(file)
		checkRuns(t, w.runs)
	})
}

func TestReadMetrics(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "mlruns", "0", "abc")
	write := func(name, text string) {
		writeFile(t, filepath.Join(folder, "metrics", filepath.FromSlash(name)), text)
	}
	// The first MLflow wrote no steps: the order counts.
	write("val_loss", "1600000000001 0.7\n1600000000002 0.6\n1600000000003 nan\n")
	write("train/loss", "1600000000001 0.9\n1600000000002 0.8\n1600000000003 0.7\n")
	writeFile(t, filepath.Join(folder, "meta.yaml"), "status: 5\n")
	all, err := OpenLog(filepath.Dir(folder))
	if err != nil || len(all) != 1 {
		t.Fatalf("%d runs, %v", len(all), err)
	}
	comparePoints(t, all[0].Points, [][5]float64{{1, 0.9, -1, 0.7, -1}, {2, 0.8, -1, 0.6, -1}, {3, 0.7, -1, math.NaN(), -1}})
	if !strings.Contains(strings.Join(all[0].Notes, " "), "killed") {
		t.Errorf("notes %q", all[0].Notes)
	}
	// A run that was begun twice under one name.
	write("val_loss", "1600000000001 0.7 0\n1600000000002 0.6 1\nrubbish\n1600000000003 0.5 0\n1600000000004 0.4 1\n")
	if all, err = OpenLog(folder); err != nil || len(all) != 2 {
		t.Fatalf("%d runs, %v", len(all), err)
	}
	comparePoints(t, all[1].Points, [][5]float64{{1, -1, -1, 0.5, -1}, {2, -1, -1, 0.4, -1}})
}

func FuzzMetric(f *testing.F) {
	addFiles(f, "mlflow/mlruns/0/tiny/metrics/*r")
	f.Fuzz(func(t *testing.T, file []byte) {
		isMetric(file)
		var e eventReader
		_, _ = readMetric(bytes.NewReader(file), func(s sample) {
			e.add(eventFile{}, scalar{tag: "val_loss", step: s.step, time: s.time, value: s.value})
		})
		checkRuns(t, e.runs)
	})
}

func TestReadRows(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       [][][5]float64
	}{
		{"research code", "{\"train_lr\": 0.1, \"train_loss\": 6.5, \"test_loss\": 6.0, \"test_acc1\": 12.5, \"test_acc5\": 30.0, \"epoch\": 0}\n{\"train_lr\": 0.1, \"train_loss\": 5.5, \"test_loss\": 5.0, \"test_acc1\": 25.0, \"test_acc5\": 40.0, \"epoch\": 1}\n",
			[][][5]float64{{{1, 6.5, -1, 6, 0.125}, {2, 5.5, -1, 5, 0.25}}}},
		{"a restart", "{\"epoch\": 1, \"train_loss\": 2, \"val_loss\": 3}\n{\"epoch\": 2, \"train_loss\": 1, \"val_loss\": 2}\n{\"epoch\": 1, \"train_loss\": 4, \"val_loss\": 5}\nnot json\n{\"epoch\": 2, \"train_loss\": 3, \"val_loss\": 4}\n",
			[][][5]float64{{{1, 2, -1, 3, -1}, {2, 1, -1, 2, -1}}, {{1, 4, -1, 5, -1}, {2, 3, -1, 4, -1}}}},
		{"MMEngine by iterations", "{\"lr\": 0.1, \"loss\": 0.9, \"iter\": 50, \"step\": 50}\n{\"lr\": 0.1, \"loss\": 0.7, \"iter\": 100, \"step\": 100}\n{\"mIoU\": 40.0, \"aAcc\": 60.0, \"step\": 100}\n{\"lr\": 0.1, \"loss\": 0.5, \"iter\": 150, \"step\": 150}\n{\"lr\": 0.1, \"loss\": 0.3, \"iter\": 200, \"step\": 200}\n{\"mIoU\": 50.0, \"aAcc\": 70.0, \"step\": 200}\n",
			[][][5]float64{{{1, 0.8, -1, -1, 0.4}, {2, 0.4, -1, -1, 0.5}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !isMMEngine([]byte(test.text)) {
				t.Error("not recognised")
			}
			runs, err := readMMEngine(strings.NewReader(test.text))
			if err != nil || len(runs) != len(test.want) {
				t.Fatalf("%d runs, error %v", len(runs), err)
			}
			for i, one := range runs {
				comparePoints(t, one.curves("", "").Points, test.want[i])
			}
		})
	}
	for _, text := range []string{"", "{}", "{\"val_loss\": [1, 2]}\n", "{\"name\": 1}\n", "Epoch 1\n"} {
		if isMMEngine([]byte(text)) {
			t.Errorf("taken for JSON lines: %q", text)
		}
	}
}

func FuzzRows(f *testing.F) {
	addFiles(f, "mmengine/vis_data/*.json")
	addFiles(f, "mmcv/*.json")
	f.Fuzz(func(t *testing.T, file []byte) {
		isMMEngine(file)
		runs, _ := readMMEngine(bytes.NewReader(file))
		checkRuns(t, runs)
	})
}

func FuzzNNUNet(f *testing.F) {
	addFiles(f, "nnunet-*/*.txt")
	f.Fuzz(func(t *testing.T, file []byte) {
		isNNUNet(file)
		runs, _ := readNNUNet(bytes.NewReader(file))
		checkRuns(t, runs)
	})
}

// The values of a folder do not depend on how the path to it is written.
func TestPaths(t *testing.T) {
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "real", "a", "log.csv"), "epoch,loss,val_loss\n0,1,2\n1,1,1\n")
	writeFile(t, filepath.Join(folder, "real", "b", "log.csv"), "epoch,loss,val_loss\n0,1,3\n1,1,2\n")
	link := filepath.Join(folder, "link")
	if err := os.Symlink(filepath.Join(folder, "real"), link); err != nil {
		t.Skip("no symbolic links here")
	}
	all, err := OpenLog(link + string(filepath.Separator))
	if err != nil || len(all) != 2 || all[0].Name != filepath.Join("a", "log.csv") {
		t.Fatalf("%d runs, %v", len(all), err)
	}
}
