package diagnosis

var subjectLeakage = Cause{
	ID:    "subject-leakage",
	Title: "The same patients on both sides of the split",
	Explain: "Slices, visits or copies of one patient stand in training and in validation. The network recognises the patient, " +
		"and the curve promises what new patients will not show.",
	Of:   "optimism",
	Kind: mistake,
}
