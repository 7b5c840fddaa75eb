package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"headworks/internal/config"
	"headworks/internal/discover/local"
)

// ErrConfig is what Serve returns, wrapped, for a configuration with problems;
// the text lists them all with their places.
var ErrConfig = errors.New("the configuration is not valid")

// Up builds a process without a configuration: what is at hand, beside the
// built-in models, and a key for whoever may read the data folder.
func Up(ctx context.Context, at Place, log io.Writer) (*App, error) {
	c, found, err := Discover(ctx, at, config.System())
	if err != nil {
		return nil, err
	}
	a, err := New(Options{Config: c, LocalKey: true, Log: log})
	if err != nil {
		return nil, err
	}
	a.found = found
	return a, nil
}

// Serve builds a process that serves what a file says, and returns the warnings
// about it. What at names stands in the file's stead, also after a reload.
func Serve(file string, at Place, log io.Writer) (a *App, warnings string, err error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, "", err
	}
	read := func() (*config.Config, *config.Report) {
		c, report := config.Load(file)
		if c != nil {
			c.Override(at.Listen, at.Admin, at.Data)
		}
		return c, report
	}
	c, report := read()
	if !report.OK() {
		return nil, "", fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
	}
	if len(report.Problems) > 0 {
		warnings = report.Text("")
	}
	a, err = New(Options{Config: c, Read: read, File: path, Log: log})
	return a, warnings, err
}

// Found returns what was at hand when the process started without a
// configuration.
func (a *App) Found() Found { return a.found }

// PID is the process id.
func (a *App) PID() int { return os.Getpid() }

// LookedFor names where Up looks: ports on loopback and variables of the
// environment.
func LookedFor() []string {
	var all []string
	for _, p := range local.Places() {
		all = append(all, fmt.Sprintf("%s :%d", p.Name, p.Port))
	}
	for _, p := range local.Providers() {
		all = append(all, p.Env)
	}
	return all
}
