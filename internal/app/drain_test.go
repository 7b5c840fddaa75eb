package app

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
)

func TestDrainInOrder(t *testing.T) {
	e := newLab(t, true)
	i := serve(t, strings.Replace(file("", e.URL), "drain_delay: 0s", "drain_delay: 1s", 1))
	front := strings.TrimSuffix(i.BaseURL(), "/v1")
	for _, base := range []string{front, i.AdminURL()} {
		if r := i.send(t, "GET", base+"/readyz", "", ""); r.status != 200 {
			t.Fatalf("%s/readyz: %d before the end", base, r.status)
		}
	}
	early := i.stream(t, pinned, "m")

	i.Drain()
	i.Drain() // as a second signal does before it ends the process
	eventually(t, "readiness says no", func() bool {
		return i.send(t, "GET", front+"/readyz", "", "").status == 503
	})
	for _, base := range []string{front, i.AdminURL()} {
		if r := i.send(t, "GET", base+"/readyz", "", ""); r.status != 503 || !strings.Contains(r.body, "draining") {
			t.Errorf("%s/readyz: %d %s", base, r.status, r.body)
		}
		if r := i.send(t, "GET", base+"/livez", "", ""); r.status != 200 {
			t.Errorf("%s/livez: %d", base, r.status)
		}
	}
	i.web.Transport.(*http.Transport).CloseIdleConnections()
	late := i.stream(t, pinned, "m") // on a new connection, while drain_delay lasts
	if s := i.Status(); s.Status != "draining" {
		t.Errorf("status %q", s.Status)
	}

	eventually(t, "connections are refused", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(front, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if r := i.ask(t, "GET", "/api/status", ""); r.status != 200 {
		t.Errorf("the admin API is gone before the answers are: %d", r.status)
	}
	select {
	case err := <-i.ended:
		t.Fatalf("Run returned %v with answers in flight", err)
	default:
	}
	e.release()
	for name, o := range map[string]*open{"before": early, "while": late} {
		if rest := o.rest(t); !strings.Contains(rest, " two") || !strings.HasSuffix(rest, "data: [DONE]\n\n") {
			t.Errorf("the answer that began %s the end is not whole: %q", name, rest)
		}
	}
	if err := i.wait(t); err != nil {
		t.Errorf("Run returned %v", err)
	}
	for _, line := range []string{`"msg":"draining"`} {
		if !strings.Contains(i.log.String(), line) {
			t.Errorf("no %s in the log", line)
		}
	}
}

// TestDrainTimeout lets answers outlast drain_timeout: each ends with an honest
// error in its dialect.
func TestDrainTimeout(t *testing.T) {
	e := newLab(t, true)
	i := serve(t, file("drain_timeout: 100ms\nlimits: {in_flight: 3}", e.URL))
	type answer struct {
		name string
		reply
	}
	answers := make(chan answer, 3)
	started := make(chan struct{})
	streamed := i.stream(t, pinned, "m")
	go func() {
		r := i.try(t, "POST", i.BaseURL()+"/chat/completions", pinned, question("m", false))
		answers <- answer{"whole", r}
	}()
	go func() {
		r := i.try(t, "POST", i.BaseURL()+"/messages", pinned, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}`)
		answers <- answer{"of Anthropic's dialect", r}
	}()
	eventually(t, "all are with the engine", func() bool { return e.asked() == 3 })
	go func() { // and one that waits for a place
		close(started)
		answers <- answer{"queued", i.try(t, "POST", i.BaseURL()+"/chat/completions", pinned, question("m", true))}
	}()
	<-started
	eventually(t, "one waits", func() bool { return i.Status().Waiting == 1 })

	i.Drain()
	rest := streamed.rest(t)
	if !strings.Contains(rest, `"code":"server_draining"`) || strings.Contains(rest, "[DONE]") || strings.Contains(rest, "two") {
		t.Errorf("the stream ended with %q", rest)
	}
	for range 3 {
		a := <-answers
		want := `"code":"server_draining"`
		status := 503
		if a.name == "of Anthropic's dialect" {
			want, status = `"type":"overloaded_error"`, 529
		}
		if a.err != nil || a.status != status || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s %v", a.name, a.status, a.body, a.err)
		}
	}
	if err := i.wait(t); err != nil {
		t.Errorf("Run returned %v", err)
	}
	for range 3 {
		select {
		case <-e.gone:
		case <-time.After(patience):
			t.Fatal("an engine still works for nobody")
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	i := &instance{log: &lines{}, data: t.TempDir()}
	a, err := Up(t.Context(), i.place(), i.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := a.Run(ctx, cancel); err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// TestRunEndsAtOnceWithoutItsListener: nobody can ask any more, so no drain_delay is
// waited for, and the note of the instance is gone with it.
func TestRunEndsAtOnceWithoutItsListener(t *testing.T) {
	i := &instance{log: &lines{}, file: filepath.Join(t.TempDir(), "headworks.yaml"), data: t.TempDir()}
	i.write(t, strings.Replace(file("", "http://127.0.0.1:9"), "drain_delay: 0s", "drain_delay: 1h", 1))
	a, _, err := Serve(i.file, i.place(), i.log)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context(), func() { a.front.Close() }) }()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "the listener") {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Run waits for requests that nobody can send")
	}
	if _, err := os.Stat(filepath.Join(i.data, admin.InstanceFile)); !os.IsNotExist(err) {
		t.Errorf("the note: %v", err)
	}
}

// TestCloseUnrun gives up an App that was built and never run.
func TestCloseUnrun(t *testing.T) {
	at := Place{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: t.TempDir()}
	a, err := Up(t.Context(), at, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	b, err := Up(t.Context(), at, io.Discard) // nothing holds on to the data folder
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

// TestNewGivesUpWhole fails in the middle of New: what was opened is closed.
func TestNewGivesUpWhole(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := Place{Listen: "127.0.0.1:0", Admin: taken.Addr().String(), Data: t.TempDir()}
	_, err = Up(t.Context(), at, io.Discard)
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "--admin-listen") {
		t.Errorf("got %v", err)
	}

	at.Admin = "127.0.0.1:0"
	first, err := Up(t.Context(), at, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := Up(t.Context(), at, io.Discard); err == nil || !strings.Contains(err.Error(), "in use by another instance") {
		t.Errorf("a second process in one data folder: %v", err)
	}
}
