package wire

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Connections to upstreams end where the other side is not heard, long before the
// kernel would give up by itself.
func TestUnheardConnectionsEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d, err := NewDialer([]string{ln.Addr().String()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		for option, want := range map[int]int{
			unix.TCP_USER_TIMEOUT: int(unheard.Milliseconds()),
			unix.TCP_KEEPIDLE:     int(unheard.Seconds() / 2),
			unix.TCP_KEEPINTVL:    int(unheard.Seconds() / 4),
		} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); err != nil || got != want {
				t.Errorf("option %d is %d, %v; want %d", option, got, err, want)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}
