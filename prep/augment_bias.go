package prep

import (
	"errors"
	"fmt"

	"ballast/stat"
)

// Bias shades the image: receive coils are more sensitive to what lies near.
//
// With x, y, z from -1 to 1 across the grid along W, H, D and s the signal above
// empty space,
//
//	s' = s exp( sum of c_ijk x^i y^j z^k over 1 <= i + j + k <= order )
//
// the coefficients drawn evenly between -strength and strength, for each channel
// anew. A constant term is left out: it would change the brightness alone. In
// 2D k = 0.
//
// After Van Leemput, Maes, Vandermeulen and Suetens, "Automated model-based bias
// field correction of MR images of the brain" (IEEE Transactions on Medical
// Imaging 18, 1999), as in TorchIO's RandomBiasField.
type Bias struct {
	Probability float64 `yaml:"probability" doc:"share of the images that are shaded as by a coil"`
	Strength    float64 `yaml:"strength" doc:"largest coefficient of the polynomial whose exponential multiplies the signal, either way"`
	Order       int     `yaml:"order" doc:"degree of that polynomial, 1 to 4"`
}

// A BiasDraw is the parameters of one Bias.
type BiasDraw struct {
	Order int `json:"order"`
	// Coefficients holds, for each channel, c_ijk with k the slowest and i the
	// fastest index, without c_000.
	Coefficients [][]float64 `json:"coefficients"`
}

const maxBiasOrder = 4

func (b Bias) check() error {
	low := 0.0
	if b.Probability > 0 {
		low = 1
	}
	return errors.Join(setting("bias.strength", b.Strength, 0, 2), setting("bias.order", float64(b.Order), low, maxBiasOrder))
}

// terms returns how many coefficients a polynomial has, without the constant.
func terms(order int, flat bool) int {
	if flat {
		return (order+1)*(order+2)/2 - 1
	}
	return (order+1)*(order+2)*(order+3)/6 - 1
}

func (b Bias) draw(s *stat.Stream, g grid, channels int) *BiasDraw {
	d := &BiasDraw{Order: b.Order}
	for range channels {
		d.Coefficients = append(d.Coefficients, eachOf(terms(b.Order, g.flat()), func() float64 { return either(s, b.Strength) }))
	}
	return d
}

func (d *BiasDraw) checkFits(g grid, channels int) error {
	if d.Order < 1 || d.Order > maxBiasOrder || len(d.Coefficients) != channels {
		return fmt.Errorf("bias: order %d for %d channels; the image has %d", d.Order, len(d.Coefficients), channels)
	}
	for _, c := range d.Coefficients {
		if len(c) != terms(d.Order, g.flat()) || !finite(10, c...) {
			return fmt.Errorf("bias: %d coefficients up to 10 make a polynomial of order %d, not %d", terms(d.Order, g.flat()), d.Order, len(c))
		}
	}
	return nil
}

func (d *BiasDraw) apply(data []float32, g grid, channel int, zero float32) {
	coefficients := d.Coefficients[channel]
	across := [3][]float64{}
	for axis, size := range g.size {
		across[axis] = make([]float64, size)
		for n := range across[axis] {
			if size > 1 {
				across[axis][n] = float64(2*n-size+1) / float64(size-1)
			}
		}
	}
	for z, along := range across[0] {
		for y, up := range across[1] {
			c := alongRow(coefficients, d.Order, g.flat(), up, along)
			row := data[(z*g.size[1]+y)*g.size[2]:][:g.size[2]]
			for n, x := range across[2] {
				p := c[0] + float64(x*(c[1]+float64(x*(c[2]+float64(x*(c[3]+float64(x*c[4])))))))
				row[n] = zero + float32((row[n]-zero)*float32(exp2(p)))
			}
		}
	}
}

// log2e is 1/ln 2: exp(p) = exp2(log2e p).
const log2e = 1.44269504088896340736

// alongRow returns the polynomial in x that is left for given y and z, times
// log2e.
func alongRow(coefficients []float64, order int, flat bool, y, z float64) (c [maxBiasOrder + 1]float64) {
	deepest := order
	if flat {
		deepest = 0
	}
	n, zk := -1, log2e // the constant is not listed
	for k := 0; k <= deepest; k++ {
		yj := zk
		for j := 0; j <= order-k; j++ {
			for i := 0; i <= order-k-j; i++ {
				if n >= 0 {
					c[i] += float64(coefficients[n] * yj)
				}
				n++
			}
			yj = float64(yj * y)
		}
		zk = float64(zk * z)
	}
	return c
}
