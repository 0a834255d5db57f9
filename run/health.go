package run

import "fmt"

// Health is how training went during one epoch, watched at low cost.
type Health struct {
	// Mixing is how unequally the epoch's batches are composed: the variance over
	// batches of the number of images of each class, divided by that of batches
	// drawn at random without replacement. About 1 for shuffled images, about the
	// batch size for sorted ones.
	Mixing Float `json:"mixing"`
	// LossSpread is the standard deviation over batches of the mean training loss
	// of a batch, in nats.
	LossSpread Float `json:"loss_spread"`
	// Agreement is |mean g|² / mean |g|² of the gradients g of the epoch's steps:
	// 1 where all steps point the same way, 1/steps where they have nothing in
	// common.
	Agreement Float `json:"agreement"`
	// Layers with weights, the first one next to the image.
	Layers []LayerHealth `json:"layers"`
}

// LayerHealth is how one layer with weights was during an epoch. Sizes are root
// mean squares over the elements.
type LayerHealth struct {
	Name         string `json:"name"`          // of the layer's weights in a weights file
	Weight       Float  `json:"weight"`        // of the weights after the epoch
	Gradient     Float  `json:"gradient"`      // of the gradient of the weights, mean over the steps watched
	ZeroGradient Float  `json:"zero_gradient"` // share of that gradient's elements that are exactly 0
	Update       Float  `json:"update"`        // of the change of the weights by a step, divided by Weight; mean over the steps watched
	// Of what the layer's block passes on, for the last batch of the epoch. NaN for
	// a layer without an activation function of its own, as the last one.
	Dead   Float `json:"dead"`   // share of channels that are 0 everywhere, for every image
	Active Float `json:"active"` // share of elements above 0
	Output Float `json:"output"` // root mean square
}

// check refuses what cannot have been measured.
func (h *Health) check() error {
	for i := range h.Layers {
		l := &h.Layers[i]
		if err := checkText("layer", l.Name); err != nil {
			return err
		}
		for _, share := range []struct {
			key   string
			value Float
		}{{"zero_gradient", l.ZeroGradient}, {"dead", l.Dead}, {"active", l.Active}} {
			if share.value < 0 || share.value > 1 {
				return fmt.Errorf("layer %s: %s is %g; it is a share from 0 to 1", l.Name, share.key, float64(share.value))
			}
		}
		for _, size := range []struct {
			key   string
			value Float
		}{{"weight", l.Weight}, {"gradient", l.Gradient}, {"update", l.Update}, {"output", l.Output}} {
			if size.value < 0 {
				return fmt.Errorf("layer %s: %s is %g; it is at least 0", l.Name, size.key, float64(size.value))
			}
		}
	}
	return nil
}

func decodeHealth(text []byte) (*Health, error) {
	h := &Health{Layers: []LayerHealth{}}
	err := decodeObject(text,
		member{"mixing", &h.Mixing, false},
		member{"loss_spread", &h.LossSpread, false},
		member{"agreement", &h.Agreement, false},
		member{"layers", func(text []byte) error {
			return decodeArray(text, func(_ int, element []byte) error {
				l, err := decodeLayer(element)
				h.Layers = append(h.Layers, l)
				return err
			})
		}, false},
	)
	return h, err
}

func decodeLayer(text []byte) (LayerHealth, error) {
	var l LayerHealth
	err := decodeObject(text,
		member{"name", &l.Name, false},
		member{"weight", &l.Weight, false},
		member{"gradient", &l.Gradient, false},
		member{"zero_gradient", &l.ZeroGradient, false},
		member{"update", &l.Update, false},
		member{"dead", &l.Dead, false},
		member{"active", &l.Active, false},
		member{"output", &l.Output, false},
	)
	return l, err
}
