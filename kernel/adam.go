package kernel

import "math"

// AdamRates are the numbers of one step of Adam (Kingma and Ba 2015) that all
// parameters share.
type AdamRates struct {
	Decay   float32 // weight decay, added to the gradient
	First   float32 // 1 - beta1
	Second  float32 // beta2
	Square  float32 // 1 - beta2
	Scale   float32 // sqrt(1 - beta2^t)
	Epsilon float32
	Size    float32 // learning rate / (1 - beta1^t)
}

// Adam moves parameters, elementwise and with every product rounded:
//
//	g = gradient + Decay*value
//	first += (g - first)*First
//	second = second*Second + (g*g)*Square
//	value -= Size * (first / (sqrt(second)/Scale + Epsilon))
func Adam(r *AdamRates, value, gradient, first, second []float32) {
	count := len(value)
	_, _, _ = gradient[count-1], first[count-1], second[count-1]
	done := adamFast(r, value, gradient, first, second)
	adamGo(r, value[done:], gradient[done:count], first[done:], second[done:])
}

func adamGo(r *AdamRates, value, gradient, first, second []float32) {
	for i, g := range gradient {
		g += float32(r.Decay * value[i])
		first[i] += float32((g - first[i]) * r.First)
		second[i] = float32(second[i]*r.Second) + float32(float32(g*g)*r.Square)
		root := float32(math.Sqrt(float64(second[i])))
		value[i] -= float32(r.Size * (first[i] / (root/r.Scale + r.Epsilon)))
	}
}
