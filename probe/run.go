package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"ballast/run"
	"ballast/train"
)

// Options is which experiments are made, and how long they may take.
type Options struct {
	Time     time.Duration  // for all; 0: as long as it takes
	Only     []string       // ids; empty: all
	Keep     *run.Probes    // of an earlier session: what it measured with the same weights stands; may be nil
	Progress func(Progress) // called from the goroutine that runs them; may be nil
}

// Progress says how far the experiments are.
type Progress struct {
	Probe *Probe  // the one under way
	Begun bool    // it has just begun
	Share float64 // of the whole work, 0 to 1
}

// Run makes the experiments, the cheapest first, and returns what they measured in
// the order of Probes. One that by its cost and the speed of this machine would not
// end in the time that is left is skipped; the time decides what is measured and
// never a value. One that fails is skipped with the error. With the error
// train.ErrInterrupted, when the context ends, come the results so far.
func Run(ctx context.Context, b *Bench, o Options) (*run.Probes, error) {
	chosen, err := choose(o.Only)
	if err != nil {
		return nil, err
	}
	s := &session{bench: b, options: o, start: time.Now(), results: map[string]run.ProbeResult{}}
	chosen = slices.DeleteFunc(chosen, s.keep)
	slices.SortStableFunc(chosen, func(p, q *Probe) int { return cmp.Compare(p.Cost(b), q.Cost(b)) })
	for _, p := range chosen {
		s.total += p.Cost(b)
	}
	for _, p := range chosen {
		if err = s.make(ctx, p); err != nil {
			break
		}
	}
	return s.gathered(), err
}

// choose returns the probes of the ids, all where there are none.
func choose(ids []string) ([]*Probe, error) {
	if len(ids) == 0 {
		return slices.Clone(Probes), nil
	}
	var chosen []*Probe
	for _, id := range ids {
		p := Find(id)
		if p == nil {
			return nil, fmt.Errorf("there is no experiment %q; ballast diagnose --help lists them", id)
		}
		chosen = append(chosen, p)
	}
	return chosen, nil
}

// A session is a series of experiments under way.
type session struct {
	bench   *Bench
	options Options
	start   time.Time
	total   float64 // cost of all
	done    float64 // cost of those that are over, skipped ones included
	spent   time.Duration
	worked  float64 // cost of what was spent so long on
	results map[string]run.ProbeResult
}

// keep takes an earlier result of an experiment where there is one.
func (s *session) keep(p *Probe) bool {
	if s.options.Keep == nil || s.options.Keep.Epoch != s.bench.State.Epoch {
		return false
	}
	earlier := s.options.Keep.Result(p.ID)
	if earlier == nil || earlier.Skipped != "" {
		return false
	}
	s.results[p.ID] = *earlier
	return true
}

const (
	// leastPasses and leastSample are how often and how long the speed is measured.
	leastPasses = 2
	leastSample = 50 * time.Millisecond
	// tellingTime is that of experiments that say more about the speed of others than
	// the measurement: shorter ones also spend it on other things than the network.
	tellingTime = time.Second
)

// make makes one experiment, or skips it.
func (s *session) make(ctx context.Context, p *Probe) error {
	cost := p.Cost(s.bench)
	defer func() { s.done += cost }()
	if ctx.Err() != nil {
		return train.ErrInterrupted
	}
	reason, err := s.tooLong(ctx, cost)
	if err != nil {
		return err
	}
	if reason != "" {
		s.skip(p, reason)
		return nil
	}
	if err := s.bench.Lab.Load(s.bench.State.Last); err != nil {
		return err
	}
	s.watch(p, cost)
	s.tell(Progress{p, true, s.done / s.total})
	start := time.Now()
	values, err := p.Run(ctx, s.bench)
	switch {
	case err != nil && ctx.Err() != nil:
		return train.ErrInterrupted
	case errors.Is(err, ErrNotApplicable):
		s.skip(p, err.Error())
	case err != nil:
		s.skip(p, "it failed: "+err.Error())
	default:
		s.results[p.ID] = run.ProbeResult{ID: p.ID, Values: values}
		if took := time.Since(start); took >= tellingTime {
			s.spent += took
			s.worked += cost
		}
	}
	s.tell(Progress{p, false, (s.done + cost) / s.total})
	return nil
}

// watch reports the work of the experiment that begins.
func (s *session) watch(p *Probe, cost float64) {
	s.bench.work = 0
	s.bench.worked = func(int) { s.tell(Progress{p, false, (s.done + min(s.bench.work, cost)) / s.total}) }
}

func (s *session) tell(p Progress) {
	if s.options.Progress != nil {
		s.options.Progress(p)
	}
}

func (s *session) skip(p *Probe, reason string) {
	s.results[p.ID] = run.ProbeResult{ID: p.ID, Skipped: reason, Values: map[string]run.Float{}}
}

// tooLong says how long an experiment would take that does not end in the time
// left; empty where it does.
func (s *session) tooLong(ctx context.Context, cost float64) (reason string, err error) {
	if s.options.Time == 0 {
		return "", nil
	}
	if s.worked == 0 {
		if err := s.measure(ctx); err != nil {
			return "", err
		}
	}
	needed := time.Duration(float64(s.spent) / s.worked * cost)
	left := max(0, s.options.Time-time.Since(s.start))
	if needed <= left {
		return "", nil
	}
	return fmt.Sprintf("it needs about %s here, and %s of %s were left", brief(needed), brief(left), brief(s.options.Time)), nil
}

// measure times passes of the validation set; the fastest counts.
func (s *session) measure(ctx context.Context) error {
	set := &s.bench.Images.Validation
	s.bench.worked = nil
	s.worked, s.spent = samples(set), math.MaxInt64
	begun := time.Now()
	for passes := 0; passes < leastPasses || time.Since(begun) < leastSample; passes++ {
		start := time.Now()
		if _, err := s.bench.evaluate(ctx, set, train.Look{}); err != nil {
			return err
		}
		s.spent = min(s.spent, time.Since(start))
	}
	return nil
}

// gathered returns the results in the order of Probes.
func (s *session) gathered() *run.Probes {
	all := &run.Probes{Format: run.Format, Epoch: s.bench.State.Epoch, Results: []run.ProbeResult{}}
	for _, p := range Probes {
		if result, made := s.results[p.ID]; made {
			all.Results = append(all.Results, result)
		}
	}
	return all
}

// brief writes a duration in whole seconds, or milliseconds below one.
func brief(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
