package diagnosis

// Rates are how often a verdict on a cause was right in the runs of bench/faults on
// phantoms, where it is known what was planted.
type Rates struct {
	Planted int // runs in which the cause was planted
	Sure    int // of these: likely or confirmed
	First   int // the cause was the first finding that is possible or surer
	Second  int // the first or the second one
	// Low and High are the 95 % interval of the share Sure / Planted, over seeds.
	Low, High Number
	// True counts the runs of which the cause is true without being planted, as fresh
	// subjects or the record show, or by construction of another fault.
	True     int
	TrueSure int // of these: likely or confirmed
	Clean    int // clean runs of which the cause is not true
	// CleanFalse counts those of which it was called likely or confirmed all the same.
	CleanFalse int
	Other      int // runs with another cause planted, of which this one is not true
	OtherFalse int
}

// A Reliability is how far verdicts on a cause can be trusted: from the record of a run
// alone, and with experiments. docs/reliability-of-diagnosis.md says how it was measured.
type Reliability struct{ Alone, Probed Rates }

// ReliabilityOf returns what was measured of the verdicts on a cause of Diagnose;
// unknown for those that are judged from curves alone (docs/logs.md).
func ReliabilityOf(id string) (r Reliability, known bool) {
	r, known = reliabilities[id]
	return r, known
}
