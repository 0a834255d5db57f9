package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/kernel"
	"ballast/run"
)

// errDied is what a dying recorder returns.
var errDied = errors.New("the process died")

// A dying recorder writes so many things into a run and then nothing more, as if
// the process had been killed between two writes.
type dying struct {
	writer *run.Writer
	left   int
}

func (d *dying) do(write func() error) error {
	if d.left == 0 {
		return errDied
	}
	d.left--
	return write()
}

func (d *dying) Append(e run.Epoch) error { return d.do(func() error { return d.writer.Append(e) }) }
func (d *dying) WriteTest(e []run.Evaluation) error {
	return d.do(func() error { return d.writer.WriteTest(e) })
}
func (d *dying) WriteFile(name string, data []byte) error {
	return d.do(func() error { return d.writer.WriteFile(name, data) })
}
func (d *dying) WriteFrom(name string, contents func(io.Writer) error) error {
	return d.do(func() error { return d.writer.WriteFrom(name, contents) })
}
func (d *dying) Finish(status string) error {
	return d.do(func() error { return d.writer.Finish(status) })
}

// diesAfter trains into a new run until so many things are written and reports
// whether the training was over before.
func diesAfter(t *testing.T, p Plan, images *Images, writes int) (dir string, over bool) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	writer, err := run.Create(dir, Header(p, images, "test"), p.YAML())
	if err != nil {
		t.Fatal(err)
	}
	err = Train(context.Background(), p, images, &dying{writer, writes}, Options{Threads: 1})
	died := errors.Is(err, errDied)
	if err != nil && !died && !errors.Is(err, ErrDiverged) {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, !died
}

// sameRun holds the files of a run against another's, byte for byte.
func sameRun(t *testing.T, name, dir string, want map[string][]byte) {
	t.Helper()
	got := files(t, dir)
	for file, content := range want {
		if !bytes.Equal(got[file], content) {
			t.Errorf("%s: %s differs", name, file)
		}
	}
	for file := range got {
		if _, ok := want[file]; !ok {
			t.Errorf("%s: %s should not be there", name, file)
		}
	}
}

// resumeAll goes on with a run by the plan that it holds.
func resumeAll(dir string, images *Images, epochs int) error {
	_, p, err := OpenForResume(dir, epochs)
	if err != nil {
		return err
	}
	return Resume(context.Background(), dir, p, images, Options{Threads: 2})
}

// Whatever was the last thing that a process wrote, the resumed run has the files
// of the uninterrupted one.
func TestResumeAfterEveryWrite(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"recalibrating": func(p *Plan) { p.Validation.Recalibrate = true },
		"swa, averaged": func(p *Plan) { p.Average.Name, p.Average.Start, p.Validation.Weights = "swa", 0.5, "averaged" },
		"ema, stopping": func(p *Plan) {
			p.Epochs, p.Validation.Weights, p.Stopping.Patience, p.Optimizer.LR = 3, "averaged", 1, 1e-7
		},
		"sgd, plateau":   func(p *Plan) { p.Optimizer.Name, p.Schedule.Name, p.Schedule.Patience = "sgd", "plateau", 0 },
		"accumulating":   func(p *Plan) { p.Optimizer.Name, p.Optimizer.Accumulate, p.Schedule.Name = "rmsprop", 2, "cosine" },
		"views, mistake": func(p *Plan) { p.Views.Every, p.Validation.Dropout, p.Validation.Fraction = 2, true, 0.7 },
		"diverging":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := smallPlan()
			p.Epochs = 2
			images := blobs(p, 8, 5, 3)
			if change != nil {
				change(&p)
			} else {
				images.Train.Samples[0].Image.Data[0] = float32(math.NaN())
			}
			dir, err := trainInto(t, context.Background(), p, images, Options{})
			if err != nil && !errors.Is(err, ErrDiverged) {
				t.Fatal(err)
			}
			want := files(t, dir)
			for writes := 0; ; writes++ {
				dir, over := diesAfter(t, p, images, writes)
				if over {
					break
				}
				if again := resumeAll(dir, images, 0); !errors.Is(again, ErrDiverged) && again != nil || errors.Is(again, ErrDiverged) != errors.Is(err, ErrDiverged) {
					t.Fatalf("after %d writes: %v", writes, again)
				}
				sameRun(t, name, dir, want)
				if t.Failed() {
					t.Fatalf("after %d writes", writes)
				}
			}
		})
	}
}

// A complete run goes on to more epochs as if they had been planned from the start.
func TestResumeToMoreEpochs(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 8, 5, 3)
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := resumeAll(dir, images, p.Epochs+2); err != nil {
		t.Fatal(err)
	}
	p.Epochs += 2
	longer, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sameRun(t, "extended", dir, files(t, longer))
}

func TestResumeAfterAnInterrupt(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 8, 5, 3)
	whole, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, batches := range []int{0, 1, 4, 40} {
		ctx, cancel := context.WithCancel(context.Background())
		dir, err := trainInto(t, ctx, p, images, Options{Progress: func(Progress) {
			if batches--; batches < 0 {
				cancel()
			}
		}})
		cancel()
		if !errors.Is(err, ErrInterrupted) {
			t.Fatalf("Train returned %v", err)
		}
		if err := resumeAll(dir, images, 0); err != nil {
			t.Fatal(err)
		}
		sameRun(t, "interrupted", dir, files(t, whole))
	}
}

func TestResumeRefuses(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 8, 5, 3)
	begun := func(t *testing.T) string { // and interrupted in the third epoch
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		dir, err := trainInto(t, ctx, p, images, Options{Progress: func(progress Progress) {
			if progress.Epoch != nil && progress.Epoch.Epoch == 2 {
				cancel()
			}
		}})
		if !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string, images *Images) error
		epochs int
		err    error
		want   string
	}{
		{"other voxels", func(_ *testing.T, _ string, images *Images) error {
			images.Test.Samples[0].Image.Data[0] += 1e-6
			return nil
		}, 0, ErrMismatch, "prepared images or the covariates have other values"},
		{"another subject", func(_ *testing.T, _ string, images *Images) error {
			images.Validation.Subjects[1].ID = "stranger"
			return nil
		}, 0, ErrMismatch, `subject 2 of its set validation is validationb, class "yes" with 2 images, not stranger`},
		{"a subject less", func(_ *testing.T, _ string, images *Images) error {
			images.Test.Subjects = images.Test.Subjects[:2]
			return nil
		}, 0, ErrMismatch, "its set test has 3 subjects, not 2"},
		{"other classes", func(_ *testing.T, _ string, images *Images) error {
			images.Classes = []string{"no", "maybe"}
			return nil
		}, 0, ErrMismatch, `its classes are ["no" "yes"], not ["no" "maybe"]`},
		{"a changed plan", func(_ *testing.T, dir string, _ *Images) error {
			plan := filepath.Join(dir, run.PlanFile)
			text, err := os.ReadFile(plan)
			return errors.Join(err, os.WriteFile(plan, bytes.Replace(text, []byte("lr: 0.001"), []byte("lr: 0.002"), 1), 0o644))
		}, 0, ErrMismatch, "plan.yaml was changed"},
		{"no checkpoint", func(_ *testing.T, dir string, _ *Images) error {
			return os.Remove(filepath.Join(dir, run.CheckpointFile))
		}, 0, ErrCheckpoint, "checkpoint.safetensors is missing"},
		{"half a checkpoint", func(_ *testing.T, dir string, _ *Images) error {
			return os.Truncate(filepath.Join(dir, run.CheckpointFile), 1000)
		}, 0, ErrCheckpoint, "checkpoint.safetensors"},
		{"other weights as checkpoint", func(_ *testing.T, dir string, _ *Images) error {
			text, err := os.ReadFile(filepath.Join(dir, "weights", "last.safetensors"))
			return errors.Join(err, os.WriteFile(filepath.Join(dir, run.CheckpointFile), text, 0o644))
		}, 0, ErrCheckpoint, `its format is ""`},
		{"a checkpoint of another step", func(_ *testing.T, dir string, _ *Images) error {
			name := filepath.Join(dir, run.EpochsFile)
			text, err := os.ReadFile(name)
			return errors.Join(err, os.WriteFile(name, bytes.Replace(text, []byte(`"step":6`), []byte(`"step":5`), 1), 0o644))
		}, 0, ErrCheckpoint, "it is that of step 6, but epoch 2 ended with step 5"},
		{"lost epochs", func(_ *testing.T, dir string, _ *Images) error {
			return os.Truncate(filepath.Join(dir, run.EpochsFile), 0)
		}, 0, ErrCheckpoint, "0 epochs are recorded"},
		{"another epoch in place of the one to come", func(_ *testing.T, dir string, _ *Images) error {
			file, err := os.OpenFile(filepath.Join(dir, run.EpochsFile), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteString(`{"epoch":3,"step":9,"learning_rate":0.001,"gradient_norm":1,"evaluations":[]}` + "\n")
			return errors.Join(err, file.Close())
		}, 0, run.ErrDiffers, "append epoch 3"},
		{"fewer epochs", func(*testing.T, string, *Images) error { return nil }, 1, ErrPlan, "epochs is 1, but 2 are recorded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, images := begun(t), blobs(p, 8, 5, 3)
			if err := c.damage(t, dir, images); err != nil {
				t.Fatal(err)
			}
			err := resumeAll(dir, images, c.epochs)
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v; want %v with %q", err, c.err, c.want)
			}
		})
	}
}

// What cannot go on is refused before images are read.
func TestOpenForResumeRefuses(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 8, 5, 0)
	complete := func(change func(*Plan)) string {
		p := p
		change(&p)
		dir, err := trainInto(t, context.Background(), p, images, Options{})
		if err != nil && !errors.Is(err, ErrDiverged) {
			t.Fatal(err)
		}
		return dir
	}
	for _, c := range []struct {
		name   string
		change func(*Plan)
		epochs int
		err    error
		want   string
	}{
		{"complete", func(*Plan) {}, 0, ErrFinished, "all 3 epochs are recorded; --epochs N goes on to more"},
		{"complete, as many", func(*Plan) {}, 3, ErrFinished, "all 3 epochs"},
		{"stopped", func(p *Plan) { p.Stopping.Patience, p.Optimizer.LR = 1, 1e-7 }, 9, ErrFinished, "its own rule stopped it after epoch 2"},
		{"cosine", func(p *Plan) { p.Schedule.Name = "cosine" }, 9, ErrPlan, "schedule.name: cosine depends on the 3 planned epochs"},
		{"one-cycle", func(p *Plan) { p.Schedule.Name = "one-cycle" }, 9, ErrPlan, "schedule.name: one-cycle"},
		{"swa", func(p *Plan) { p.Average.Name = "swa" }, 9, ErrPlan, "average.name: swa"},
		{"diverged", func(*Plan) { images.Train.Samples[0].Image.Data[0] = float32(math.NaN()) }, 0, ErrDiverged, "lower optimizer.lr"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := OpenForResume(complete(c.change), c.epochs)
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %v with %q", err, c.err, c.want)
			}
		})
	}
}

// Two programs never record the same run.
func TestResumeOfARunUnderWay(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 8, 5, 0)
	dir := filepath.Join(t.TempDir(), "run")
	writer, err := run.Create(dir, Header(p, images, "test"), p.YAML())
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := resumeAll(dir, images, 0); !errors.Is(err, run.ErrBusy) {
		t.Errorf("resuming a run that is being recorded: %v", err)
	}
}

// The course of early stopping, computed by hand: smoothing 0.5 and a patience of
// 2 on losses 1, 2, 0.5, 1, 1.5. The smoothed values s = s/2 + x/2, divided by
// 1 - 2^-t, are 1, 5/3, 1, 1, 1.2580645: the first is never undercut.
func TestStoppingRule(t *testing.T) {
	epoch := func(number int, loss, accuracy float64) *run.Epoch {
		return &run.Epoch{Epoch: number, Evaluations: []run.Evaluation{
			{View: run.Logged, Set: run.Train, Loss: 0.1},
			{View: run.Logged, Set: run.Validation, Loss: run.Float(loss), Accuracy: run.Float(accuracy)},
		}}
	}
	for _, c := range []struct {
		name               string
		rule               Stopping
		losses, accuracies []float64
		status             string
		epochs, best       int
	}{
		{"loss, smoothed", Stopping{2, "loss", 0.5}, []float64{1, 2, 0.5, 1, 1.5}, nil, run.Stopped, 3, 1},
		{"more patience", Stopping{4, "loss", 0.5}, []float64{1, 2, 0.5, 1, 1.5}, nil, run.Stopped, 5, 1},
		{"a constant curve", Stopping{3, "accuracy", 0.6}, nil, []float64{0.7, 0.7, 0.7, 0.7, 0.7, 0.7}, run.Stopped, 4, 1},
		{"loss as it is", Stopping{2, "loss", 0}, []float64{1, 2, 0.5, 1, 1.5}, nil, run.Stopped, 5, 3},
		{"accuracy as it is", Stopping{2, "accuracy", 0}, nil, []float64{0.5, 0.6, 0.6, 0.4, 0.9}, run.Stopped, 4, 2},
		{"infinite losses", Stopping{3, "loss", 0.5}, []float64{math.Inf(1), math.NaN(), 2, 1, 0.9}, nil, "", 5, 5},
		{"the last epoch", Stopping{4, "loss", 0}, []float64{1, 2, 2, 2, 2, 2}, nil, run.Stopped, 5, 1},
		{"no rule", Stopping{0, "loss", 0.5}, nil, []float64{0.5, 0.6, 0.6, 0.4, 0.6, 0.6}, run.Complete, 6, 2},
	} {
		p := smallPlan()
		p.Epochs, p.Stopping = 6, c.rule
		course := newCourse(&p)
		for i := range max(len(c.losses), len(c.accuracies)) {
			if course.status != "" {
				break
			}
			loss, accuracy := 1.0, 0.5
			if c.losses != nil {
				loss = c.losses[i]
			} else {
				accuracy = c.accuracies[i]
			}
			course.add(epoch(i+1, loss, accuracy))
		}
		if course.status != c.status || course.epochs != c.epochs || course.bestEpoch != c.best {
			t.Errorf("%s: status %q after epoch %d, best %d; want %q, %d, %d", c.name, course.status, course.epochs, course.bestEpoch, c.status, c.epochs, c.best)
		}
	}
}

// The hash of the images as docs/format/run.md describes it, computed in another way.
func TestImagesHash(t *testing.T) {
	p := smallPlan()
	images := blobs(p, 3, 2, 0)
	images.More = []Set{{Name: "fresh"}}
	var text bytes.Buffer
	for _, set := range []Set{images.Train, images.Validation, images.Test, images.More[0]} {
		fmt.Fprintf(&text, "%s %d\n", set.Name, len(set.Samples))
		for _, s := range set.Samples {
			var sample bytes.Buffer
			for _, part := range []any{[]uint64{uint64(s.Subject), uint64(s.Class), 1, 4, 8, 8}, s.Image.Data} {
				if err := binary.Write(&sample, binary.LittleEndian, part); err != nil {
					t.Fatal(err)
				}
			}
			sum := sha256.Sum256(sample.Bytes())
			text.Write(sum[:])
		}
	}
	want := sha256.Sum256(text.Bytes())
	pool := kernel.NewPool(2)
	defer pool.Close()
	if got := images.hash(pool); got != hex.EncodeToString(want[:]) {
		t.Errorf("hash %s, want %x", got, want)
	}
}

// A checkpoint is read, or refused with an error of its own; what is read is either
// restored or refused.
func FuzzReadCheckpoint(f *testing.F) {
	p := smallPlan()
	p.Net.Width, p.Epochs = 2, 1
	images := blobs(p, 4, 2, 0)
	t, err := newTrainer(p, images, Options{Threads: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(t.pool.Close)
	recorded := &recording{files: map[string][]byte{}}
	t.course.epochs, t.step, t.batches = 1, 2, 2
	t.state, t.mean = t.net.State(nil), t.averaged.State(nil)
	if err := t.saveCheckpoint(recorded); err != nil {
		f.Fatal(err)
	}
	whole := recorded.files[run.CheckpointFile]
	f.Add(whole)
	f.Add(whole[:len(whole)-4])
	f.Add(bytes.Replace(whole, []byte(`"epoch":"1"`), []byte(`"epoch":"x"`), 1))
	f.Add(bytes.Replace(whole, []byte("optimizer.first."), []byte("optimizer.fifth."), 1))
	f.Add([]byte{})
	folder := f.TempDir()
	f.Fuzz(func(tt *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(folder, run.CheckpointFile), data, 0o644); err != nil {
			tt.Fatal(err)
		}
		c, err := readCheckpoint(folder)
		if err != nil {
			if !errors.Is(err, ErrCheckpoint) {
				tt.Errorf("an error that is not one of a checkpoint: %v", err)
			}
			return
		}
		c.step = 2 // what the epochs' record says; see goOn
		if err := t.restore(c, nil); err != nil && !errors.Is(err, ErrCheckpoint) {
			tt.Errorf("restoring: %v", err)
		}
	})
}
