package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headworks/internal/alert"
	"headworks/internal/tenant"
)

var notice = alert.Notice{Why: alert.Fired, Alert: alert.Alert{
	ID: "al_1", Fingerprint: "slo:a", State: "firing", Severity: alert.Page, Urgency: "page", Title: "assistant: 3 % of requests fail <now> & here",
	Since: time.Date(2026, 11, 23, 14, 2, 10, 0, time.UTC), Cause: "replica eu/r2", Evidence: []string{"headworks explain req_1"}, Next: "headworks drain --upstream eu --replica r2 --for 30m",
	Scope: map[string]string{"model": "assistant", "signal": "availability"},
}}

// shelf is an Outbox in memory.
type shelf struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (s *shelf) Keep(_ context.Context, kind, id string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind != Kind {
		return fmt.Errorf("kind %s", kind)
	}
	if s.kept == nil {
		s.kept = map[string][]byte{}
	}
	s.kept[id] = body
	return nil
}

func (s *shelf) Forget(_ context.Context, _, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, id)
	return nil
}

func (s *shelf) left() (all [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.kept {
		all = append(all, b)
	}
	return all
}

// place is a sink that fails as it is told.
type place struct {
	mu    sync.Mutex
	fails []error // of the next tries
	got   []string
	at    []time.Time
}

func (p *place) Close() {}

func (p *place) Send(_ context.Context, l *Letter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = append(p.at, time.Now())
	if len(p.fails) > 0 {
		err := p.fails[0]
		p.fails = p.fails[1:]
		return err
	}
	p.got = append(p.got, l.Notice.Why)
	return nil
}

// TestPost: a letter is sent until it is taken, later and later; those behind it keep
// their order, other sinks are not held up, and nothing is left in the outbox.
func TestPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var box shelf
		slow, quick := &place{}, &place{}
		for range 4 {
			slow.fails = append(slow.fails, fmt.Errorf("the sink answers 503"))
		}
		p := New(&box, nil, slog.New(slog.DiscardHandler))
		p.Use(map[string]Place{"slow": {Sink: slow}, "quick": {Sink: quick}, "pages": {Sink: quick, Least: alert.Page}})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		p.Tell(ctx, notice, time.Now())
		over := notice
		over.Why, over.Alert.Severity = alert.Resolved, alert.Ticket
		p.Tell(ctx, over, time.Now())
		simulated := notice
		simulated.Alert.Simulated = true
		p.Tell(ctx, simulated, time.Now())
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if got := strings.Join(quick.got, " "); strings.Count(got, "firing") != 2 || strings.Count(got, "resolved") != 1 {
			t.Errorf("the quick ones got %q", got)
		}
		if why := p.Failing()["slow"]; why != "the sink answers 503" {
			t.Errorf("failing: %q", why)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := strings.Join(slow.got, " "); got != "firing resolved" {
			t.Errorf("the slow one got %q", got)
		}
		for i := 2; i < 4; i++ {
			if slow.at[i].Sub(slow.at[i-1]) < slow.at[i-1].Sub(slow.at[i-2]) {
				t.Errorf("it did not wait longer: %v", slow.at)
			}
		}
		if n, counts := p.Waiting(); n != 0 || len(box.left()) != 0 || counts["slow"] != (Counts{Sent: 2, Failed: 4}) || len(p.Failing()) != 0 {
			t.Errorf("%d wait, %d in the outbox, %+v", n, len(box.left()), counts)
		}
		cancel()
		running.Wait()
	})
}

// TestPostOutlives: what one process did not send the next one does; what is refused,
// or too old, is given up.
func TestPostOutlives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var box shelf
		dead := &place{}
		for range 10000 {
			dead.fails = append(dead.fails, fmt.Errorf("not reached"))
		}
		run := func(p *Post, s Sink, d time.Duration) {
			p.Use(map[string]Place{"ops": {Sink: s}})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { p.Run(ctx) })
			time.Sleep(d)
			cancel()
			running.Wait()
		}
		first := New(&box, nil, slog.New(slog.DiscardHandler))
		first.Use(map[string]Place{"ops": {Sink: dead}})
		first.Tell(t.Context(), notice, time.Now())
		run(first, dead, time.Minute)
		if len(box.left()) != 1 {
			t.Fatalf("%d letters are left", len(box.left()))
		}
		well := &place{}
		run(New(&box, append(box.left(), []byte("{")), slog.New(slog.DiscardHandler)), well, time.Hour)
		if len(well.got) != 1 || len(box.left()) != 0 {
			t.Errorf("got %v, %d are left", well.got, len(box.left()))
		}

		last := New(&box, nil, slog.New(slog.DiscardHandler))
		last.Use(map[string]Place{"ops": {Sink: dead}})
		last.Tell(t.Context(), notice, time.Now())
		run(last, dead, 25*time.Hour)
		if _, counts := last.Waiting(); counts["ops"].GivenUp != 1 || len(box.left()) != 0 || len(dead.at) > 400 {
			t.Errorf("%+v after %d tries, %d are left", counts, len(dead.at), len(box.left()))
		}
		refusing := &place{fails: []error{&refusal{"the sink answers 404"}}}
		last.Use(map[string]Place{"ops": {Sink: refusing}})
		last.Tell(t.Context(), notice, time.Now())
		run(last, refusing, time.Minute)
		if _, counts := last.Waiting(); counts["ops"].GivenUp != 2 || len(refusing.got) != 0 {
			t.Errorf("%+v, got %v", counts, refusing.got)
		}
	})
}

// TestPostIsBounded: a sink that takes nothing keeps so many letters.
func TestPostIsBounded(t *testing.T) {
	var box shelf
	p := New(&box, nil, slog.New(slog.DiscardHandler))
	p.Use(map[string]Place{"ops": {Sink: &place{}}})
	for i := range maxWaiting + 50 {
		p.Tell(t.Context(), notice, time.UnixMilli(int64(i)))
	}
	if n, counts := p.Waiting(); n != maxWaiting || len(box.left()) != maxWaiting || counts["ops"].GivenUp != 50 {
		t.Errorf("%d wait, %d in the outbox, %+v", n, len(box.left()), counts)
	}
}

// TestWeb: each sink of the web posts what its receiver takes, and the answer says what
// becomes of the letter.
func TestWeb(t *testing.T) {
	type asked struct {
		header http.Header
		body   map[string]any
		raw    []byte
	}
	got := make(chan asked, 1)
	status := 202
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body) // the test sees what is missing
		a := asked{header: r.Header, raw: raw}
		if err := json.Unmarshal(raw, &a.body); err != nil {
			t.Error(err)
		}
		got <- a
		w.WriteHeader(status)
	}))
	defer server.Close()
	at := tenant.NewSecret(server.URL + "/hook/secret-path")
	send := func(s *Web, err error, n alert.Notice) asked {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Send(t.Context(), &Letter{ID: "letter-1", Sink: "ops", Notice: n, Written: notice.Alert.Since}); err != nil {
			t.Error(err)
		}
		return <-got
	}
	over := notice
	over.Why, over.Alert.Until = alert.Resolved, notice.Alert.Since.Add(time.Hour)

	s, err := NewWebhook(at, tenant.NewSecret("0123456789abcdef"))
	a := send(s, err, notice)
	if a.header.Get("X-Headworks-Signature") != "sha256="+Sign("0123456789abcdef", a.header.Get("X-Headworks-Timestamp"), a.raw) || a.header.Get("X-Headworks-Delivery") != "letter-1" {
		t.Errorf("header %v", a.header)
	}
	if in := a.body["alert"].(map[string]any); a.body["why"] != "firing" || in["next"] != notice.Alert.Next || in["severity"] != "page" {
		t.Errorf("webhook: %s", a.raw)
	}
	s, err = NewAlertmanager(at)
	a = send(s, err, over)
	if in := a.body["alerts"].([]any)[0].(map[string]any); a.body["version"] != "4" || a.body["status"] != "resolved" || in["fingerprint"] != "slo:a" || in["endsAt"] != "2026-11-23T15:02:10Z" || in["labels"].(map[string]any)["model"] != "assistant" {
		t.Errorf("Alertmanager: %s", a.raw)
	}
	s, err = NewSlack(at)
	if a = send(s, err, notice); !strings.Contains(a.body["text"].(string), "&lt;now&gt; &amp; here") || len(a.body["blocks"].([]any)) != 2 {
		t.Errorf("Slack: %s", a.raw)
	}
	s, err = NewPagerDuty(at, tenant.NewSecret("routing"))
	if a = send(s, err, notice); a.body["routing_key"] != "routing" || a.body["event_action"] != "trigger" || a.body["payload"].(map[string]any)["severity"] != "critical" {
		t.Errorf("PagerDuty: %s", a.raw)
	}
	first := a.body["dedup_key"]
	if a = send(s, err, over); a.body["event_action"] != "resolve" || a.body["dedup_key"] != first {
		t.Errorf("PagerDuty: %s", a.raw)
	}

	for code, again := range map[int]bool{500: true, 429: true, 404: false, 302: false} {
		status = code
		err := s.Send(t.Context(), &Letter{Notice: notice})
		<-got
		if _, refused := errors.AsType[*refusal](err); err == nil || refused == again || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("%d: %v", code, err)
		}
	}
	server.Close()
	if err := s.Send(t.Context(), &Letter{Notice: notice}); err == nil || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("nobody there: %v", err)
	}
	for _, wrong := range []string{"", "ops.example.com", "ftp://ops.example.com", "http://"} {
		if _, err := NewSlack(tenant.NewSecret(wrong)); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// post is an SMTP server that takes mail, or answers what it is told to RCPT.
func post(t *testing.T, rcpt string) (addr string, got chan string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	got = make(chan string, 8)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			say := func(s string) { fmt.Fprintf(c, "%s\r\n", s) }
			say("220 here")
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					break
				}
				switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.ToUpper(verb) {
				case "EHLO", "HELO":
					say("250 here")
				case "RCPT":
					say(rcpt)
				case "DATA":
					say("354 go on")
					var text strings.Builder
					for {
						line, err := in.ReadString('\n')
						if err != nil || line == ".\r\n" {
							break
						}
						text.WriteString(line)
					}
					got <- text.String()
					say("250 taken")
				case "QUIT":
					say("221 bye")
				default:
					say("250 well")
				}
			}
			c.Close()
		}
	}()
	return ln.Addr().String(), got
}

// TestMail: what belongs to one alert is one thread of plain text.
func TestMail(t *testing.T) {
	addr, got := post(t, "250 well")
	m, err := NewMail(addr, "Headworks <headworks@example.com>", []string{"ops@example.com", "Duty <duty@example.com>"}, "", tenant.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	l := Letter{ID: "l1", Sink: "mail", Notice: notice, Written: notice.Alert.Since}
	if err := m.Send(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	first := <-got
	l.ID, l.Notice.Why = "l2", alert.Resolved
	if err := m.Send(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	second := <-got
	field := func(mail, name string) string {
		for line := range strings.Lines(mail) {
			if rest, ok := strings.CutPrefix(line, name+": "); ok {
				return strings.TrimSpace(rest)
			}
		}
		return ""
	}
	if field(first, "References") != field(second, "References") || field(first, "Message-ID") == field(second, "Message-ID") || field(first, "To") != "ops@example.com, duty@example.com" {
		t.Errorf("%s\n%s", first, second)
	}
	if !strings.Contains(field(first, "Subject"), "[page] assistant") || !strings.Contains(field(second, "Subject"), "[resolved]") || !strings.Contains(first, "next: headworks drain --upstream eu") {
		t.Errorf("%s\n%s", first, second)
	}

	addr, _ = post(t, "550 nobody of that name")
	if m, err = NewMail(addr, "a@example.com", []string{"b@example.com"}, "", tenant.Secret{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), &l); err == nil || !strings.Contains(err.Error(), "550") || strings.Contains(err.Error(), "nobody of") {
		t.Error(err)
	}
	for _, wrong := range []struct {
		server, from string
		to           []string
	}{{"", "a@b.c", []string{"a@b.c"}}, {"mail", "nobody", []string{"a@b.c"}}, {"mail", "a@b.c", nil}, {"mail", "a@b.c", []string{"x"}}} {
		if _, err := NewMail(wrong.server, wrong.from, wrong.to, "", tenant.Secret{}); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
}
