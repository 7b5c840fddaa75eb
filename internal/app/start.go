package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"headworks/internal/config"
	"headworks/internal/discover/local"
)

// ErrConfig is what Serve returns, wrapped, for a configuration with problems;
// the text lists them all with their places.
var ErrConfig = errors.New("the configuration is not valid")

// ErrAddress is what Up and Serve return, wrapped, for a place that is none.
var ErrAddress = errors.New("no address")

// check refuses addresses that a command line has wrong.
func (p Place) check() error {
	for flag, addr := range map[string]string{"listen": p.Listen, "admin-listen": p.Admin} {
		_, port, err := net.SplitHostPort(addr)
		if _, bad := strconv.ParseUint(port, 10, 16); addr != "" && (err != nil || bad != nil) {
			return fmt.Errorf("--%s %q is %w; write one as 127.0.0.1:7300, with port 0 for any free port", flag, addr, ErrAddress)
		}
	}
	return nil
}

// Up builds a process without a configuration: what is at hand, beside the
// built-in models, and a key for whoever may read the data folder.
func Up(ctx context.Context, at Place, log io.Writer) (*App, error) {
	if err := at.check(); err != nil {
		return nil, err
	}
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
	if err := at.check(); err != nil {
		return nil, "", err
	}
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
	seen := stamp(path)
	c, report := read()
	if !report.OK() {
		return nil, "", fmt.Errorf("%w\n%s", ErrConfig, report.Text(""))
	}
	if len(report.Problems) > 0 {
		warnings = report.Text("")
	}
	a, err = New(Options{Config: c, Read: read, File: path, Seen: seen, Log: log})
	return a, warnings, err
}

// Found returns what was at hand when the process started without a
// configuration.
func (a *App) Found() Found { return a.found }

// PID is the process id.
func (a *App) PID() int { return os.Getpid() }

// LookedFor names where Up looks: engines with their ports on loopback, and
// variables of the environment.
func LookedFor() (engines, variables []string) {
	for _, p := range local.Places() {
		if n := len(engines) - 1; n >= 0 && strings.HasPrefix(engines[n], p.Name+" ") {
			engines[n] += fmt.Sprintf(" :%d", p.Port)
			continue
		}
		engines = append(engines, fmt.Sprintf("%s :%d", p.Name, p.Port))
	}
	for _, p := range local.Providers() {
		variables = append(variables, p.Env)
	}
	return engines, variables
}
