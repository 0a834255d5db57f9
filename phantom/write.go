package phantom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"ballast/cohort"
)

// ErrNotEmpty is returned by Write for a folder that already holds something.
var ErrNotEmpty = errors.New("folder is not empty")

// Write writes the first subjects of a cohort to a folder:
//
//	images/sub-0001_T1w.nii.gz        int16
//	masks/sub-0001_mask.nii.gz        uint8, 1 in the tumour
//	participants.tsv                  participant_id, path, mask_path, label, site, age, sex
//	                                  (and split when Config.Overlap is set)
//	phantom.json                      the Config, the Bayes accuracy, the truth about each subject
//
// Labels are "responder" and "non-responder"; age and sex have nothing to do
// with them. The folder's parent must exist; the folder itself must not, or be
// empty. The cohort is written beside it under a temporary name and renamed when
// complete, so after an error or a cancelled ctx nothing is left. The bytes
// depend on the Config and the number of subjects alone. If done is not nil it
// is called after each subject k, by one goroutine at a time, in any order.
func Write(ctx context.Context, dir string, c Config, subjects int, done func(k int)) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if subjects < 1 {
		return fmt.Errorf("%w: a cohort of %d subjects", ErrConfig, subjects)
	}
	if err := write(ctx, dir, c, subjects, done); err != nil {
		return fmt.Errorf("write phantom cohort %s: %w", dir, err)
	}
	return nil
}

func write(ctx context.Context, dir string, c Config, subjects int, done func(k int)) error {
	target, err := vacant(dir)
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return fmt.Errorf("cannot write into %s: %w", filepath.Dir(dir), withoutPath(err))
	}
	defer os.RemoveAll(temporary)
	// The cohort is a folder within the private temporary one, so that it gets the
	// permissions that the user's umask says.
	folder := filepath.Join(temporary, filepath.Base(target))
	for _, path := range []string{folder, filepath.Join(folder, "images"), filepath.Join(folder, "masks")} {
		if err := os.Mkdir(path, 0o777); err != nil {
			return err
		}
	}
	truths, err := writeSubjects(ctx, folder, c, subjects, done)
	if err != nil {
		return err
	}
	if err := writeTables(folder, c, truths); err != nil {
		return err
	}
	// An empty folder makes way; one that has filled up meanwhile does not.
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(folder, target)
}

// withoutPath returns what went wrong without the path, which is a temporary one
// or said already.
func withoutPath(err error) error {
	var ofFile *fs.PathError
	if errors.As(err, &ofFile) {
		return ofFile.Err
	}
	return err
}

// vacant returns the absolute path of a folder that does not exist or is empty,
// with links followed.
func vacant(dir string) (string, error) {
	target, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if resolved, err := filepath.EvalSymlinks(target); err == nil {
		target = resolved
	}
	switch entries, err := os.ReadDir(target); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(target); err == nil {
			return "", fmt.Errorf("%w: it is a link to nothing", fs.ErrExist)
		}
		if _, err := os.Stat(filepath.Dir(target)); errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("the folder %s does not exist; make it first: %w", filepath.Dir(dir), fs.ErrNotExist)
		}
		return target, nil
	case err != nil:
		return "", withoutPath(err)
	case len(entries) > 0:
		return "", fmt.Errorf("%w: it holds %s; choose a new one", ErrNotEmpty, entries[0].Name())
	}
	return target, nil
}

// truth is what phantom.json says about a subject.
type truth struct {
	ID        string  `json:"id"`
	Label     int     `json:"label"`
	TrueLabel int     `json:"true_label"`
	Latent    float64 `json:"latent"`
	Site      string  `json:"site"`
}

// writeSubjects writes images and masks on all processors. Of several errors the
// one of the first subject is returned.
func writeSubjects(ctx context.Context, folder string, c Config, subjects int, done func(k int)) ([]truth, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	truths, failures := make([]truth, subjects), make([]error, subjects)
	var next atomic.Int64
	var workers sync.WaitGroup
	var report sync.Mutex
	for range min(runtime.GOMAXPROCS(0), subjects) {
		workers.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k >= subjects || ctx.Err() != nil {
					return
				}
				if truths[k], failures[k] = writeSubject(folder, c, k); failures[k] != nil {
					stop(failures[k])
					return
				}
				if done != nil {
					report.Lock()
					done(k)
					report.Unlock()
				}
			}
		})
	}
	workers.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	return truths, context.Cause(ctx)
}

func imagePath(id string) string { return "images/" + id + "_T1w.nii.gz" }
func maskPath(id string) string  { return "masks/" + id + "_mask.nii.gz" }

// secondPath is the further image of a subject in two sets (Config.Overlap).
func secondPath(id string) string { return "images/" + id + "_run-2_T1w.nii.gz" }

func writeSubject(folder string, c Config, k int) (truth, error) {
	s := c.Subject(k)
	if err := cohort.WriteNIfTI(filepath.Join(folder, imagePath(s.ID)), s.Volume, "int16"); err != nil {
		return truth{}, err
	}
	if err := cohort.WriteNIfTI(filepath.Join(folder, maskPath(s.ID)), s.Mask, "uint8"); err != nil {
		return truth{}, err
	}
	if k < c.Overlap {
		if err := cohort.WriteNIfTI(filepath.Join(folder, secondPath(s.ID)), c.second(s, k), "int16"); err != nil {
			return truth{}, err
		}
	}
	return truth{s.ID, s.Label, s.TrueLabel, s.Latent, s.Site}, nil
}

// labelNames are the values of the label column.
var labelNames = [2]string{"non-responder", "responder"}

// writeTables writes participants.tsv and phantom.json.
func writeTables(folder string, c Config, truths []truth) error {
	table := c.table(truths)
	if err := os.WriteFile(filepath.Join(folder, "participants.tsv"), []byte(table), 0o666); err != nil {
		return err
	}
	text, err := json.MarshalIndent(struct {
		Format        int     `json:"format"`
		Config        Config  `json:"config"`
		BayesAccuracy float64 `json:"bayes_accuracy"` // six decimals: the same on every CPU
		Subjects      []truth `json:"subjects"`
	}{1, c, math.Round(c.BayesAccuracy()*1e6) / 1e6, truths}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "phantom.json"), append(text, '\n'), 0o666)
}

// table is the text of participants.tsv.
func (c Config) table(truths []truth) string {
	var table strings.Builder
	line := func(set string, cells ...string) {
		if c.Overlap > 0 {
			cells = append(cells, set)
		}
		table.WriteString(strings.Join(cells, "\t") + "\n")
	}
	line("split", "participant_id", "path", "mask_path", "label", "site", "age", "sex")
	for k, s := range truths {
		age, sex := c.covariates(k)
		row := []string{s.ID, imagePath(s.ID), maskPath(s.ID), labelNames[s.Label], s.Site, strconv.Itoa(age), sex}
		line(set(k), row...)
		if k < c.Overlap {
			row[1] = secondPath(s.ID)
			line(otherSet(k), row...)
		}
	}
	return table.String()
}

// covariates returns age in years and sex of subject k, which have nothing to do
// with label or image.
func (c Config) covariates(k int) (age int, sex string) {
	stream := c.stream("covariates", k)
	years := math.Floor(58 + float64(11*stream.Normal()))
	return int(math.Max(18, math.Min(90, years))), [2]string{"F", "M"}[stream.IntN(2)]
}
