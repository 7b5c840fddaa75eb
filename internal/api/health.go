package api

import (
	"encoding/json"
	"sync/atomic"
)

// Health is what this process says of itself to whoever asks, without a key: up
// or down, and no more.
type Health struct {
	Version string
	Serves  func() bool // some model, here; nil: nobody asked yet
	ready   atomic.Bool
	drains  atomic.Bool
	config  atomic.Pointer[string]
}

// Ready says that a configuration is loaded: its fingerprint tells replicas
// apart that run another one.
func (h *Health) Ready(config string) {
	h.config.Store(&config)
	h.ready.Store(true)
}

// Drain says that this process is going away.
func (h *Health) Drain() { h.drains.Store(true) }

// Draining reports whether Drain was called.
func (h *Health) Draining() bool { return h.drains.Load() }

type page struct {
	Status int
	Type   string
	Body   []byte
}

// pages are the paths of health, and what each tells; may503 tells that it may say no.
var pages = []struct {
	path, title string
	may503      bool
}{
	{"/livez", "Whether the process lives", false},
	{"/health/liveliness", "Whether the process lives", false},
	{"/readyz", "Whether it serves", true},
	{"/healthz", "Whether it serves", true},
	{"/health", "Whether it serves", true},
	{"/health/readiness", "Whether it serves", true},
	{"/healthz/cell", "Whether it serves and some model can be served here", true},
	{"/version", "Its version", false},
}

// Page returns the page of a path, if it is one of health's: live while the
// process runs, ready once it can serve and until it drains. Of upstreams it tells
// where the cell is asked for, and then no more than whether anything can be served.
func (h *Health) Page(path string) (page, bool) {
	switch path {
	case "/livez", "/health/liveliness":
		return page{200, "text/plain; charset=utf-8", []byte("ok\n")}, true
	case "/readyz", "/healthz", "/health", "/health/readiness", "/healthz/cell":
		status, word := 200, "ok"
		switch {
		case h.drains.Load():
			status, word = 503, "draining"
		case !h.ready.Load():
			status, word = 503, "starting"
		case path == "/healthz/cell" && h.Serves != nil && !h.Serves():
			status, word = 503, "no engine"
		}
		return h.json(status, map[string]string{"status": word}), true
	case "/version":
		return h.json(200, map[string]string{"version": h.Version}), true
	default:
		return page{}, false
	}
}

func (h *Health) json(status int, of map[string]string) page {
	if c := h.config.Load(); c != nil && of["status"] != "" {
		of["config"] = *c
	}
	b, err := json.Marshal(of)
	if err != nil { // a map of strings always has a JSON form
		return page{Status: 500, Type: jsonType}
	}
	return page{status, jsonType, append(b, '\n')}
}
