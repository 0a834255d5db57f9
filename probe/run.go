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
	if err := s.plan(ctx, chosen); err != nil {
		return s.gathered(), err
	}
	for _, p := range chosen {
		if err = s.make(ctx, p); err != nil {
			break
		}
	}
	return s.gathered(), err
}

// plan measures the speed and adds up the work of the experiments that fit in the
// time, for the progress.
func (s *session) plan(ctx context.Context, chosen []*Probe) error {
	if s.options.Time > 0 {
		if err := s.measure(ctx); err != nil {
			return err
		}
	}
	left := s.options.Time - time.Since(s.start)
	for _, p := range chosen {
		cost := p.Cost(s.bench)
		if needed := s.needed(cost); s.options.Time == 0 || needed <= left {
			s.total += cost
			left -= needed
		}
	}
	return nil
}

// needed is how long work will take.
func (s *session) needed(cost float64) time.Duration {
	return time.Duration(float64(s.spent) / max(1, s.worked) * cost)
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
			return nil, fmt.Errorf("there is no experiment %q; docs/probes.md lists them", id)
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
	total   float64 // cost of those that fit in the time
	done    float64 // cost of those that are over
	spent   time.Duration
	worked  float64 // cost of what was spent so long on
	results map[string]run.ProbeResult
}

// quickForm is 1 among the values of an experiment that was made in its quick form.
const quickForm = "quick"

// keep takes an earlier result of an experiment where there is one.
func (s *session) keep(p *Probe) bool {
	if s.options.Keep == nil || s.options.Keep.Epoch != s.bench.State.Epoch {
		return false
	}
	earlier := s.options.Keep.Result(p.ID)
	if earlier == nil || earlier.Skipped != "" || earlier.Values[quickForm] == 1 && !s.bench.Quick {
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
	if ctx.Err() != nil {
		return train.ErrInterrupted
	}
	if reason := s.tooLong(p, cost); reason != "" {
		s.skip(p, reason)
		return nil
	}
	if err := s.bench.Lab.Load(s.bench.State.Last); err != nil {
		return err
	}
	s.watch(p, cost)
	s.tell(p, true, 0)
	start := time.Now()
	s.bench.quickened = false
	values, err := p.Run(ctx, s.bench)
	switch {
	case err != nil && ctx.Err() != nil:
		return train.ErrInterrupted
	case errors.Is(err, ErrNotApplicable):
		s.skip(p, err.Error())
	case err != nil:
		s.skip(p, "it failed: "+err.Error())
	default:
		if s.bench.Quick && s.bench.quickened {
			values[quickForm] = 1
		}
		s.results[p.ID] = run.ProbeResult{ID: p.ID, Values: values}
		if took := time.Since(start); took >= tellingTime {
			s.spent += took
			s.worked += cost
		}
	}
	s.done += cost
	s.tell(p, false, 0)
	return nil
}

// watch reports the work of the experiment that begins.
func (s *session) watch(p *Probe, cost float64) {
	s.bench.work = 0
	s.bench.worked = func(int) { s.tell(p, false, min(s.bench.work, cost)) }
}

// tell reports an experiment that begins or has done so much work.
func (s *session) tell(p *Probe, begun bool, work float64) {
	if s.options.Progress != nil {
		s.options.Progress(Progress{p, begun, min(1, (s.done+work)/max(1, s.total))})
	}
}

func (s *session) skip(p *Probe, reason string) {
	s.results[p.ID] = run.ProbeResult{ID: p.ID, Skipped: reason, Values: map[string]run.Float{}}
}

// tooLong says how long an experiment would take that does not end in the time
// left, in its quick form too; empty where it does.
func (s *session) tooLong(p *Probe, cost float64) (reason string) {
	needed, left := s.needed(cost), max(0, s.options.Time-time.Since(s.start))
	if s.options.Time == 0 || needed <= left {
		return ""
	}
	quick := *s.bench
	quick.Quick = true
	shorter := ""
	if less := p.Cost(&quick); less < cost {
		shorter = fmt.Sprintf(" (%s in its quick form)", brief(s.needed(less)))
	}
	return fmt.Sprintf("it needs about %s here%s, and %s of %s were left", brief(needed), shorter, brief(left), brief(s.options.Time))
}

// measure times passes of the validation set; the fastest counts.
func (s *session) measure(ctx context.Context) error {
	set := &s.bench.Images.Validation
	s.bench.worked = nil
	s.worked, s.spent = samples(set), math.MaxInt64
	begun := time.Now()
	for passes := 0; passes < leastPasses || time.Since(begun) < leastSample; passes++ {
		start := time.Now()
		if _, err := s.bench.Lab.Evaluate(ctx, set, train.Look{}); err != nil {
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
