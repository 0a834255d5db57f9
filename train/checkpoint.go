package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ballast/kernel"
	"ballast/net"
	"ballast/run"
)

// checkpointFormat is the version of the checkpoint's contents.
const checkpointFormat = "1"

// ErrCheckpoint is wrapped by complaints about a run's checkpoint.
var ErrCheckpoint = errors.New("checkpoint")

// A checkpoint is everything that training after an epoch goes on from, besides
// the plan, the images and the epochs recorded so far. What it holds is described
// in docs/format/run.md.
type checkpoint struct {
	epoch, step, batches int
	origin
	weights, averaged []net.Tensor
	optimizer         []net.Tensor
}

// The parts of a checkpoint, as its tensors' names begin.
const (
	weightsPart   = "weights."
	averagedPart  = "averaged."
	optimizerPart = "optimizer."
)

// saveCheckpoint writes the state after the epoch just finished; t.state and
// t.mean hold its weights.
func (t *trainer) saveCheckpoint(recorder Recorder) error {
	var tensors []net.Tensor
	add := func(part string, members []net.Tensor) {
		for _, member := range members {
			member.Name = part + member.Name
			tensors = append(tensors, member)
		}
	}
	add(weightsPart, t.state)
	add(averagedPart, t.mean)
	add(optimizerPart, t.optimizerState())
	metadata := map[string]string{
		"checkpoint": checkpointFormat,
		"epoch":      strconv.Itoa(t.course.epochs), "step": strconv.Itoa(t.step), "batches": strconv.Itoa(t.batches),
		"plan": t.origin().plan, "images": t.origin().images,
	}
	return recorder.WriteFrom(run.CheckpointFile, func(w io.Writer) error { return net.WriteSafetensors(w, tensors, metadata) })
}

// optimizerState is what the optimiser remembers, in PyTorch's layout:
// "first.block1.conv.weight" has the shape of "block1.conv.weight".
func (t *trainer) optimizerState() []net.Tensor {
	packed := t.optimizer.state()
	names := make([]string, len(packed))
	for i := range packed {
		names[i] = packed[i].Name
		_, packed[i].Name, _ = strings.Cut(names[i], ".")
	}
	t.moments = t.net.Unpack(packed, t.moments)
	state := slices.Clone(t.moments)
	for i, name := range names {
		state[i].Name = name
	}
	return state
}

// restoreOptimizer is the way back.
func (t *trainer) restoreOptimizer(state []net.Tensor, steps int) error {
	tensors := slices.Clone(state)
	for i := range tensors {
		_, tensors[i].Name, _ = strings.Cut(tensors[i].Name, ".")
	}
	packed, err := t.net.Pack(tensors)
	if err != nil {
		return err
	}
	for i := range packed {
		packed[i].Name = state[i].Name
	}
	return t.optimizer.restore(packed, steps)
}

// readCheckpoint reads the checkpoint of a run; nil when there is none.
func readCheckpoint(dir string) (*checkpoint, error) {
	path := filepath.Join(dir, run.CheckpointFile)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	tensors, metadata, err := net.ReadSafetensors(file, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrCheckpoint, path, err)
	}
	c, err := decodeCheckpoint(tensors, metadata)
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrCheckpoint, path, err)
	}
	return c, nil
}

func decodeCheckpoint(tensors []net.Tensor, metadata map[string]string) (*checkpoint, error) {
	if format := metadata["checkpoint"]; format != checkpointFormat {
		return nil, fmt.Errorf("its format is %q; this program reads format %s", format, checkpointFormat)
	}
	c := &checkpoint{origin: origin{metadata["plan"], metadata["images"]}}
	for key, number := range map[string]*int{"epoch": &c.epoch, "step": &c.step, "batches": &c.batches} {
		n, err := strconv.Atoi(metadata[key])
		if err != nil || n < 1 {
			return nil, fmt.Errorf("its %s is %q; it must be a whole number above 0", key, metadata[key])
		}
		*number = n
	}
	for _, t := range tensors {
		var ok bool
		for part, members := range map[string]*[]net.Tensor{weightsPart: &c.weights, averagedPart: &c.averaged, optimizerPart: &c.optimizer} {
			if name, found := strings.CutPrefix(t.Name, part); found {
				t.Name, ok = name, true
				*members = append(*members, t)
			}
		}
		if !ok {
			return nil, fmt.Errorf("tensor %q belongs to no part of a checkpoint", t.Name)
		}
	}
	return c, nil
}

// An origin is what a training depends on, as SHA-256 in hexadecimal.
type origin struct{ plan, images string }

// origin is computed once.
func (t *trainer) origin() origin {
	if t.begun.plan == "" {
		t.begun = origin{t.plan.hash(), t.images.hash(t.pool)}
	}
	return t.begun
}

// hash is the SHA-256 of the plan, the number of epochs apart, which may be raised.
func (p Plan) hash() string {
	p.Epochs = 0
	sum := sha256.Sum256(p.YAML())
	return hex.EncodeToString(sum[:])
}

// hash is the SHA-256 of the prepared images of all sets, each hashed alone, and of
// the covariates.
func (i *Images) hash(pool *kernel.Pool) string {
	whole := sha256.New()
	for _, set := range i.sets() {
		hashes := make([][sha256.Size]byte, len(set.Samples))
		pool.Run(len(hashes), func(i int) { hashes[i] = set.Samples[i].hash() })
		fmt.Fprintf(whole, "%s %d\n", set.Name, len(hashes))
		for _, h := range hashes {
			whole.Write(h[:])
		}
		for subject := range set.Subjects {
			for _, value := range set.encoded(subject) {
				fmt.Fprintf(whole, "%x\n", math.Float32bits(value))
			}
		}
	}
	return hex.EncodeToString(whole.Sum(nil))
}

// sets lists all sets.
func (i *Images) sets() []*Set {
	all := []*Set{&i.Train, &i.Validation, &i.Test}
	for k := range i.More {
		all = append(all, &i.More[k])
	}
	return all
}

// hash is the SHA-256 of a sample: subject, class, shape and voxels.
func (s *Sample) hash() (sum [sha256.Size]byte) {
	h := sha256.New()
	image := s.Image
	buffer := make([]byte, 0, 1<<14)
	for _, n := range []int{s.Subject, s.Class, image.C, image.D, image.H, image.W} {
		buffer = binary.LittleEndian.AppendUint64(buffer, uint64(n))
	}
	for _, voxel := range image.Data {
		if len(buffer)+4 > cap(buffer) {
			h.Write(buffer)
			buffer = buffer[:0]
		}
		buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(voxel))
	}
	h.Write(buffer)
	h.Sum(sum[:0])
	return sum
}
