package kernel

import "testing"

// stride is the distance of the positions of a tile in a case.
func (c innerCase) stride() int { return tilesOf(c.voxels)*Lanes + c.shift }

func (c innerCase) transformInput(t *testing.T) []float32 {
	whole, out := c.target(t, positions*c.stride(), 1)
	transformInput(c.operand(t, (c.voxels+2)*Lanes, 2), c.voxels, out, c.stride())
	return whole
}

func (c innerCase) transformGradient(t *testing.T) []float32 {
	whole, out := c.target(t, positions*c.stride(), 1)
	transformGradient(c.operand(t, c.voxels*Lanes, 2), c.voxels, out, c.stride())
	return whole
}

func (c innerCase) transformOutput(t *testing.T) []float32 {
	whole, y := c.target(t, c.voxels*Lanes, 1)
	transformOutput(c.operand(t, positions*c.stride(), 2), c.stride(), c.operand(t, Lanes, 3), y, c.voxels)
	return whole
}

// kernelRows is 1 to 9.
func (c innerCase) kernelRows() int { return 1 + c.taps%9 }

func (c innerCase) transformWeights(t *testing.T) []float32 {
	row := c.kernelRows() * Lanes * Lanes
	whole, u := c.target(t, positions*(row+c.shift), 1)
	transformWeightsFast(c.operand(t, 3*row, 2), u, row+c.shift, c.kernelRows())
	return whole
}

func (c innerCase) restoreWeights(t *testing.T) []float32 {
	row := c.kernelRows() * Lanes * Lanes
	whole, dg := c.target(t, 3*row, 1)
	restoreWeightsFast(c.operand(t, positions*(row+c.shift), 2), row+c.shift, dg, c.kernelRows())
	return whole
}
