// Package doctor looks at all that is known of an instance, of its file and of the
// machine it runs on, and says of each thing whether it is well, why that matters and
// how to mend it. It asks nobody: what it looks at was gathered before.
package doctor

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"headworks/internal/alert"
	"headworks/internal/api/admin"
	"headworks/internal/health"
	"headworks/internal/monitor"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Warn    Outcome = "warn"
	Fail    Outcome = "fail"
	Skipped Outcome = "skipped"
)

// Finding is the outcome of one check.
type Finding struct {
	Check   string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	What    string  `json:"what"`
	Why     string  `json:"why"`           // it matters
	Fix     string  `json:"fix,omitempty"` // of what is not well: a command, or what to write
}

// Patient is all that is known. What could not be looked at is nil or zero, and the
// checks of it are skipped.
type Patient struct {
	Now     time.Time
	Version string // of this program

	File     string // of the configuration; empty: there is none
	Problems []string
	Warnings []string
	Settings *Settings // of the file, where it is good

	Data     string
	DataFail string                 // why the data folder cannot be written
	NoData   bool                   // it is not there yet
	Modes    map[string]fs.FileMode // of what nobody else may read
	Future   []string               // files that were changed in the future
	Set      []string               // what was set aside as unreadable

	Disk *Disk
	Open *Limit // files that may be open at once
	RAM  *Limit // bytes that the process may use

	Absent     string // why no instance answers; empty: one does
	Status     *admin.Status
	Alerts     []alert.Alert
	Objectives []monitor.Standing
	Found      []admin.Discovered // what upstreams answered
	Keys       []admin.Key
	Recent     []Request
	Clocks     map[string]time.Duration // by upstream: how far its clock is ahead

	Resolved map[string]string        // by host of the file: why its name has no address; empty: it has
	Ends     map[string]time.Duration // by listener: until its certificate ends
	Taken    map[string]string        // by address that the file names and nobody of ours listens on: who does
	Stream   *Stream
}

// Settings are those of the file that checks look at.
type Settings struct {
	Listen, Admin       string
	TLS, AdminTLS       bool
	InFlight            int
	Cache               int64 // bytes
	Shared              string
	Upstreams           int
	Simulated           int      // of Upstreams
	Unpriced            []string // targets without a price, of upstreams that cost money
	Sinks               int
	Metered             []string // upstreams whose engines tell their load
	Knowledge, Embedder bool     // collections are named; with an embedder of their own
}

// Request is one that ended lately.
type Request struct {
	ID, End, Fault string
	Overhead       time.Duration // ours; -1: not measured
}

// Disk is the room for the data folder.
type Disk struct {
	Free, Total uint64 // bytes
	Daily       uint64 // bytes that were written in the last day; 0: not known
}

// Limit is what may be used of something.
type Limit struct{ Is, Wants uint64 }

// Stream is how an answer of a simulated model came through what stands before the
// instance.
type Stream struct {
	URL    string
	Pieces int           // it came in
	Spread time.Duration // from the first to the last
	Whole  time.Duration // that the engine took
	Failed string
}

type check struct {
	name string
	why  string
	look func(p *Patient) (Outcome, string, string)
}

// Examine runs all checks, in an order that does not change.
func Examine(p *Patient) []Finding {
	all := make([]Finding, 0, len(checks))
	for _, c := range checks {
		outcome, what, fix := c.look(p)
		if outcome == OK || outcome == Skipped {
			fix = ""
		}
		all = append(all, Finding{Check: c.name, Outcome: outcome, What: what, Why: c.why, Fix: fix})
	}
	return all
}

// Worst returns the worst outcome.
func Worst(all []Finding) Outcome {
	worst := OK
	for _, f := range all {
		if f.Outcome == Fail || f.Outcome == Warn && worst == OK {
			worst = f.Outcome
		}
	}
	return worst
}

const mib = 1 << 20

var checks = []check{
	{"configuration", "a file that is not valid is not taken over, and a restart would not start", func(p *Patient) (Outcome, string, string) {
		switch {
		case p.File == "":
			return Skipped, "there is no file: the instance runs without one", ""
		case len(p.Problems) > 0:
			return Fail, fmt.Sprintf("%s has %s: %s", p.File, plural(len(p.Problems), "problem"), p.Problems[0]), "headworks config validate " + p.File
		case len(p.Warnings) > 0:
			return Warn, fmt.Sprintf("%s is valid with %s: %s", p.File, plural(len(p.Warnings), "warning"), p.Warnings[0]), "headworks config validate " + p.File
		}
		return OK, p.File + " is valid", ""
	}},
	{"instance", "without an instance nobody is served", func(p *Patient) (Outcome, string, string) {
		switch {
		case p.Status == nil:
			return Warn, cmp.Or(p.Absent, "no instance answers"), "headworks up, or headworks serve --config " + cmp.Or(p.File, "headworks.yaml")
		case p.Status.Status != "ok":
			return Warn, "the instance is " + p.Status.Status, "wait until it is gone, then start it again"
		}
		return OK, fmt.Sprintf("%s serves since %s", p.Status.BaseURL, p.Status.Since.UTC().Format(time.RFC3339)), ""
	}},
	{"version", "commands and instance understand each other where they are of one version", func(p *Patient) (Outcome, string, string) {
		switch {
		case p.Status == nil:
			return skipped()
		case p.Status.Version != p.Version:
			return Warn, fmt.Sprintf("the instance is %s, this command %s", p.Status.Version, p.Version), "restart the instance with this program"
		}
		return OK, p.Version, ""
	}},
	{"generation", "what is in the file should be what serves", func(p *Patient) (Outcome, string, string) {
		if p.Status == nil {
			return skipped()
		}
		if a := firing(p, "reload"); a != nil {
			return Fail, a.Title + ": " + a.Cause, a.Next
		}
		return OK, fmt.Sprintf("generation %d serves", p.Status.Generation), ""
	}},
	{"data folder", "keys, ledger and records are kept there", func(p *Patient) (Outcome, string, string) {
		if p.DataFail != "" {
			return Fail, p.Data + ": " + p.DataFail, "mkdir -p " + p.Data + " && chown $(id -u) " + p.Data
		}
		if p.NoData {
			return Skipped, p.Data + " is made by the first start", ""
		}
		return OK, p.Data + " can be written", ""
	}},
	{"file modes", "whoever reads them has all keys, or is an operator", func(p *Patient) (Outcome, string, string) {
		var open []string
		for name, mode := range p.Modes {
			if mode.Perm()&0o077 != 0 {
				open = append(open, name)
			}
		}
		if len(open) > 0 {
			slices.Sort(open)
			return Fail, "others may read " + strings.Join(open, ", "), "chmod go-rwx " + strings.Join(open, " ")
		}
		if len(p.Modes) == 0 {
			return Skipped, "there is nothing yet", ""
		}
		return OK, plural(len(p.Modes), "file") + " for the owner alone", ""
	}},
	{"ports", "an address that another program has cannot be listened on", func(p *Patient) (Outcome, string, string) {
		for _, addr := range sorted(p.Taken) {
			return Fail, addr + " is taken by " + cmp.Or(p.Taken[addr], "another program"), "end it, or choose another address with --listen"
		}
		if p.Settings == nil && p.Status == nil {
			return Skipped, "no address is known", ""
		}
		return OK, "the addresses are ours or free", ""
	}},
	{"exposure", "keys that cross a network unencrypted are read on the way", func(p *Patient) (Outcome, string, string) {
		if p.Settings == nil {
			return Skipped, unread(p, "there is no file; without one it listens on loopback alone"), ""
		}
		if s := p.Settings; !loopback(s.Listen) && !s.TLS {
			return Warn, s.Listen + " is reached from outside and not encrypted", "write tls: {cert: ..., key: ...}, or have what stands before it do so: headworks docs howto/serve-over-tls"
		}
		return OK, p.Settings.Listen + " is on loopback or encrypted", ""
	}},
	{"admin exposure", "whoever reaches the admin API with its token can do everything", func(p *Patient) (Outcome, string, string) {
		if p.Settings == nil {
			return Skipped, unread(p, "there is no file; without one it listens on loopback alone"), ""
		}
		if s := p.Settings; !loopback(s.Admin) && !s.AdminTLS {
			return Fail, s.Admin + " is reached from outside and not encrypted", "write admin: {listen: 127.0.0.1:7301}, or admin.tls"
		}
		return OK, p.Settings.Admin + " is on loopback or encrypted", ""
	}},
	{"clock", "keys expire, budgets renew and tokens of clouds hold by the clock", func(p *Patient) (Outcome, string, string) {
		if len(p.Future) > 0 {
			return Fail, "files were changed in the future: " + strings.Join(p.Future, ", "), "set the clock: timedatectl set-ntp true"
		}
		for _, u := range sorted(p.Clocks) {
			if off := p.Clocks[u].Abs(); off > 30*time.Second {
				return Warn, fmt.Sprintf("the clock of %s is %s away", u, off.Round(time.Second)), "set the clock of the machine that is wrong: timedatectl set-ntp true"
			}
		}
		return OK, "nothing is in the future", ""
	}},
	{"disk", "where nothing can be written down no work begins", func(p *Patient) (Outcome, string, string) {
		if p.Disk == nil {
			return Skipped, "the disk cannot be asked", ""
		}
		left := fmt.Sprintf("%d MiB are free", p.Disk.Free/mib)
		days := uint64(1 << 62)
		if p.Disk.Daily > 0 {
			days = p.Disk.Free / p.Disk.Daily
			left += fmt.Sprintf(", %d days at this rate", days)
		}
		switch {
		case p.Disk.Free < 128*mib:
			return Fail, left, "make room on the disk of " + p.Data
		case p.Disk.Free < 2048*mib, days < 7:
			return Warn, left, "make room on the disk of " + p.Data
		}
		return OK, left, ""
	}},
	{"open files", "each connection takes one", func(p *Patient) (Outcome, string, string) {
		if p.Open == nil {
			return Skipped, "the limit is not known", ""
		}
		if p.Open.Is < p.Open.Wants {
			return Warn, fmt.Sprintf("%d may be open, %d would be at limits.in_flight", p.Open.Is, p.Open.Wants), fmt.Sprintf("ulimit -n %d, or LimitNOFILE=%d in the unit", p.Open.Wants, p.Open.Wants)
		}
		return OK, fmt.Sprintf("%d may be open", p.Open.Is), ""
	}},
	{"memory", "a process over its limit is killed", func(p *Patient) (Outcome, string, string) {
		if p.RAM == nil {
			return Skipped, "there is no limit", ""
		}
		if p.RAM.Is < p.RAM.Wants {
			return Warn, fmt.Sprintf("%d MiB may be used, the caches and 256 MiB beside them are %d", p.RAM.Is/mib, p.RAM.Wants/mib), "raise the limit, or write cache: {memory: 64MiB}"
		}
		return OK, fmt.Sprintf("%d MiB may be used", p.RAM.Is/mib), ""
	}},
	{"names", "an upstream whose name has no address is not reached", func(p *Patient) (Outcome, string, string) {
		for _, host := range sorted(p.Resolved) {
			if why := p.Resolved[host]; why != "" {
				return Fail, host + ": " + why, "mend the name in the file, or the resolver: getent hosts " + host
			}
		}
		if len(p.Resolved) == 0 {
			return Skipped, "there are no names", ""
		}
		return OK, plural(len(p.Resolved), "name") + " found", ""
	}},
	{"certificates", "a certificate that ended is refused by clients", func(p *Patient) (Outcome, string, string) {
		for _, name := range sorted(p.Ends) {
			switch left := p.Ends[name]; {
			case left <= 0:
				return Fail, name + ".cert has ended", "renew it; the instance reads it by itself"
			case left < 14*24*time.Hour:
				return Warn, fmt.Sprintf("%s.cert ends in %d days", name, left/(24*time.Hour)), "renew it; the instance reads it by itself"
			}
		}
		if len(p.Ends) == 0 {
			return Skipped, "nothing is encrypted here", ""
		}
		return OK, "they hold for two weeks or more", ""
	}},
	{"upstreams", "an upstream that does not answer serves nobody", func(p *Patient) (Outcome, string, string) {
		if p.Status == nil {
			return skipped()
		}
		for _, u := range p.Status.Upstreams {
			out := 0
			why := ""
			for _, r := range u.Replicas {
				if !r.Up && r.Why != health.Drained {
					out++
					why = r.Why
				}
			}
			switch {
			case len(u.Replicas) == 0:
				return Fail, u.Name + " has no replica", "headworks status"
			case out == len(u.Replicas):
				return Fail, u.Name + " gets no requests: " + why, "headworks status"
			case out > 0:
				return Warn, fmt.Sprintf("%d of %d replicas of %s get no requests: %s", out, len(u.Replicas), u.Name, why), "headworks status"
			}
		}
		return OK, plural(len(p.Status.Upstreams), "upstream") + " up", ""
	}},
	{"credentials", "an upstream that refuses its credential serves nobody", func(p *Patient) (Outcome, string, string) {
		if p.Found == nil {
			return skipped()
		}
		for _, f := range p.Found {
			if strings.Contains(f.Problem, "credential") || strings.Contains(f.Problem, "401") || strings.Contains(f.Problem, "403") {
				return Fail, f.Upstream + ": " + f.Problem, "replace upstreams." + f.Upstream + ".key"
			}
		}
		for _, f := range p.Found {
			if f.Problem != "" {
				return Warn, f.Upstream + " gives no list of models: " + f.Problem, "headworks models --discover " + f.Upstream
			}
		}
		return OK, plural(len(p.Found), "upstream") + " answered", ""
	}},
	{"models", "a target whose upstream does not know the model answers nobody", func(p *Patient) (Outcome, string, string) {
		if p.Found == nil || p.Status == nil {
			return skipped()
		}
		has := map[string][]string{}
		for _, f := range p.Found {
			if f.Problem == "" && len(f.Models) > 0 {
				has[f.Upstream] = f.Models
			}
		}
		for _, m := range p.Status.Models {
			for _, target := range m.Targets {
				upstream, model, _ := strings.Cut(target, "/")
				if list, ok := has[upstream]; ok && !slices.Contains(list, model) {
					return Warn, fmt.Sprintf("%s is not among the models of %s, which %s asks for", model, upstream, m.Name), "headworks models --discover " + upstream
				}
			}
		}
		return OK, plural(len(p.Status.Models), "model"), ""
	}},
	{"real models", "simulated models and quotes answer nothing of their own", func(p *Patient) (Outcome, string, string) {
		if p.Status == nil {
			return skipped()
		}
		for _, u := range p.Status.Upstreams {
			if !u.Simulated && u.Kind != "local-extract" && u.Kind != "local-embed" {
				return OK, u.Name + " is one", ""
			}
		}
		return Warn, "there are only built-in models", "start Ollama, or set a provider's key: headworks docs howto/add-a-real-model"
	}},
	{"streaming", "a proxy that gathers a stream before it passes it on makes every answer slow", func(p *Patient) (Outcome, string, string) {
		s := p.Stream
		switch {
		case s == nil:
			return Skipped, "there is no simulated model to ask for nothing", ""
		case s.Failed != "":
			return Fail, s.URL + ": " + s.Failed, "headworks status"
		case s.Pieces < 3 || s.Whole > 0 && s.Spread < s.Whole/4:
			return Fail, fmt.Sprintf("%s gave a stream in %d pieces within %s, which took %s to make", s.URL, s.Pieces, s.Spread.Round(time.Millisecond), s.Whole.Round(time.Millisecond)), "switch buffering off in what stands before it (nginx: proxy_buffering off)"
		}
		return OK, fmt.Sprintf("a stream came in %d pieces", s.Pieces), ""
	}},
	{"load metrics", "engines whose load is not known get requests by own counts alone", func(p *Patient) (Outcome, string, string) {
		if p.Status == nil || p.Settings == nil || len(p.Settings.Metered) == 0 {
			return Skipped, "no upstream tells its load", ""
		}
		var silent []string
		for _, u := range p.Status.Upstreams {
			if slices.Contains(p.Settings.Metered, u.Name) && !slices.ContainsFunc(u.Replicas, func(r admin.Replica) bool { return r.Engine != nil }) {
				silent = append(silent, u.Name)
			}
		}
		if len(silent) > 0 {
			return Warn, strings.Join(silent, ", ") + " does not tell its load", "headworks docs howto/watch-engines"
		}
		return OK, plural(len(p.Settings.Metered), "upstream") + " told", ""
	}},
	{"shared store", "gateways that lose it share nothing until it is back", func(p *Patient) (Outcome, string, string) {
		if p.Settings == nil || p.Settings.Shared == "" || p.Settings.Shared == "none" {
			return Skipped, "nothing is shared", ""
		}
		if p.Status == nil {
			return skipped()
		}
		if a := firing(p, "shared"); a != nil {
			return Warn, a.Title + ": " + a.Cause, a.Next
		}
		return OK, "it answers", ""
	}},
	{"records", "requests whose record is lost cannot be explained", func(p *Patient) (Outcome, string, string) {
		switch {
		case len(p.Set) > 0:
			return Warn, "set aside as unreadable: " + strings.Join(p.Set, ", "), "keep them for a look, then remove them"
		case p.Status == nil:
			return skipped()
		case p.Status.Dropped > 0:
			return Warn, fmt.Sprintf("%d records were lost since the start", p.Status.Dropped), "look whether the disk is slow or full: headworks doctor shows the room"
		}
		return OK, "none was lost", ""
	}},
	{"prices", "what has no price costs nothing in the ledger, and no budget holds it", func(p *Patient) (Outcome, string, string) {
		if p.Settings == nil {
			return Skipped, unread(p, "there is no file"), ""
		}
		if len(p.Settings.Unpriced) > 0 {
			return Warn, "without a price: " + strings.Join(p.Settings.Unpriced, ", "), "write price: {input: ..., output: ...} at the target"
		}
		return OK, "every target that costs money has one", ""
	}},
	{"budgets", "a key whose budget is spent is refused", func(p *Patient) (Outcome, string, string) {
		if p.Status == nil {
			return skipped()
		}
		if refused := count(p.Recent, func(r Request) bool { return r.Fault == "quota" }); refused > 0 {
			return Warn, fmt.Sprintf("%d of the last %d requests were refused for a spent budget", refused, len(p.Recent)), "headworks keys list"
		}
		return OK, "none was refused for one", ""
	}},
	{"keys", "a key that nobody needs is one more that may leak", func(p *Patient) (Outcome, string, string) {
		if p.Status == nil {
			return skipped()
		}
		var soon []string
		for _, k := range p.Keys {
			if k.Revoked.IsZero() && !k.Expires.IsZero() && k.Expires.After(p.Now) && k.Expires.Sub(p.Now) < 7*24*time.Hour {
				soon = append(soon, k.Name)
			}
		}
		if len(soon) > 0 {
			return Warn, "they expire within a week: " + strings.Join(soon, ", "), "headworks keys create, and give the applications the new one"
		}
		return OK, plural(len(p.Keys), "key"), ""
	}},
	{"sinks", "an alert that reaches nobody helps nobody", func(p *Patient) (Outcome, string, string) {
		for i := range p.Alerts {
			if a := &p.Alerts[i]; strings.HasPrefix(a.Fingerprint, "sink:") {
				return Fail, a.Title + ": " + a.Cause, "headworks config explain alerts.sinks"
			}
		}
		if p.Settings == nil || p.Settings.Sinks == 0 {
			return Warn, "nobody is told of alerts", "write alerts: {sinks: {...}}: headworks docs howto/alerts"
		}
		return OK, plural(p.Settings.Sinks, "sink"), ""
	}},
	{"overhead", "time that is ours is time that every caller waits", func(p *Patient) (Outcome, string, string) {
		var took []time.Duration
		for _, r := range p.Recent {
			if r.Overhead >= 0 && r.End == "ok" {
				took = append(took, r.Overhead)
			}
		}
		if len(took) < 20 {
			return Skipped, "fewer than 20 requests were answered lately", ""
		}
		slices.Sort(took)
		p99 := took[len(took)*99/100]
		what := fmt.Sprintf("p99 %s of the last %d requests", p99, len(took))
		if p99 > 20*time.Millisecond {
			return Warn, what, "look for a busy processor or a slow disk: top, iostat"
		}
		return OK, what, ""
	}},
	{"alerts", "what fires deserves attention", func(p *Patient) (Outcome, string, string) {
		if p.Status == nil {
			return skipped()
		}
		for i := range p.Alerts {
			if a := &p.Alerts[i]; a.Silenced == "" {
				outcome := Warn
				if a.Severity == alert.Page || a.Urgency == "page" {
					outcome = Fail
				}
				return outcome, a.Title, a.Next
			}
		}
		return OK, "nothing fires", ""
	}},
}

// unread says why nothing is known of the file.
func unread(p *Patient, none string) string {
	if p.File != "" {
		return "the file is not valid"
	}
	return none
}

func skipped() (Outcome, string, string) { return Skipped, "no instance answers", "" }

// firing returns the alert whose fingerprint begins so.
func firing(p *Patient, fingerprint string) *alert.Alert {
	for i := range p.Alerts {
		if strings.HasPrefix(p.Alerts[i].Fingerprint, fingerprint) {
			return &p.Alerts[i]
		}
	}
	return nil
}

func count(all []Request, is func(Request) bool) (n int) {
	for _, r := range all {
		if is(r) {
			n++
		}
	}
	return n
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// loopback reports whether an address to listen on is reached from this machine alone.
func loopback(addr string) bool {
	host := addr
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		host = strings.Trim(addr[:i], "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
