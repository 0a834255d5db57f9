package main

import (
	"fmt"
	"slices"
)

// Offsets of the fields of outerArguments.
const (
	outerDst, outerX, outerY, outerTaps, outerCount, outerVoxels               = 0, 8, 16, 24, 32, 40
	outerXStride, outerRowStride, outerPlaneStride, outerDstRow, outerDstPlane = 48, 56, 64, 72, 80
)

// A patch is the part of a kernel whose gradient is kept in registers: the
// elements of some rows of some planes, for one channel block.
type patch struct{ planes, rows, depth int }

// key is what selects the code of a patch; the Go side computes the same.
func (p patch) key() int {
	const blocks = 1
	return ((blocks*4+p.planes)*8+p.rows)*32 + p.depth
}

// mostElements is how many elements of a kernel fit the registers.
const mostElements = 6

// patches lists one row of any depth; and several rows, and planes, where a row
// is short, as in a network's first layer.
func patches() (list []patch) {
	for depth := 1; depth <= mostElements; depth++ {
		for planes := 1; planes <= 3; planes++ {
			for rows := 1; rows <= 5; rows++ {
				if planes*rows*depth <= mostElements && (planes == 1 || depth == 3) {
					list = append(list, patch{planes, rows, depth})
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b patch) int { return a.key() - b.key() })
	return list
}

func (a *assembly) outer() {
	a.function("outerNEON", "computes one patch of a weight gradient; see outerSumGo and patch.key.", parameters("a *int", "patch int"))
	free := newRegisters()
	arguments, key := free.next(), free.next()
	a.load("a", arguments)
	a.load("patch", key)
	var list []variant
	for _, p := range patches() {
		list = append(list, variant{p.key(), fmt.Sprintf("patch_%d_%d_%d", p.planes, p.rows, p.depth)})
	}
	a.choose(list, key)
	for i, p := range patches() {
		newGradient(a, p, list[i].label, arguments).write()
	}
}

// A gradient is the code of one patch.
type gradient struct {
	*assembly
	patch
	name      string
	arguments general
	free      registers  // what the products leave
	sums      [][]vector // of every element
	elements  [][]vector // of every row of every plane, the elements of x in pieces
	lanes     []vector   // of y
	x         []general  // where the elements of the next voxel are, of every row of every plane
	y         general
}

func newGradient(a *assembly, p patch, name string, arguments general) *gradient {
	g := &gradient{assembly: a, patch: p, name: name, arguments: arguments, free: *newRegisters()}
	g.free.next() // the arguments
	g.x, g.y = g.free.nexts(p.planes*p.rows), g.free.next()
	g.sums = g.free.nextBlocks(p.planes * p.rows * p.depth)
	for range g.x {
		g.elements = append(g.elements, g.free.nextVectors(len(pieces(p.depth))))
	}
	g.lanes = g.free.nextVectors(quarters)
	return g
}

func (g *gradient) write() {
	g.label(g.name)
	g.transfer(g.loadBlock)
	free := g.free
	taps, count, x, y, voxels, counter := free.next(), free.next(), free.next(), free.next(), free.next(), free.next()
	xStride, xRow, xPlane, ofX, ofY, plane := free.next(), free.next(), free.next(), free.next(), free.next(), free.next()
	g.loadFields(g.arguments, field{outerTaps, taps}, field{outerCount, count}, field{outerX, x}, field{outerY, y}, field{outerXStride, xStride},
		field{outerRowStride, xRow}, field{outerPlaneStride, xPlane}, field{outerVoxels, voxels})
	g.label(g.name + "_tap")
	g.op("LDP.P", taps.at(16), fmt.Sprintf("(%v, %v)", ofX, ofY))
	g.op("ADD", ofX.inBytes(), x, plane)
	g.op("ADD", ofY.inBytes(), y, g.y)
	for i, row := range g.x {
		switch {
		case i%g.rows > 0:
			g.op("ADD", xRow, g.x[i-1], row)
			continue
		case i > 0:
			g.op("ADD", xPlane, plane)
		}
		g.op("MOVD", plane, row)
	}
	g.op("MOVD", voxels, counter)
	g.label(g.name + "_voxel")
	g.products(xStride)
	g.again(g.name+"_voxel", counter)
	g.again(g.name+"_tap", count)
	g.transfer(g.storeBlock)
	g.op("RET")
}

// transfer moves all sums from or to memory.
func (g *gradient) transfer(move func(at general, offset int, v []vector)) {
	free := g.free
	plane, row, byRow, byPlane := free.next(), free.next(), free.next(), free.next()
	g.loadFields(g.arguments, field{outerDst, plane}, field{outerDstRow, byRow}, field{outerDstPlane, byPlane})
	for i := range g.x {
		switch {
		case i%g.rows > 0:
			g.op("ADD", byRow, row)
		case i > 0:
			g.op("ADD", byPlane, plane)
			fallthrough
		default:
			g.op("MOVD", plane, row)
		}
		for j, sum := range g.sums[i*g.depth:][:g.depth] {
			move(row, 64*j, sum)
		}
	}
}

// products adds the products of one voxel and goes on to the next.
func (g *gradient) products(xStride general) {
	g.loadBlock(g.y, 0, g.lanes)
	g.advance(64, g.y)
	for i, elements := range g.elements {
		g.loadElements(g.x[i], elements)
		g.op("ADD", xStride, g.x[i])
	}
	for quarter, lanes := range g.lanes {
		for i, sum := range g.sums {
			v, lane := g.element(i/g.depth, i%g.depth)
			g.multiplyAdd(lanes, v, lane, sum[quarter])
		}
	}
}

// pieces divides the elements of a row into what one load can take.
func pieces(depth int) (list []int) {
	for _, size := range []int{4, 2, 1} {
		for depth >= size {
			list, depth = append(list, size), depth-size
		}
	}
	return list
}

// loadElements loads the elements of one voxel and not one more.
func (g *gradient) loadElements(from general, to []vector) {
	at := 0
	for i, size := range pieces(g.depth) {
		g.op(map[int]string{1: "FMOVS", 2: "FMOVD", 4: "FMOVQ"}[size], from.at(4*at), to[i])
		at += size
	}
}

// element returns where element j of a row is.
func (g *gradient) element(row, j int) (v vector, lane int) {
	for i, size := range pieces(g.depth) {
		if j < size {
			return g.elements[row][i], j
		}
		j -= size
	}
	panic("no such element")
}
