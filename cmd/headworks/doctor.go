package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"headworks/internal/api/admin"
	"headworks/internal/app"
	"headworks/internal/client"
	"headworks/internal/doctor"
	"headworks/internal/identity"
)

// diagnosis is what the doctor says.
type diagnosis struct {
	Findings []doctor.Finding `json:"findings"`
	OK       int              `json:"ok"`
	Warn     int              `json:"warn"`
	Fail     int              `json:"fail"`
	Skipped  int              `json:"skipped"`
	Fixed    []string         `json:"fixed,omitempty"`
	Bundle   string           `json:"bundle,omitempty"`
	Holds    []string         `json:"bundle_holds,omitempty"`
}

func newDoctorCommand(t *terminal) *cobra.Command {
	var file, bundle string
	var fix, send bool
	c := &cobra.Command{
		Use: "doctor", Short: "Look whether all is well, and say how to mend what is not", Args: cobra.NoArgs,
		Long:    "Looks at the configuration, the data folder, this machine and the running instance,\nwhich asks its upstreams for their lists of models. Nothing that costs money is asked.",
		Example: "  headworks doctor\n  headworks doctor --config headworks.yaml --bundle for-support.zip",
		RunE: func(c *cobra.Command, _ []string) error {
			p, a := t.patient(c.Context(), file)
			var d diagnosis
			if fix {
				d.Fixed = mend(p)
			}
			d.Findings = doctor.Examine(p)
			if send {
				d.Findings = append(d.Findings, trySinks(c.Context(), a)...)
			}
			for _, f := range d.Findings {
				switch f.Outcome {
				case doctor.OK:
					d.OK++
				case doctor.Warn:
					d.Warn++
				case doctor.Fail:
					d.Fail++
				default:
					d.Skipped++
				}
			}
			if bundle != "" {
				holds, err := pack(bundle, p, &d)
				if err != nil {
					return err
				}
				d.Bundle, d.Holds = bundle, holds
			}
			err := t.print(d, func(w io.Writer) { tellDiagnosis(w, &d) })
			if err == nil && d.Fail > 0 {
				return &exit{exitUnhealthy, fmt.Errorf("%s failed", count(d.Fail, "check"))}
			}
			return err
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration; headworks.yaml where it is there")
	c.Flags().BoolVar(&fix, "fix", false, "mend what is safe to mend: the modes of files")
	c.Flags().BoolVar(&send, "send", false, "send each sink of alerts a test")
	c.Flags().StringVar(&bundle, "bundle", "", "write what was found into a file for others, without secrets and content")
	return c
}

func tellDiagnosis(w io.Writer, d *diagnosis) {
	for _, f := range d.Findings {
		fmt.Fprintf(w, "%-7s %-14s %s\n", f.Outcome, f.Check, f.What)
		if f.Fix != "" {
			fmt.Fprintf(w, "%-22s fix: %s\n", "", f.Fix)
		}
	}
	for _, f := range d.Fixed {
		fmt.Fprintln(w, "mended  "+f)
	}
	fmt.Fprintf(w, "%d ok, %s, %d failed, %d skipped\n", d.OK, count(d.Warn, "warning"), d.Fail, d.Skipped)
	if d.Bundle != "" {
		fmt.Fprintf(w, "%s holds %s; look into it before you give it away\n", d.Bundle, strings.Join(d.Holds, ", "))
	}
}

// patient gathers what is known.
func (t *terminal) patient(ctx context.Context, file string) (*doctor.Patient, *client.Admin) {
	p := &doctor.Patient{Now: time.Now(), Version: app.Version, Data: t.folder(), Modes: map[string]fs.FileMode{}}
	if file == "" {
		if _, err := os.Stat(app.ConfigFile); err == nil {
			file = app.ConfigFile
		}
	}
	var hosts []string
	if file != "" {
		l := app.LookAt(file, p.Now)
		p.File, p.Problems, p.Warnings, p.Ends, hosts = file, l.Problems, l.Warnings, l.Ends, l.Hosts
		if l.Good {
			p.Settings = &doctor.Settings{
				Listen: l.Listen, Admin: l.Admin, TLS: l.TLS, AdminTLS: l.AdminTLS, InFlight: l.InFlight, Cache: l.Cache, Shared: l.Shared,
				Upstreams: l.Upstreams, Simulated: l.Simulated, Unpriced: l.Unpriced, Sinks: l.Sinks, Metered: l.Metered,
			}
		}
	}
	lookIntoFolder(p)
	lookAtMachine(p)
	resolve(ctx, p, hosts)
	a, err := t.instance()
	if err == nil {
		err = t.examine(ctx, a, p)
	}
	if err != nil {
		p.Absent, a = err.Error(), nil
	}
	if p.Settings != nil && p.Status == nil {
		p.Taken = map[string]string{}
		for _, addr := range []string{p.Settings.Listen, p.Settings.Admin} {
			ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
			if err != nil {
				p.Taken[addr] = app.Holder(addr)
				continue
			}
			ln.Close()
		}
	}
	return p, a
}

// lookIntoFolder looks at the data folder.
func lookIntoFolder(p *doctor.Patient) {
	f, err := os.CreateTemp(p.Data, ".doctor-*")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.NoData = true
	case err != nil:
		p.DataFail = "it cannot be written: " + cause(err)
	default:
		f.Close()
		_ = os.Remove(f.Name()) // an empty file of our own
	}
	day := p.Now.Add(-24 * time.Hour)
	secret := []string{identity.AdminTokenFile, identity.LocalKeyFile, identity.PepperFile}
	var daily uint64
	_ = filepath.WalkDir(p.Data, func(path string, e fs.DirEntry, err error) error { // what cannot be read is not counted
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		if e.IsDir() {
			if e.Name() == "quarantine" {
				p.Set = append(p.Set, path)
			}
			return nil
		}
		if info.ModTime().After(p.Now.Add(time.Minute)) && len(p.Future) < 5 {
			p.Future = append(p.Future, path)
		}
		if info.ModTime().After(day) {
			daily += uint64(info.Size())
		}
		if filepath.Dir(path) == p.Data && (slices.Contains(secret, e.Name()) || strings.HasPrefix(e.Name(), "headworks.db")) {
			p.Modes[path] = info.Mode()
		}
		return nil
	})
	var s unix.Statfs_t
	if unix.Statfs(p.Data, &s) == nil && s.Blocks > 0 {
		p.Disk = &doctor.Disk{Free: s.Bavail * uint64(s.Bsize), Total: s.Blocks * uint64(s.Bsize), Daily: daily}
	}
}

func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// lookAtMachine looks at the limits of this process, which are those of an instance
// that is started from here.
func lookAtMachine(p *doctor.Patient) {
	const beside = 256 << 20 // what a process takes beside its caches
	inFlight, cache := uint64(10_000), uint64(256<<20)
	if p.Settings != nil {
		inFlight, cache = uint64(p.Settings.InFlight), uint64(p.Settings.Cache)
	}
	var open unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &open) == nil {
		p.Open = &doctor.Limit{Is: open.Max, Wants: 2*inFlight + 256} // a Go process raises the soft one by itself
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		var most uint64
		if b, err := os.ReadFile(file); err == nil {
			if _, err := fmt.Sscan(string(b), &most); err == nil && most < 1<<50 {
				p.RAM = &doctor.Limit{Is: most, Wants: cache + beside}
			}
		}
	}
}

func resolve(ctx context.Context, p *doctor.Patient, hosts []string) {
	p.Resolved = map[string]string{}
	for _, h := range hosts {
		within, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err := net.DefaultResolver.LookupHost(within, h)
		cancel()
		if p.Resolved[h] = ""; err != nil {
			p.Resolved[h] = "the name has no address that can be found"
		}
	}
}

// examine asks the instance.
func (t *terminal) examine(ctx context.Context, a *client.Admin, p *doctor.Patient) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	s, err := a.Status(ctx)
	if err != nil {
		return err
	}
	p.Status = &s
	alerts, err := a.Alerts(ctx)
	if err != nil {
		return err
	}
	p.Alerts = alerts.Alerts
	if p.Objectives, err = a.Objectives(ctx); err != nil {
		return err
	}
	if p.Found, err = a.Discover(ctx, ""); err != nil {
		return err
	}
	if p.Keys, err = a.Keys(ctx); err != nil {
		return err
	}
	recent, err := a.Requests(ctx, 1000, "", "", "", "", "")
	if err != nil {
		return err
	}
	for _, r := range recent.Requests {
		took := time.Duration(-1)
		if r.Overhead != nil {
			took = time.Duration(*r.Overhead) * time.Microsecond
		}
		p.Recent = append(p.Recent, doctor.Request{ID: r.ID, End: r.End, Fault: r.Fault, Overhead: took})
	}
	p.Stream = t.streamed(ctx, a, &s)
	return nil
}

// streamed asks a simulated model for a stream, as an application does.
func (t *terminal) streamed(ctx context.Context, a *client.Admin, s *admin.Status) *doctor.Stream {
	model := ""
	for _, m := range s.Models {
		if m.Simulated && slices.Contains(m.Does, "chat") {
			model = m.Name
			break
		}
	}
	if model == "" {
		return nil
	}
	key, err := t.ownKey(ctx, a)
	if err != nil {
		return nil
	}
	got := &doctor.Stream{URL: s.BaseURL}
	var first, last time.Time
	began := time.Now()
	r, err := client.API{BaseURL: s.BaseURL, Certificate: s.Cert, Key: key}.Ask(ctx, model, "Count to forty.", func(string) {
		if last = time.Now(); first.IsZero() {
			first = last
		}
		got.Pieces++
	})
	switch {
	case err != nil:
		got.Failed = err.Error()
	case r.Error != nil:
		got.Failed = r.Error.Message
	}
	got.Spread, got.Whole = last.Sub(first), time.Since(began)
	return got
}

// mend mends what is safe to mend.
func mend(p *doctor.Patient) (done []string) {
	for path, mode := range p.Modes {
		if mode.Perm()&0o077 == 0 {
			continue
		}
		if os.Chmod(path, mode.Perm()&^0o077) == nil {
			p.Modes[path] = mode.Perm() &^ 0o077
			done = append(done, "chmod go-rwx "+path)
		}
	}
	slices.Sort(done)
	return done
}

// trySinks sends each sink a test.
func trySinks(ctx context.Context, a *client.Admin) []doctor.Finding {
	blank := doctor.Finding{Check: "test of sinks", Outcome: doctor.OK, Why: "an alert that reaches nobody helps nobody"}
	one := blank
	if a == nil {
		one.Outcome, one.What = doctor.Skipped, "no instance answers"
		return []doctor.Finding{one}
	}
	tried, err := a.TestSinks(ctx)
	switch {
	case err != nil:
		one.Outcome, one.What, one.Fix = doctor.Fail, err.Error(), "headworks status"
		return []doctor.Finding{one}
	case len(tried) == 0:
		one.Outcome, one.What = doctor.Skipped, "there are none"
		return []doctor.Finding{one}
	}
	all := make([]doctor.Finding, len(tried))
	for i, s := range tried {
		all[i] = blank
		all[i].What = s.Sink + " took it"
		if s.Problem != "" {
			all[i].Outcome, all[i].What, all[i].Fix = doctor.Fail, s.Sink+": "+s.Problem, "headworks config explain alerts.sinks."+s.Sink
		}
	}
	return all
}

// pack writes what was found into a zip file. Keys have no secrets, and records no
// content; the file of the configuration, which may hold both, stays where it is.
func pack(file string, p *doctor.Patient, d *diagnosis) (holds []string, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	z := zip.NewWriter(f)
	for _, part := range []struct {
		name string
		v    any
	}{
		{"findings.json", d.Findings},
		{"status.json", p.Status},
		{"alerts.json", p.Alerts},
		{"objectives.json", p.Objectives},
		{"requests.json", p.Recent},
		{"machine.json", map[string]any{"version": p.Version, "disk": p.Disk, "open_files": p.Open, "memory": p.RAM, "settings": p.Settings}},
	} {
		w, err := z.Create(part.name)
		if err == nil {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			err = e.Encode(part.v)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		holds = append(holds, part.name)
	}
	return holds, errors.Join(z.Close(), f.Close())
}
