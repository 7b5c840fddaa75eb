package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// playProxy plays the reverse proxy that one would write with the standard library,
// tuned: connections to the upstream are kept, each event is flushed, buffers are
// used again. Full duplex, for without it net/http may take an early answer for the
// end of the request and lose the stream.
func playProxy(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	to, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	l, err := listen()
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		FlushInterval: -1,
		BufferPool:    newBuffers(8 << 10),
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{}).DialContext,
			MaxIdleConnsPerHost: 4096,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
		ErrorLog: log.New(io.Discard, "", 0), // a client that leaves is not worth a line
	}
	s := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          proxy.ErrorLog,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			proxy.ServeHTTP(w, r)
		}),
	}
	defer s.Close()
	go func() { _ = s.Serve(l) }() // it ends when the process does
	return announce(ready{BaseURL: urlOf(l.Addr())}, in, out)
}

// buffers is an httputil.BufferPool.
type buffers struct{ pool sync.Pool }

func newBuffers(size int) *buffers {
	return &buffers{sync.Pool{New: func() any { b := make([]byte, size); return &b }}}
}

func (p *buffers) Get() []byte  { return *p.pool.Get().(*[]byte) }
func (p *buffers) Put(b []byte) { p.pool.Put(&b) }

// playRaw plays the floor: a relay that passes bytes on and knows nothing of HTTP,
// one connection to the upstream for each from a client.
func playRaw(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	l, err := listen()
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go relay(from, hostOf(args[0]))
		}
	}()
	return announce(ready{BaseURL: urlOf(l.Addr())}, in, out)
}

func relay(from net.Conn, addr string) {
	defer from.Close()
	to, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	go pass(from, to)
	pass(to, from)
}

// pass copies by hand: io.Copy would splice, which moves no bytes through the
// process but takes two more system calls for each piece.
func pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
