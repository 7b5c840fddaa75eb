package app

import (
	"fmt"
	"io"
	"os"

	"headworks/internal/config"
	"headworks/internal/fleet"
)

// Aside builds a process that serves what a file says, apart from any other that may
// do so: on free ports of loopback, with a data folder and a key of its own, and
// without other gateways, other cells or a name in DNS. The folder is the caller's to remove.
func Aside(file string, log io.Writer) (*App, error) {
	c, report := config.Load(file)
	if !report.OK() {
		return nil, fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
	}
	dir, err := os.MkdirTemp("", "headworks-")
	if err != nil {
		return nil, err
	}
	c.Override("127.0.0.1:0", "127.0.0.1:0", dir)
	c.TLS, c.Admin.TLS, c.DrainDelay = config.TLS{}, config.TLS{}, 0
	c.Peers, c.Cells, c.DNS = config.Peers{}, nil, config.DNS{}
	a, err := New(Options{Config: c, LocalKey: true, Log: log})
	if err != nil {
		_ = os.RemoveAll(dir) // nothing is in it that anybody needs
	}
	return a, err
}

// TargetOf is a target as a file has it.
type TargetOf struct {
	Model   string // that it serves
	Place   int    // in the model's list
	Name    string // of its own; empty: it has none
	Asked   string // upstream/model, as a request asks for it by name
	Quality float64
}

// Targets returns the targets of a file.
func Targets(file string) ([]TargetOf, error) {
	c, report := config.Load(file)
	if !report.OK() {
		return nil, fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
	}
	var all []TargetOf
	for name, m := range c.Models {
		for i, t := range m.Targets {
			all = append(all, TargetOf{name, i, t.Name, t.Upstream + "/" + calls(c, &t), t.Quality})
		}
	}
	return all, nil
}

// calls returns what an upstream calls what a target asks for.
func calls(c *config.Config, t *config.Target) string {
	to := fleet.Target{Model: t.Model}
	adapt(&to, c.Upstreams[t.Upstream].Kind, t.Adapter)
	return to.Model
}

// WithQuality returns a file as it is, and as it would be with the quality of a
// target in it.
func WithQuality(file string, t TargetOf, quality float64) (was, is []byte, err error) {
	if was, err = os.ReadFile(file); err != nil {
		return nil, nil, err
	}
	is, err = config.SetQuality(file, was, t.Model, t.Place, quality, config.System())
	return was, is, err
}
