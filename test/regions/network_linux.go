package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// network is namespaces, and the wires between them.
type network struct {
	trip  time.Duration
	hosts []*host
}

// host is a namespace with one address.
type host struct {
	name string // of the namespace
	addr string
	last byte // of the address, but for the very last one
	tun  *os.File
	cut  atomic.Bool // nothing comes in, and nothing gets out
}

// packet is one that is on its way.
type packet struct {
	due  time.Time
	body []byte
}

const (
	largest = 64 << 10 // bytes of a packet
	backlog = 16 << 10 // packets on their way to a host
)

// newNetwork makes namespaces of these names.
func newNetwork(ctx context.Context, trip time.Duration, names ...string) (*network, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: it takes root to make network namespaces", errSkipped)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("%w: there is no ip; install iproute2", errSkipped)
	}
	n := &network{trip: trip}
	for i, name := range names {
		h := &host{name: fmt.Sprintf("hw-regions-%s-%d", name, os.Getpid()), addr: fmt.Sprintf("10.77.%d.1", i+1), last: byte(i + 1)}
		n.hosts = append(n.hosts, h)
		if err := h.make(ctx); err != nil {
			n.close()
			return nil, fmt.Errorf("%w: %w", errSkipped, err)
		}
	}
	ways := make(map[byte]chan packet, len(n.hosts))
	for _, h := range n.hosts {
		ways[h.last] = make(chan packet, backlog)
	}
	for _, h := range n.hosts {
		go n.take(h, ways)          // ends with the device
		go n.bring(h, ways[h.last]) // ends with the process
	}
	return n, nil
}

// ip runs ip with some words.
func ip(ctx context.Context, words string) error {
	c := exec.CommandContext(ctx, "ip", strings.Fields(words)...)
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", words, err, bytes.TrimSpace(out))
	}
	return nil
}

func (h *host) make(ctx context.Context) error {
	if err := ip(ctx, "netns add "+h.name); err != nil {
		return err
	}
	device := fmt.Sprintf("hwr%d", h.last)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(device)
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return errors.Join(fmt.Errorf("a TUN device: %w", err), unix.Close(fd))
	}
	h.tun = os.NewFile(uintptr(fd), device)
	for _, words := range []string{
		"link set %[2]s netns %[1]s",
		"-n %[1]s link set lo up",
		"-n %[1]s addr add %[3]s/32 dev %[2]s",
		"-n %[1]s link set %[2]s up",
		"-n %[1]s route add 10.77.0.0/16 dev %[2]s",
	} {
		if err := ip(ctx, fmt.Sprintf(words, h.name, device, h.addr)); err != nil {
			return err
		}
	}
	return nil
}

// take takes what a host sends.
func (n *network) take(h *host, ways map[byte]chan packet) {
	b := make([]byte, largest)
	for {
		size, err := h.tun.Read(b)
		if err != nil {
			return // closed
		}
		if size < 20 || b[0]>>4 != 4 || h.cut.Load() { // IPv4 alone, whose head has 20 bytes or more
			continue
		}
		to := ways[b[18]]
		if to == nil {
			continue
		}
		select {
		case to <- packet{time.Now().Add(n.way(h.last, b[18])), bytes.Clone(b[:size])}:
		default: // as a full queue of a router
		}
	}
}

// farther is how much farther away the third region is, so that the second is the
// nearest to the first whatever is measured.
const farther = 10 * time.Millisecond

// way returns how long a packet is on its way.
func (n *network) way(from, to byte) time.Duration {
	trip := n.trip
	if from == ap+1 || to == ap+1 {
		trip += farther
	}
	return trip / 2
}

// bring brings a host what was sent to it, once it is due.
func (n *network) bring(h *host, way chan packet) {
	for p := range way {
		time.Sleep(time.Until(p.due))
		if h.cut.Load() {
			continue
		}
		if _, err := h.tun.Write(p.body); errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// host returns the host of that number.
func (n *network) host(i int) *host { return n.hosts[i] }

// command returns a command that runs on a host.
func (h *host) command(ctx context.Context, words ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.name}, words...)...)
}

func (n *network) close() {
	for _, h := range n.hosts {
		if h.tun != nil {
			h.tun.Close()
		}
		_ = ip(context.Background(), "netns del "+h.name) // it may not be there
	}
}
