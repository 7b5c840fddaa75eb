package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"headworks/internal/fault"
	"headworks/internal/record"
)

// recorded is a stream as an upstream sends it.
type recorded struct {
	name     string
	dialect  string
	events   []string
	n        int // choices
	finished int // events after which every choice has finished
}

func (r *recorded) terminal() string { return r.events[len(r.events)-1] }

// model returns the name of the model that such a stream comes from.
func (r *recorded) model() string {
	if r.dialect == "openai" {
		return "chat"
	}
	return "messages"
}

var finish = regexp.MustCompile(`"(finish_reason|stop_reason)": ?"`)

// streams loads all that are recorded, of both dialects.
func streams(t *testing.T) []*recorded {
	t.Helper()
	var all []*recorded
	for _, dialect := range []string{"openai", "anthropic"} {
		for _, pattern := range []string{"../internal/dialect/%s/testdata/streams/*.sse", "../internal/engine/enginetest/testdata/%s/*.sse"} {
			files, err := filepath.Glob(fmt.Sprintf(pattern, dialect))
			if err != nil || len(files) == 0 {
				t.Fatalf("%v, %d streams of %s", err, len(files), dialect)
			}
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				r := &recorded{name: file, dialect: dialect, n: 1}
				r.events = slices.DeleteFunc(strings.SplitAfter(string(b), "\n\n"), func(e string) bool { return e == "" })
				if strings.Contains(string(b), `"index":1,"delta":{"role"`) {
					r.n = 2
				}
				left := r.n
				for i, e := range r.events {
					if finish.MatchString(e) {
						if left--; left == 0 {
							r.finished = i + 1
						}
					}
				}
				if r.finished == 0 {
					t.Fatalf("%s never finishes", file)
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// failure is how an upstream breaks off: what it still sends, and what it does
// with the connection.
type failure struct {
	name string
	send func(r *recorded, next string) string // next is the event that would follow
	then func(*asked) bool                     // nil ends the message properly
	// told is whether the bytes themselves say that the answer failed.
	told bool
}

var (
	nothing  = func(*recorded, string) string { return "" }
	failures = []failure{
		{"clean end", nothing, nil, false},
		{"closed", nothing, func(*asked) bool { return false }, false},
		{"reset", nothing, (*asked).reset, false},
		{"stall", nothing, (*asked).untilGone, false},
		{"terminal alone", func(r *recorded, _ string) string { return r.terminal() }, nil, false},
		{"no last blank line", func(_ *recorded, next string) string { return strings.TrimSuffix(next, "\n") }, nil, false},
		{"malformed event", func(r *recorded, _ string) string {
			if r.dialect == "openai" {
				return "data: {\"id\":\n\n"
			}
			return "event: content_block_delta\ndata: {\"type\":\n\n"
		}, nil, true},
		{"error event", func(r *recorded, _ string) string {
			if r.dialect == "openai" {
				return `data: {"error":{"message":"SECRET","type":"server_error","code":500}}` + "\n\n" + r.terminal()
			}
			return "event: error\ndata: " + `{"type":"error","error":{"type":"api_error","message":"SECRET"}}` + "\n\n" + r.terminal()
		}, nil, true},
		{"field error", func(r *recorded, _ string) string {
			return `error: {"code":500,"message":"SECRET"}` + "\n\n" + r.terminal()
		}, nil, true},
	}
)

// cut is one answer that breaks off.
type cut struct {
	*recorded
	failure
	after  int // events that are sent
	inside int // bytes of the next that are
	spare  bool
	surface
	golden *golden
}

func (c *cut) String() string {
	return fmt.Sprintf("%s to a client of %s, %s after event %d and %d bytes, spare %v", c.recorded.name, c.surface.name, c.failure.name, c.after, c.inside, c.spare)
}

// sent is what the upstream sends of the recorded stream.
func (c *cut) sent() string {
	s := strings.Join(c.events[:c.after], "")
	if c.inside > 0 {
		s += c.events[c.after][:c.inside]
	}
	return s
}

// whole reports whether the answer is there, though its end is not.
func (c *cut) whole() bool { return c.after >= c.finished }

// model is the one that the client asks for: a stall is waited for only where it
// is not the engine that ends the answer.
func (c *cut) model() string {
	m := c.recorded.model()
	if c.spare {
		m += "+spare"
	}
	if c.failure.name == "stall" && !c.whole() {
		m = "quick/" + m
	}
	return m
}

// golden is what a client gets of a stream that nothing happens to.
type golden struct {
	events  []string // normalised, the terminal left out
	content map[string]string
}

// cuts returns every way in which the streams can break off.
func cuts(all []*recorded, golden map[string]*golden, inside []float64) []*cut {
	var cs []*cut
	for _, r := range all {
		for _, s := range surfaces {
			g := golden[r.dialect+r.name+s.name]
			if g == nil {
				continue
			}
			add := func(c cut) {
				c.recorded, c.surface, c.golden = r, s, g
				cs = append(cs, &c)
			}
			for after := range r.events {
				for _, f := range failures {
					add(cut{failure: f, after: after})
					if s.name == r.dialect {
						add(cut{failure: f, after: after, spare: true})
					}
				}
				for _, share := range inside {
					size := max(1, int(share*float64(len(r.events[after])-1)))
					for _, f := range failures[:5] {
						add(cut{failure: f, after: after, inside: size})
					}
				}
			}
		}
	}
	return cs
}

// TestCutStreams breaks every recorded stream after every event and inside of it,
// in every way, for both surfaces. Whatever happens, the client gets the beginning
// of the content and one ending, and only what is whole is a success.
func TestCutStreams(t *testing.T) {
	t.Parallel()
	var cases []*cut
	all := streams(t)
	l := newLab(t, func(r *asked) bool {
		if strings.Contains(r.body, "golden") {
			return r.send(sseHead + chunks(all[number(t, r)].events...) + chunksEnd)
		}
		c := cases[number(t, r)]
		next := ""
		if c.inside == 0 {
			next = c.events[c.after]
		}
		if !r.send(sseHead + chunks(c.sent(), c.send(c.recorded, next))) {
			return false
		}
		if c.then != nil {
			return c.then(r)
		}
		return r.send(chunksEnd)
	}, func(r *asked) bool {
		return r.send(sseHead + chunks(cases[number(t, r)].events...) + chunksEnd)
	})
	goldens := map[string]*golden{}
	for i, r := range all {
		for _, s := range surfaces {
			if s.name == r.dialect || r.n == 1 {
				goldens[r.dialect+r.name+s.name] = l.golden(t, r, s, fmt.Sprintf("golden case %d", i))
			}
		}
	}
	inside := []float64{0.5, 1}
	if slow() {
		inside = inside[1:]
	}
	cases = cuts(all, goldens, inside)
	t.Logf("%d streams, %d cuts", len(all), len(cases))
	next := make(chan int)
	var workers sync.WaitGroup
	for range 128 {
		workers.Go(func() {
			c := &client{addr: l.addr}
			defer c.close()
			for i := range next {
				k := cases[i]
				l.check(t, k, c.do(k.path, k.body(k.model(), fmt.Sprintf("case %d", i), true, k.n)))
			}
		})
	}
	for i := range cases {
		next <- i
	}
	close(next)
	workers.Wait()
}

var caseNumber = regexp.MustCompile(`case (\d+)`)

// number returns which case a request belongs to: it stands in what the user says.
func number(t *testing.T, r *asked) int {
	var i int
	if m := caseNumber.FindStringSubmatch(r.body); m == nil {
		t.Errorf("a request of nobody: %s", r.body)
	} else if _, err := fmt.Sscan(m[1], &i); err != nil {
		t.Error(err)
	}
	return i
}

// golden lets a stream through and checks that it arrives as it is.
func (l *lab) golden(t *testing.T, r *recorded, s surface, word string) *golden {
	t.Helper()
	c := &client{addr: l.addr}
	defer c.close()
	got := c.do(s.path, s.body(r.model(), word, true, r.n))
	if got.status != 200 || got.err != nil {
		t.Fatalf("%s: %d %s %v", r.name, got.status, got.body, got.err)
	}
	sent := strings.ReplaceAll(strings.Join(r.events[:len(r.events)-1], ""), `,"error":null`, "")
	end := endings[s.name]
	if body, ok := strings.CutSuffix(got.body, end); !ok || s.name == r.dialect && body != sent {
		t.Errorf("%s: sent\n%s\ngot\n%s", r.name, sent, got.body)
	}
	if rec := l.record(got.id()); rec.End != record.OK || rec.UsageSource != record.Provider || rec.Finish == 0 {
		t.Errorf("%s: recorded %v, usage %v, finish %q", r.name, rec.End, rec.UsageSource, rec.Finish)
	}
	events := split(normal(&got))
	return &golden{events: events[:len(events)-1], content: content(t, s.name, events)}
}

// endings are the terminals that clients of a dialect get.
var endings = map[string]string{
	"openai":    "data: [DONE]\n\n",
	"anthropic": "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
}

func (l *lab) check(t *testing.T, c *cut, got reply) {
	if got.err != nil {
		t.Errorf("%v: the transfer is cut: %v", c, got.err)
		return
	}
	rec := l.record(got.id())
	if strings.Contains(got.body, "SECRET") {
		t.Errorf("%v: the upstream's own words reach the client: %s", c, got.body)
	}
	if got.status != 200 {
		if c.spare {
			t.Errorf("%v: status %d, where another upstream works", c, got.status)
		}
		if !isError(c.surface.name, got.body) || rec.End != record.Failed || rec.Committed || rec.Status != int64(got.status) {
			t.Errorf("%v: status %d, recorded %v %d: %s", c, got.status, rec.End, rec.Status, got.body)
		}
		return
	}
	events := split(normal(&got))
	body, last := events[:len(events)-1], events[len(events)-1]
	for _, e := range body {
		if e == endings[c.surface.name] || isFailure(c.surface.name, e) {
			t.Errorf("%v: more than one ending:\n%s", c, got.body)
		}
	}
	switch moved := rec.FailoverFrom != ""; {
	case last == endings[c.surface.name]:
		if !c.whole() && !moved || moved && !c.spare || c.told && !moved || rec.End != record.OK || rec.Fault != fault.None {
			t.Errorf("%v: a success, recorded %v %v:\n%s", c, rec.End, rec.Fault, got.body)
		}
		if !maps.Equal(content(t, c.surface.name, events), c.golden.content) {
			t.Errorf("%v: a success with other content:\n%s", c, got.body)
		}
		if moved && !slices.Equal(body, c.golden.events) {
			t.Errorf("%v: two answers are mixed:\n%s", c, got.body)
		}
	case isFailure(c.surface.name, last):
		if rec.End != record.AbnormalEnd || !rec.Committed || rec.Fault == fault.None {
			t.Errorf("%v: recorded %v %v", c, rec.End, rec.Fault)
		}
		c.checkPrefix(t, body)
	default:
		t.Errorf("%v: no ending:\n%s", c, got.body)
	}
}

// checkPrefix checks that a client who was told of a failure got the beginning of
// the stream, byte by byte: all that was sent, except where a reset may overtake
// it or a slow machine sees a stall too early.
func (c *cut) checkPrefix(t *testing.T, body []string) {
	if len(body) > len(c.golden.events) || !slices.Equal(body, c.golden.events[:len(body)]) {
		t.Errorf("%v: got\n%s\nof\n%s", c, strings.Join(body, ""), strings.Join(c.golden.events, ""))
		return
	}
	name := c.failure.name
	if c.surface.name == c.dialect && name != "reset" && name != "stall" && len(body) != min(c.after, len(c.events)-1) {
		t.Errorf("%v: got %d events", c, len(body))
	}
}

// split cuts what a client got into events, and leaves out keep-alives.
func split(stream string) (events []string) {
	for e := range strings.SplitAfterSeq(stream, "\n\n") {
		for strings.HasPrefix(e, ":") {
			_, e, _ = strings.Cut(e, "\n")
		}
		if e != "" {
			events = append(events, e)
		}
	}
	return append(events, make([]string, max(0, 1-len(events)))...)
}

var varies = regexp.MustCompile(`"created":\d+|"model":"(quick/)?(chat|messages)(\+spare)?"`)

// normal takes out of a body what differs from call to call.
func normal(r *reply) string {
	return varies.ReplaceAllString(strings.ReplaceAll(r.body, r.id(), "ID"), `"varies":0`)
}

// isFailure reports whether an event tells of a failure in a dialect's own way.
func isFailure(dialect, e string) bool {
	if dialect == "anthropic" {
		data, ok := strings.CutPrefix(e, "event: error\ndata: ")
		return ok && isError(dialect, data)
	}
	data, ok := strings.CutPrefix(e, "data: ")
	return ok && isError(dialect, data)
}

// isError reports whether a body is an error in a dialect's own form.
func isError(dialect, body string) bool {
	var said struct {
		Type  string
		Error struct {
			Type, Message string
			Code          *string
		}
		RequestID string `json:"request_id"`
	}
	if json.Unmarshal([]byte(body), &said) != nil || said.Error.Type == "" || said.Error.Message == "" {
		return false
	}
	if dialect == "anthropic" {
		return said.Type == "error" && said.RequestID != ""
	}
	return said.Type == "" && said.Error.Code != nil
}

// content puts together what a client reads out of a stream.
func content(t *testing.T, dialect string, events []string) map[string]string {
	read := map[string]string{}
	for _, e := range events {
		_, data, _ := strings.Cut(e, "data: ")
		if strings.HasPrefix(data, "[DONE]") {
			continue
		}
		var said struct {
			Index   int
			Choices []struct {
				Index        int
				FinishReason string `json:"finish_reason"`
				Delta        map[string]any
			}
			Delta map[string]any
		}
		if err := json.Unmarshal([]byte(data), &said); err != nil {
			t.Errorf("%v in %q", err, e)
			continue
		}
		add := func(index int, of map[string]any) {
			for k, v := range of {
				if k != "role" && v != nil && v != "" {
					read[fmt.Sprint(index, k)] += fmt.Sprint(v)
				}
			}
		}
		for _, c := range said.Choices {
			add(c.Index, c.Delta)
			read[fmt.Sprint(c.Index, "finish")] += c.FinishReason
		}
		add(said.Index, said.Delta)
	}
	return read
}

// TestCutAnswers breaks whole answers: none of them is passed on.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	type brokenAnswer struct {
		name, dialect, sent string
		then                func(*asked) bool
	}
	closes := func(*asked) bool { return false }
	var cases []brokenAnswer
	for _, dialect := range []string{"openai", "anthropic"} {
		b, err := os.ReadFile("../internal/engine/enginetest/testdata/" + dialect + "/text.json")
		if err != nil {
			t.Fatal(err)
		}
		body := string(b)
		for _, share := range []float64{0, 0.3, 0.7, 1} {
			at := int(share * float64(len(strings.TrimSpace(body))-1))
			add := func(name, sent string, then func(*asked) bool) {
				sent = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + sent
				cases = append(cases, brokenAnswer{fmt.Sprint(name, " at ", at), dialect, sent, then})
			}
			long := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body[:at])
			add("cut short of its length", long, closes)
			add("reset", long, (*asked).reset)
			add("stall", long, (*asked).untilGone)
			add("chunks without their end", "Transfer-Encoding: chunked\r\n\r\n"+chunks(body[:at]), closes)
			add("JSON cut, the message whole", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", at, body[:at]), closes)
			add("the connection is the end", "Connection: close\r\n\r\n"+body[:at], closes)
		}
	}
	l := newLab(t, func(r *asked) bool {
		c := cases[number(t, r)]
		return r.send(c.sent) && c.then(r)
	}, nil)
	var clients sync.WaitGroup
	for i, k := range cases {
		for _, s := range surfaces {
			clients.Go(func() {
				c := &client{addr: l.addr}
				defer c.close()
				model := (&recorded{dialect: k.dialect}).model()
				got := c.do(s.path, s.body("quick/"+model, fmt.Sprintf("case %d", i), false, 1))
				if got.err != nil || got.status < 500 || !isError(s.name, got.body) {
					t.Errorf("%s to a client of %s: %d %s %v", k.name, s.name, got.status, got.body, got.err)
				} else if rec := l.record(got.id()); rec.End != record.Failed || rec.Committed {
					t.Errorf("%s to a client of %s: recorded %v", k.name, s.name, rec.End)
				}
			})
		}
	}
	clients.Wait()
}

// slow reports whether this run has less time than the usual one.
func slow() bool { return testing.Short() || raceEnabled }
