package train

import "ballast/net"

// Network returns the network with the run's weights, to look into. It is the
// predictor's own and must not be used while Predict runs, nor after Close.
func (p *Predictor) Network() *net.Net { return p.net }
