package app

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"headworks/internal/cell"
	"headworks/internal/config"
	"headworks/internal/nameserver"
)

// names answers who asks under which addresses the nearest cell is. A nil one answers
// nobody.
type names struct {
	app    *App
	zone   atomic.Pointer[zone]
	server *nameserver.Server
	udp    net.PacketConn
	tcp    net.Listener
}

// zone is what is answered for, and where the cells are.
type zone struct {
	nameserver.Zone
	cells []entrance
}

// entrance is how callers reach a cell.
type entrance struct {
	region string
	addrs  []netip.Addr
}

// nameCells opens the listeners for questions, where there are to be any.
func (a *App) nameCells() error {
	c := a.config
	if !c.DNS.On() {
		return nil
	}
	n := &names{app: a}
	n.use(c)
	var err error
	if n.tcp, err = listen(c.DNS.Listen, "dns.listen"); err != nil {
		return err
	}
	// The same port, where any free one is asked for.
	if n.udp, err = new(net.ListenConfig).ListenPacket(context.Background(), "udp", n.tcp.Addr().String()); err != nil {
		n.tcp.Close()
		return fmt.Errorf("dns.listen: %w", err)
	}
	n.server = nameserver.New(n)
	a.names = n
	return nil
}

// use takes what a configuration says into use.
func (n *names) use(c *config.Config) {
	if n == nil {
		return
	}
	z := &zone{Zone: nameserver.Zone{Name: c.DNS.Name, Servers: c.DNS.Servers, TTL: c.DNS.TTL}}
	for _, region := range slices.Sorted(maps.Keys(c.DNS.Cells)) {
		at := entrance{region: region}
		for _, s := range c.DNS.Cells[region] {
			if a, err := netip.ParseAddr(s); err == nil { // the file was checked
				at.addrs = append(at.addrs, a.Unmap())
			}
		}
		z.cells = append(z.cells, at)
	}
	n.zone.Store(z)
}

func (n *names) run(ctx context.Context) error {
	if n == nil {
		return nil
	}
	return n.server.Run(ctx, n.udp, n.tcp)
}

func (n *names) close() {
	if n != nil {
		_ = n.udp.Close() // it may be closed already
		n.tcp.Close()
	}
}

func (n *names) counts(yield func(answer string, n uint64)) {
	if n == nil {
		return
	}
	c := n.server.Counts()
	yield("given", c.Answered)
	yield("empty", c.Empty)
	yield("refused", c.Refused)
}

// Zone implements nameserver.Directory.
func (n *names) Zone() nameserver.Zone { return n.zone.Load().Zone }

// Nearest implements nameserver.Directory.
func (n *names) Nearest(at netip.Addr, of nameserver.Family) (addrs []netip.Addr, mattered bool) {
	w := n.app.gateway.World()
	from := w.Region // who asks this server is near to it, as far as anybody knows
	if at, known := w.Places.Callers.Find(at); known {
		from = at.Region
	}
	atlas := w.Fleet.Atlas
	states := n.app.company.watch.States()
	var sites []nameserver.Site
	for _, c := range n.zone.Load().cells {
		s := nameserver.Site{Region: c.region, Trip: atlas.Trip(atlas.Region(from), atlas.Region(c.region))}
		measured := nameserver.Far
		if c.region == w.Region {
			s.Up, s.Addrs = !n.app.health.Draining() && n.app.serves(), c.addrs
		} else {
			s.Up, s.Addrs, measured = reach(states, &c)
		}
		if s.Trip == nameserver.Far && from == w.Region {
			s.Trip = measured
		}
		if c.region == from {
			s.Trip = 0
		}
		sites = append(sites, s)
	}
	return nameserver.Nearest(sites, of), !w.Places.Callers.Empty()
}

// reach returns whether some gateway of another cell is up and can serve anything, the
// addresses of the cell but for those of gateways that are not, and how far it is.
func reach(states []cell.State, c *entrance) (up bool, addrs []netip.Addr, trip time.Duration) {
	trip = nameserver.Far
	var out []netip.Addr
	for i := range states {
		s := &states[i]
		if s.Cell != c.region {
			continue
		}
		if s.State == cell.Up && s.Models > 0 {
			up = true
			if s.RTT > 0 {
				trip = min(trip, s.RTT)
			}
			continue
		}
		if u, err := url.Parse(s.URL); err == nil {
			if a, err := netip.ParseAddr(u.Hostname()); err == nil {
				out = append(out, a.Unmap())
			}
		}
	}
	for _, a := range c.addrs {
		if !up || !slices.Contains(out, a) {
			addrs = append(addrs, a)
		}
	}
	return up, addrs, trip
}
