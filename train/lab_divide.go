package train

import "ballast/run"

// Pooled is the number of subjects of the training and the validation set together.
func (i *Images) Pooled() int { return len(i.Train.Subjects) + len(i.Validation.Subjects) }

// PooledSubject is a subject by its number: those of the training set come first,
// then those of the validation set.
func (i *Images) PooledSubject(number int) run.Subject {
	if n := len(i.Train.Subjects); number >= n {
		return i.Validation.Subjects[number-n]
	}
	return i.Train.Subjects[number]
}

// Divided divides the subjects of the training and the validation set anew: train
// and validation hold numbers as of PooledSubject. classes, by the same numbers,
// are the classes that the subjects are given; nil: their own. All images come
// through the plan's pipeline for training images; there is no test set.
func (i *Images) Divided(p *Plan, train, validation, classes []int) *Images {
	divided := i.withoutTest()
	divided.Train = i.gathered(p, run.Train, train, classes)
	divided.Validation = i.gathered(p, run.Validation, validation, classes)
	return divided
}

// gathered makes a set of pooled subjects.
func (i *Images) gathered(p *Plan, name string, numbers, classes []int) Set {
	set := Set{Name: name}
	for at, number := range numbers {
		from, own := &i.Train, number
		if n := len(i.Train.Subjects); number >= n {
			from, own = &i.Validation, number-n
		}
		subject := from.Subjects[own]
		if classes != nil {
			subject.Class = classes[number]
		}
		set.Subjects = append(set.Subjects, subject)
		if from.Covariates != nil {
			set.Covariates = append(set.Covariates, from.Covariates[own])
		}
		first, to := from.bag(own)
		for _, sample := range from.Samples[first:to] {
			if from == &i.Validation {
				sample.Image = p.AsTraining(sample.Prepared())
			}
			sample.Subject, sample.Class = at, subject.Class
			set.Samples = append(set.Samples, sample)
		}
	}
	return set
}
