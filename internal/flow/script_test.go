package flow

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"headworks/internal/admit"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// TestScripts plays the files of testdata, whose README says how they read.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScript()
			for i, line := range strings.Split(string(text), "\n") {
				if err := s.line(line); err != nil {
					t.Fatalf("%s:%d: %v", file, i+1, err)
				}
			}
			if err := s.end(); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		})
	}
}

// script is a world, and the requests that live in it.
type script struct {
	p     *Policy
	fleet *fleet.Snapshot
	keys  map[string]*tenant.Caller
	lives map[string]*scripted
	now   time.Time
}

// scripted is a request, and what its driver knows of it.
type scripted struct {
	t                     *Ticket
	progress, said, wrote time.Time
}

func newScript() *script {
	return &script{
		p: NewPolicy(admit.Limits{}), fleet: &fleet.Snapshot{}, now: start,
		keys: map[string]*tenant.Caller{"": {}}, lives: map[string]*scripted{},
	}
}

// words are what a line says behind its first words: bare ones, and some with a
// value.
type words struct {
	bare   []string
	valued map[string]string
	err    error
}

func readWords(fields []string) *words {
	w := &words{valued: map[string]string{}}
	for _, f := range fields {
		if name, value, ok := strings.Cut(f, "="); ok {
			w.valued[name] = value
		} else {
			w.bare = append(w.bare, f)
		}
	}
	return w
}

// has reports whether a bare word is there, and takes it.
func (w *words) has(word string) bool {
	i := slices.Index(w.bare, word)
	if i >= 0 {
		w.bare = slices.Delete(w.bare, i, i+1)
	}
	return i >= 0
}

func (w *words) next() string {
	if len(w.bare) == 0 {
		w.err = cmp.Or(w.err, fmt.Errorf("a word is missing"))
		return ""
	}
	defer func() { w.bare = w.bare[1:] }()
	return w.bare[0]
}

func (w *words) text(name string) string {
	defer delete(w.valued, name)
	return w.valued[name]
}

func (w *words) number(name string, or int) int {
	text := w.text(name)
	if text == "" {
		return or
	}
	n, err := strconv.Atoi(text)
	w.err = cmp.Or(w.err, err)
	return n
}

func (w *words) time(name string, or time.Duration) time.Duration {
	text := w.text(name)
	if text == "" {
		return or
	}
	d, err := time.ParseDuration(text)
	w.err = cmp.Or(w.err, err)
	return d
}

// over returns what was wrong with the words, or what nobody asked for.
func (w *words) over() error {
	for name := range w.valued {
		w.bare = append(w.bare, name+"=")
	}
	if w.err == nil && len(w.bare) > 0 {
		return fmt.Errorf("nobody knows what %q means here", w.bare)
	}
	return w.err
}

func (s *script) line(line string) error {
	line, _, _ = strings.Cut(line, "#")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil
	}
	if at, err := time.ParseDuration(fields[0]); err == nil {
		if start.Add(at).Before(s.now) {
			return fmt.Errorf("%v is in the past", at)
		}
		s.now = start.Add(at)
		return s.happens(line)
	}
	w := readWords(fields[1:])
	switch fields[0] {
	case "upstream":
		u := fleet.Upstream{Name: w.next()}
		for len(w.bare) > 0 {
			u.Replicas = append(u.Replicas, fleet.Replica{ID: fleet.ReplicaID(s.fleet.Replicas), Upstream: len(s.fleet.Upstreams), Name: w.next()})
			s.fleet.Replicas++
		}
		s.fleet.Upstreams = append(s.fleet.Upstreams, u)
	case "model":
		m := fleet.Model{Name: w.next(), Tries: w.number("tries", 2)}
		if w.has("weighted") {
			m.Policy = fleet.Weighted
		}
		_, m.Timeouts.FirstTokenSet = w.valued["first_token"]
		m.Timeouts.FirstToken = w.time("first_token", time.Minute)
		m.Timeouts.Idle = w.time("idle", 30*time.Second)
		m.Timeouts.Total = w.time("total", 10*time.Minute)
		s.fleet.Models = append(s.fleet.Models, m)
	case "target":
		name := w.next()
		u := slices.IndexFunc(s.fleet.Upstreams, func(u fleet.Upstream) bool { return u.Name == name })
		if u < 0 || len(s.fleet.Models) == 0 {
			return fmt.Errorf("a target is of an upstream %q and of a model, both named before", name)
		}
		m := &s.fleet.Models[len(s.fleet.Models)-1]
		m.Targets = append(m.Targets, fleet.Target{Upstream: u, Model: "m", Window: w.number("window", 0), Weight: w.number("weight", 0)})
	case "limits":
		s.p.Gate.Limits = admit.Limits{InFlight: w.number("in_flight", 0), Queue: w.number("queue", 0)}
	case "key":
		c := &tenant.Caller{Slot: len(s.keys), Key: w.next()}
		c.Tier.Concurrency = w.number("concurrency", 0)
		for class, text := tenant.Critical, w.text("class"); class <= tenant.Batch; class++ {
			if class.String() == text {
				c.Tier.Class = class
			}
		}
		if models := w.text("models"); models != "" {
			c.Models = strings.Split(models, ",")
		}
		s.keys[c.Key] = c
	default:
		return fmt.Errorf("%q is neither a moment nor part of the world", fields[0])
	}
	return w.over()
}

// happens plays a line that tells what happens and what is to be done.
func (s *script) happens(line string) error {
	what, want, ok := strings.Cut(line, "->")
	fields := strings.Fields(what)
	if want = strings.TrimSpace(want); !ok || want == "" || len(fields) < 2 {
		return fmt.Errorf("want WHEN WHO WHAT -> ACTION")
	}
	if strings.Contains(fields[1], "/") {
		return s.stands(fields[1], want)
	}
	if len(fields) < 3 {
		return fmt.Errorf("what happens to %s?", fields[1])
	}
	w := readWords(fields[3:])
	l := s.lives[fields[1]]
	if l == nil {
		var err error
		if l, err = s.begin(fields[1], w); err != nil {
			return err
		}
	}
	ev := Event{Kind: eventKinds}
	for k := range eventKinds {
		if k.String() == fields[2] {
			ev.Kind = k
		}
	}
	switch ev.Kind {
	case eventKinds:
		return fmt.Errorf("%q is no event", fields[2])
	case Failed:
		name := w.next()
		i := slices.IndexFunc(fault.Kinds(), func(k fault.Kind) bool { return k.String() == name })
		if i < 0 {
			return fmt.Errorf("%q is no kind of failure", name)
		}
		ev.Fault = fault.New(fault.Kinds()[i], "the script says so")
		ev.Fault.After = w.time("after", 0)
	case Quiet:
		for name, moment := range map[string]*time.Time{"progress": &l.progress, "said": &l.said, "wrote": &l.wrote} {
			if _, said := w.valued[name]; said {
				*moment = start.Add(w.time(name, 0))
			}
		}
		ev.Progress, ev.Said, ev.Wrote = l.progress, l.said, l.wrote
	case Content, Unseen:
		l.progress, l.said = s.now, s.now
	}
	if err := w.over(); err != nil {
		return err
	}
	a := s.p.Step(l.t, ev, s.fleet, s.now)
	switch {
	case a.Kind == Send:
		l.progress, l.said = time.Time{}, time.Time{}
	case a.Kind == Commit, a.Kind == Open, a.Kind == Alive, a.Kind == Read && ev.Kind == Content:
		l.wrote = s.now
	}
	got, why := s.tell(l.t, a)
	return match(want, got, why)
}

// begin makes a request of what its first line says.
func (s *script) begin(name string, w *words) (*scripted, error) {
	if len(s.fleet.Models) == 0 {
		return nil, fmt.Errorf("no model so far")
	}
	key := w.text("key")
	c := s.keys[key]
	if c == nil {
		return nil, fmt.Errorf("no key is called %q", key)
	}
	l := &scripted{t: &Ticket{}}
	s.p.Begin(l.t, &inference.Request{
		ID:        inference.NewID(s.now, 0, uint64(len(s.lives))),
		Model:     cmp.Or(w.text("model"), s.fleet.Models[0].Name),
		Models:    strings.FieldsFunc(w.text("models"), func(r rune) bool { return r == ',' }),
		Stream:    !w.has("whole"),
		Input:     w.number("input", 0),
		MaxTokens: w.number("max_tokens", 0),
		Session:   uint64(w.number("session", 0)),
	}, c, named(name))
	s.lives[name] = l
	return l, nil
}

// named is the driver of a request: a name to tell it by.
type named string

func (named) Grant() {}

// tell returns the words for an action, and its reason.
func (s *script) tell(t *Ticket, a Action) (words []string, why string) {
	words = []string{a.Kind.String()}
	switch {
	case a.Kind == Send:
		words = append(words, s.fleet.Upstreams[a.Replica.Upstream].Name+"/"+a.Replica.Name)
		why = t.Why + "; " + t.Attempts[t.Tries-1].Why
	case a.Kind == Done && a.Fault == nil:
		words = append(words, "ok")
	case a.Kind == Done:
		words = append(words, a.Fault.Kind.String())
		if a.Fault.After > 0 {
			words = append(words, "after="+a.Fault.After.String())
		}
		why = t.Left + "; " + a.Fault.Error()
	}
	if !a.Until.IsZero() {
		words = append(words, "until="+a.Until.Sub(start).String())
	}
	if a.Wake != nil {
		words = append(words, "wakes="+string(a.Wake.Owner.(named)))
	}
	return words, why
}

// match compares what a script wants with an action and its reason.
func match(want string, got []string, why string) error {
	want, reason, _ := strings.Cut(want, ":")
	wrong := fmt.Errorf("got %s: %s", strings.Join(got, " "), why)
	patterns := strings.Fields(want)
	if len(patterns) == 1 && (patterns[0] == "send" || patterns[0] == "done") {
		return fmt.Errorf("say more than %q; %w", patterns[0], wrong)
	}
	for i, pattern := range patterns {
		if name, value, _ := strings.Cut(pattern, "="); value != "" {
			if d, err := time.ParseDuration(value); err == nil {
				pattern = name + "=" + d.String() // 76s is 1m16s
			}
		}
		ok := slices.ContainsFunc(got, func(word string) bool {
			ok, err := path.Match(pattern, word)
			return err == nil && ok
		})
		if !ok || i == 0 && pattern != got[0] {
			return wrong
		}
	}
	if !strings.Contains(why, strings.TrimSpace(reason)) {
		return wrong
	}
	return nil
}

// stands compares how a replica stands.
func (s *script) stands(name, want string) error {
	upstream, replica, _ := strings.Cut(name, "/")
	for _, u := range s.fleet.Upstreams {
		for _, r := range u.Replicas {
			if u.Name != upstream || r.Name != replica {
				continue
			}
			st := s.p.Health.Of(r.ID, "", s.now)
			got := cmp.Or(st.Why, map[bool]string{true: "half open", false: "up"}[st.Probe])
			if got != want {
				return fmt.Errorf("%s is %s", name, got)
			}
			return nil
		}
	}
	return fmt.Errorf("no replica is called %s", name)
}

// end returns what is left over.
func (s *script) end() error {
	for name, l := range s.lives {
		if l.t.state != ended {
			return fmt.Errorf("%s is still %v", name, l.t.state)
		}
	}
	for id := range s.p.rows {
		if n := s.p.Load(fleet.ReplicaID(id)); n != (Load{}) {
			return fmt.Errorf("replica %d has %+v in flight for ever", id, n)
		}
	}
	if s.p.Retries() != 0 || s.p.Gate.InFlight() != 0 || s.p.Gate.Waiting() != 0 {
		return fmt.Errorf("%d second tries, %d inside and %d that wait are left over", s.p.Retries(), s.p.Gate.InFlight(), s.p.Gate.Waiting())
	}
	return nil
}

// TestScriptNotices plays lines that are wrong.
func TestScriptNotices(t *testing.T) {
	const world = "upstream local a\nmodel assistant\ntarget local\n"
	for script, want := range map[string]string{
		"engine local":                            "neither",
		"upstream":                                "a word is missing",
		"model assistant tries=two":               "invalid syntax",
		"model assistant idel=2s":                 "idel=",
		"target cloud":                            `"cloud"`,
		"0s r1 arrived":                           "want WHEN",
		"0s r1 arrived ->":                        "want WHEN",
		"0s r1 -> read":                           "what happens to r1?",
		"0s r1 comes -> read":                     "no event",
		"0s r1 arrived key=k -> read":             "no key",
		"0s r1 arrived fast -> send local/a":      "fast",
		"0s r1 arrived -> send":                   "say more",
		"0s r1 arrived -> send local/b":           "got send local/a until=20s: first in order; the only one",
		"0s r1 arrived -> read":                   "got send",
		"0s r1 arrived -> until=20s send local/a": "got send",
		"0s r1 arrived -> send local/a: fell":     "got send",
		"0s r1 arrived -> send local/a\n0s r1 failed badly -> read":             "no kind",
		"9s r1 arrived -> send local/a\n1s r1 finished -> done ok":              "in the past",
		"0s r1 arrived -> send local/a\n0s r1 left -> done ok":                  "got done client_closed",
		"0s r1 arrived -> send local/a\n0s r1 content -> commit":                "r1 is still committed",
		"0s local/a -> half open":                                               "local/a is up",
		"0s local/b -> up":                                                      "no replica",
		"0s r1 arrived -> send local/* until=20s: only\n0s r1 left -> done cl*": "",
	} {
		s := newScript()
		var err error
		for line := range strings.Lines(world + script) {
			if err = s.line(line); err != nil {
				break
			}
		}
		if err == nil {
			err = s.end()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %v", script, err, want)
		}
	}
}
