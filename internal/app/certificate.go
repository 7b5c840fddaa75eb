package app

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"headworks/internal/config"
)

// certificate is what a listener proves with who it is. Its files are read again when
// they change, so that a renewed one needs neither a restart nor a reload.
type certificate struct {
	files config.TLS
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamps [2]os.FileInfo // of the files that were last read, well or not
	held   *tls.Certificate
	failed string
}

const (
	looks = time.Second         // how often the files are looked at, while clients come
	soon  = 14 * 24 * time.Hour // before a certificate ends that nobody renewed
)

// newCertificate reads the files, which must be good, of a section of the
// configuration.
func newCertificate(section string, files config.TLS, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log}
	c.look(time.Now())
	if c.held == nil {
		return nil, fmt.Errorf("%s.cert and %s.key: %s", section, section, c.failed)
	}
	return c, nil
}

// file returns where the certificate is read from, whatever folder is asked from;
// empty without one.
func (c *certificate) file() string {
	if c == nil {
		return ""
	}
	if at, err := filepath.Abs(c.files.Cert); err == nil {
		return at
	}
	return c.files.Cert
}

// listener encrypts what another accepts, TLS 1.2 at least.
func (c *certificate) listener(ln net.Listener) net.Listener {
	return tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	})
}

func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= looks {
		c.look(now)
	}
	return c.held
}

// fingerprint is the SHA-256 of the certificate, in hex. Commands on this machine
// know the instance by it, whatever name it was issued for.
func (c *certificate) fingerprint() string {
	sum := sha256.Sum256(c.current().Certificate[0])
	return hex.EncodeToString(sum[:])
}

// look takes over what is new in the files; what is no good changes nothing. The two
// are rarely replaced at one moment, so a pair that does not fit is tried again.
func (c *certificate) look(now time.Time) {
	c.looked = now
	stamps := [2]os.FileInfo{stamp(c.files.Cert), stamp(c.files.Key)}
	if c.held != nil && c.failed == "" && same(c.stamps[0], stamps[0]) && same(c.stamps[1], stamps[1]) {
		return
	}
	c.stamps = stamps
	next, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		if words := err.Error(); words != c.failed && c.held != nil {
			c.log.Error("the certificate is not taken over; the last good one stays", "cause", words)
		}
		c.failed = err.Error()
		return
	}
	c.held, c.failed = &next, ""
	say, words := c.log.Info, "a certificate is in use"
	if next.Leaf.NotAfter.Sub(now) < soon {
		say, words = c.log.Warn, "a certificate is in use that ends soon or has ended"
	}
	say(words, "file", c.files.Cert, "names", next.Leaf.DNSNames, "not_after", next.Leaf.NotAfter)
}

// same reports whether a file seems to be what it was.
func same(was, is os.FileInfo) bool {
	if was == nil || is == nil {
		return was == is
	}
	return os.SameFile(was, is) && was.ModTime().Equal(is.ModTime()) && was.Size() == is.Size()
}
