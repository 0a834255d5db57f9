package main

import "fmt"

// Offsets of the fields of tileArguments.
const (
	tileDst, tileFrom, tileX, tileWeight, tileTaps, tileCount, tileDepth                     = 0, 8, 16, 24, 32, 40, 48
	tileXStride, tileDstStride, tileFromStride, tileDstBlock, tileFromBlock, tileWeightBlock = 56, 64, 72, 80, 88, 96
)

// A shape is the sums that one piece of code keeps in registers: for each of
// some channel blocks some voxels of a row.
type shape struct{ blocks, voxels int }

// tileShapes lists what fits 24 registers. One block and six voxels need the
// fewest loads; several blocks hide the latency of the sums where a row is short.
func tileShapes() []shape {
	return []shape{{1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {2, 1}, {2, 2}, {2, 3}, {4, 1}}
}

func (a *assembly) tile() {
	a.function("tileNEON", "computes blocks x voxels sums; see rowSumGo. blocks x voxels may be 1 x 1..6, 2 x 1..3, 4 x 1.",
		parameters("a *int", "blocks int", "voxels int"))
	free := newRegisters()
	arguments, key, voxels := free.next(), free.next(), free.next()
	a.load("a", arguments)
	a.load("blocks", key)
	a.load("voxels", voxels)
	a.op("LSL", 8, key)
	a.op("ADD", voxels, key)
	var list []variant
	for _, s := range tileShapes() {
		list = append(list, variant{s.blocks<<8 + s.voxels, fmt.Sprintf("tile_%d_%d", s.blocks, s.voxels)})
	}
	a.choose(list, key)
	for i, s := range tileShapes() {
		newTile(a, s, list[i].label, arguments).write()
	}
}

// A tile is the code of one shape.
type tile struct {
	*assembly
	shape
	name      string
	arguments general
	free      registers  // what the products leave
	sums      [][]vector // of voxel t of block b at b*voxels + t
	elements  []vector   // the same elements of x of every voxel
	lanes     []vector   // parts of the weights, in turn
	x, weight []general  // where the next elements are, of every voxel and every block
	depth     general
}

func newTile(a *assembly, s shape, name string, arguments general) *tile {
	t := &tile{assembly: a, shape: s, name: name, arguments: arguments, free: *newRegisters()}
	t.free.next() // the arguments
	t.x, t.weight, t.depth = t.free.nexts(s.voxels), t.free.nexts(s.blocks), t.free.next()
	t.sums = t.free.nextBlocks(s.blocks * s.voxels)
	t.elements = t.free.nextVectors(s.voxels)
	t.lanes = t.free.nextVectors(min(4, len(t.free.vector)))
	return t
}

func (t *tile) write() {
	t.label(t.name)
	t.transfer(tileFrom, tileFromStride, tileFromBlock, t.loadBlock)
	free := t.free
	taps, count, x, weight := free.next(), free.next(), free.next(), free.next()
	xStride, weightBlock, ofX, ofWeight, fours := free.next(), free.next(), free.next(), free.next(), free.next()
	t.loadFields(t.arguments, field{tileTaps, taps}, field{tileCount, count}, field{tileX, x}, field{tileWeight, weight},
		field{tileXStride, xStride}, field{tileWeightBlock, weightBlock}, field{tileDepth, t.depth})
	t.label(t.name + "_tap")
	t.op("LDP.P", taps.at(16), fmt.Sprintf("(%v, %v)", ofX, ofWeight))
	t.op("ADD", ofX.inBytes(), x, t.x[0])
	t.op("ADD", ofWeight.inBytes(), weight, t.weight[0])
	for i := range t.x[1:] {
		t.op("ADD", xStride, t.x[i], t.x[i+1])
	}
	for i := range t.weight[1:] {
		t.op("ADD", weightBlock, t.weight[i], t.weight[i+1])
	}
	t.op("LSR", 2, t.depth, fours)
	t.op("CBZ", fours, t.name+"_two")
	t.label(t.name + "_four")
	t.products(4)
	t.again(t.name+"_four", fours)
	t.label(t.name + "_two")
	t.op("TBZ", 1, t.depth, t.name+"_one")
	t.products(2)
	t.label(t.name + "_one")
	t.op("TBZ", 0, t.depth, t.name+"_next")
	t.products(1)
	t.label(t.name + "_next")
	t.again(t.name+"_tap", count)
	t.transfer(tileDst, tileDstStride, tileDstBlock, t.storeBlock)
	t.op("RET")
}

// transfer moves all sums from or to memory that starts at one field of the
// arguments and goes on by two others.
func (t *tile) transfer(start, stride, block int, move func(at general, offset int, v []vector)) {
	free := t.free
	first, voxel, byVoxel, byBlock := free.next(), free.next(), free.next(), free.next()
	t.loadFields(t.arguments, field{start, first}, field{stride, byVoxel}, field{block, byBlock})
	for i, sum := range t.sums {
		switch {
		case i%t.voxels > 0:
			t.op("ADD", byVoxel, voxel)
		case i > 0:
			t.op("ADD", byBlock, first)
			fallthrough
		default:
			t.op("MOVD", first, voxel)
		}
		move(voxel, 0, sum)
	}
}

// products adds the products of the next 1, 2 or 4 elements of every voxel.
// Each part of the weights is loaded well before it is used.
func (t *tile) products(elements int) {
	move := map[int]string{1: "FMOVS.P", 2: "FMOVD.P", 4: "FMOVQ.P"}[elements]
	for i, v := range t.elements {
		t.op(move, t.x[i].at(4*elements), v)
	}
	type part struct{ element, block, quarter int }
	var parts []part
	for element := range elements {
		for block := range t.blocks {
			for quarter := range quarters {
				parts = append(parts, part{element, block, quarter})
			}
		}
	}
	lanes := func(i int) vector { return t.lanes[i%len(t.lanes)] }
	load := func(i int) {
		t.op("FMOVQ", t.weight[parts[i].block].at(64*parts[i].element+16*parts[i].quarter), lanes(i))
	}
	ahead := len(t.lanes) - 1
	for i := range ahead {
		load(i)
	}
	for i, p := range parts {
		if i+ahead < len(parts) {
			load(i + ahead)
		}
		for voxel, v := range t.elements {
			t.multiplyAdd(lanes(i), v, p.element, t.sums[p.block*t.voxels+voxel][p.quarter])
		}
	}
	if elements > 1 { // a single one is the last
		t.advance(64*elements, t.weight...)
	}
}
