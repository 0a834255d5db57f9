package diagnosis

var preprocessingMismatch = Cause{
	ID:    "preprocessing-mismatch",
	Title: "Preprocessing differs between training and validation",
	Explain: "Images are scaled, cropped or normalised in one way for training and in another for validation, so the network " +
		"is shown images of a kind that it never learnt from.",
	Of:   "generalisation",
	Kind: mistake,
}
