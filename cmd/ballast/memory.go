package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"ballast/train"
)

// checkMemory refuses a resolved plan that this machine cannot hold, before the
// system kills the program for it.
func checkMemory(p train.Plan, images int, available float64) error {
	needed := leastMemory(p, images)
	if available <= 0 || needed <= available {
		return nil
	}
	return fmt.Errorf("%w: %d images on grid %v in batches of %d need at least %s of memory, this machine has %s; choose a smaller prep.grid, batch or net.width",
		train.ErrPlan, images, p.Prep.Grid, p.Batch, bytesText(int64(min(needed, 1e18))), bytesText(int64(available)))
}

// leastMemory is a lower bound in bytes: all prepared images, and for one batch
// what the first block of the network keeps for the backward pass.
func leastMemory(p train.Plan, images int) float64 {
	voxels := 4.0
	for _, size := range p.Prep.Grid {
		voxels *= float64(size)
	}
	image := voxels * float64(max(p.Prep.Channels, 1))
	batch := float64(min(p.Batch, images))
	if p.Net.Name == "linear" {
		return image * (float64(images) + batch)
	}
	return image*float64(images) + voxels*batch*float64(p.Net.Width)
}

// physicalMemory is the memory of this machine in bytes, 0 where it is not known
// how to ask.
func physicalMemory() float64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "MemTotal:" {
			if kilobytes, err := strconv.ParseFloat(fields[1], 64); err == nil {
				return 1024 * kilobytes
			}
		}
	}
	return 0
}
