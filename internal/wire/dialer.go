package wire

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"headworks/internal/fault"
)

// Dialer is the one door to the network: it opens connections to the addresses
// that the operator listed, as listed, and to nothing else.
type Dialer struct {
	listed map[string]struct{}
	net    net.Dialer
}

// unheard is how long the other side of a connection may acknowledge nothing, neither
// a request nor a keep-alive probe, until it counts as cut off. A region that is lost
// sends no reset, and an answer that has begun should outlive a short disturbance.
const unheard = 8 * time.Second

// NewDialer returns a dialer for addresses of the form host:port (see
// HostPort). A connect may take so long; 0 is 2 s.
func NewDialer(listed []string, connect time.Duration) (*Dialer, error) {
	d := &Dialer{listed: make(map[string]struct{}, len(listed)), net: net.Dialer{
		Timeout:         orElse(connect, 2*time.Second),
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: unheard / 2, Interval: unheard / 4, Count: 2},
		Control:         endUnheard(unheard),
	}}
	for _, addr := range listed {
		if _, port, err := net.SplitHostPort(addr); err != nil {
			return nil, err
		} else if port == "" || port == "0" {
			return nil, &net.AddrError{Err: "missing port", Addr: addr}
		}
		d.listed[strings.ToLower(addr)] = struct{}{}
	}
	return d, nil
}

// Dial opens a connection with small delays switched off (TCP_NODELAY) and
// keep-alive probes on. Its errors are of kind Connect, or ctx's cause.
func (d *Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, ok := d.listed[strings.ToLower(addr)]; !ok {
		return nil, fault.Wrap(fault.Connect, "the upstream cannot be reached", &net.OpError{Op: "dial", Net: network, Err: errUnlisted})
	}
	nc, err := d.net.DialContext(ctx, network, addr)
	switch {
	case err == nil:
		return nc, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, fault.Wrap(fault.Connect, "the upstream cannot be reached", err)
	}
}

var errUnlisted = errors.New("the address is not one that the operator listed")
