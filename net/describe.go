package net

import (
	"cmp"
	"encoding/json"
)

// A description is a Config as exported files state it, by the names of the
// plan's keys. What only training needs is left out.
type description struct {
	Name       string  `json:"name"`
	Dims       int     `json:"dims"`
	Channels   int     `json:"channels"`
	Size       []int   `json:"size"`
	Classes    int     `json:"classes"`
	Depth      int     `json:"depth"`
	Width      int     `json:"width"`
	Norm       string  `json:"norm"`
	Groups     int     `json:"groups"`
	Activation string  `json:"activation"`
	Slope      float64 `json:"slope"`
	Covariates int     `json:"covariates"`
	Pooling    string  `json:"pooling"`
}

// JSON describes the network for other programs, as docs/exporting.md documents
// it: everything that its function depends on but the weights. size is D, H, W, or
// H, W in 2D.
func (c Config) JSON() string {
	text, err := json.MarshalIndent(description{
		Name: c.Name, Dims: c.Dims, Channels: c.Channels, Size: c.Size[3-c.Dims:], Classes: c.Classes,
		Depth: c.Depth, Width: c.Width, Norm: c.Norm, Groups: c.Groups,
		Activation: cmp.Or(c.Activation, relu), Slope: c.Slope,
		Covariates: c.Covariates, Pooling: cmp.Or(c.Pooling, poolMean),
	}, "", "  ")
	if err != nil {
		panic("net: a configuration cannot be written: " + err.Error()) // Check demands finite numbers
	}
	return string(text)
}
