package net

import "fmt"

// buildVGG lays out vgg11, vgg13 and vgg16: five groups of convolutions, of which
// the last is pooled; the first four groups double the channels, up to 8 times
// those of the first.
func (n *Net) buildVGG() {
	c := n.config
	in := n.image
	for group, convolutions := range c.convolutions() {
		name := fmt.Sprintf("group%d", group+1)
		width := c.Width * vggFactor(group)
		for i := range convolutions {
			block := fmt.Sprintf("%s.block%d", name, i+1)
			if i < convolutions-1 {
				n.stages = append(n.stages, newUnpooled(block, in, width, c))
			} else {
				last := group == len(c.convolutions())-1
				n.stages = append(n.stages, newBlock(block, in, width, c, len(n.stages) == 0, last))
			}
			in = n.last().output()
		}
		n.addDropouts(name)
	}
}

// vggFactor returns the channels of a group as a multiple of those of the first.
func vggFactor(group int) int { return 1 << min(group, 3) }
