package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/cell"
	"headworks/internal/tenant"
)

// cable is the way to a gateway, which can be cut: what is sent then goes nowhere, and
// nobody is told.
type cable struct {
	net.Listener
	to string

	mu   sync.Mutex
	cut  chan struct{} // closed while it is whole
	held []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: ln, to: to, cut: make(chan struct{})}
	close(c.cut)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.held = append(c.held, near, far)
			c.mu.Unlock()
			running.Go(func() { c.carry(far, near) })
			running.Go(func() { c.carry(near, far) })
		}
	})
	t.Cleanup(func() {
		c.set(true)
		ln.Close()
		c.mu.Lock()
		for _, conn := range c.held {
			conn.Close()
		}
		c.mu.Unlock()
		running.Wait()
	})
	return c
}

func (c *cable) url() string { return "http://" + c.Addr().String() }

func (c *cable) carry(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		c.mu.Lock()
		whole := c.cut
		c.mu.Unlock()
		<-whole
		if _, write := to.Write(b[:n]); err != nil || write != nil {
			return
		}
	}
}

// set cuts the cable, or mends it.
func (c *cable) set(whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.cut:
		if !whole {
			c.cut = make(chan struct{})
		}
	default:
		if whole {
			close(c.cut)
		}
	}
}

// town is three cells that know each other, each with an engine of its own.
type town struct {
	cells  map[string]*instance
	labs   map[string]*lab
	cables map[string]*cable
}

const ofCells = "a-secret-of-all-cells"

func newTown(t *testing.T, more string, holds string) *town {
	t.Helper()
	regions := []string{"a", "b", "c"}
	town := &town{map[string]*instance{}, map[string]*lab{}, map[string]*cable{}}
	source := func(region string, cells string) string {
		s := file("region: "+region+"\npeers: {secret: "+ofCells+"}\n"+cells+more, town.labs[region].URL)
		return strings.Replace(s, "kind: openai", "kind: openai, region: "+region, 1)
	}
	for _, r := range regions {
		town.labs[r] = newLab(t, strings.Contains(holds, r))
		town.cells[r] = serve(t, source(r, ""))
		town.cables[r] = newCable(t, strings.TrimSuffix(strings.TrimPrefix(town.cells[r].BaseURL(), "http://"), "/v1"))
	}
	for _, r := range regions {
		var cells strings.Builder
		cells.WriteString("cells:\n")
		for _, other := range regions {
			if other != r {
				fmt.Fprintf(&cells, "  %s: {urls: [%s]}\n", other, town.cables[other].url())
			}
		}
		i := town.cells[r]
		i.write(t, source(r, cells.String()))
		if _, err := i.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range regions {
		eventually(t, "the cells know each other", func() bool { return town.states(r, cell.Up) == 2 })
	}
	return town
}

func (town *town) states(of, state string) (n int) {
	for _, s := range town.cells[of].Status().Cells {
		if s.State == state {
			n++
		}
	}
	return n
}

func (town *town) asked() string {
	return fmt.Sprint(town.labs["a"].asked(), town.labs["b"].asked(), town.labs["c"].asked())
}

// TestCells: what a cell cannot serve another one does, on behalf of the same caller,
// and sends it no further.
func TestCells(t *testing.T) {
	town := newTown(t, "", "")
	a := town.cells["a"]
	town.labs["a"].Close()
	for _, stream := range []bool{false, true} {
		r := a.chat(t, pinned, "m", stream)
		if r.status != 200 || !strings.Contains(r.body, "two") || r.header.Get("X-Headworks-Region") == "a" {
			t.Fatalf("stream %v: %d from %s: %s", stream, r.status, r.header.Get("X-Headworks-Upstream"), r.body)
		}
		if cost := r.header.Get("X-Headworks-Cost"); cost != "" {
			t.Errorf("the cell that has no engine says it costs %s", cost)
		}
	}
	base := strings.TrimSuffix(a.BaseURL(), "/v1")
	if r := a.send(t, "GET", base+"/healthz/cell", "", ""); r.status != 503 || !strings.Contains(r.body, "no engine") {
		t.Errorf("a cell whose engines are out says %d %s", r.status, r.body)
	}
	if r := a.send(t, "GET", base+"/readyz", "", ""); r.status != 200 {
		t.Errorf("a gateway that has the other cells says %d %s", r.status, r.body)
	}
	wished := a.send(t, "POST", a.BaseURL()+"/chat/completions", pinned, question("m", false), "x-headworks-objective", "ttft=7s")
	from := wished.header.Get("X-Headworks-Region")
	there := town.cells[from]
	var kept string
	eventually(t, "the other cell keeps a record", func() bool {
		kept = there.ask(t, "GET", "/api/requests?limit=1", "").body // of this request, not of one before
		return strings.Contains(kept, `"key":"tests"`) && strings.Contains(kept, `"stream":false`) && !strings.Contains(kept, `"objective_ttft":null`)
	})
	if want := int64(11*1000 + 7*2000); !strings.Contains(kept, fmt.Sprintf(`"cost":%d,`, want)) {
		t.Errorf("the cell that has the engine keeps another cost than %d: %s", want, kept)
	}
	if !strings.Contains(kept, `"objective_ttft":7000000,`) {
		t.Errorf("the cell that has the engine does not know of the objective: %s", kept)
	}
	if home := a.ask(t, "GET", "/api/requests?limit=1", "").body; !strings.Contains(home, `"cost":null,`) {
		t.Errorf("the cell that has none keeps a cost: %s", home)
	}
	message := `{"model":"m","max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"user","content":"hello"}]}`
	if r := a.send(t, "POST", a.BaseURL()+"/messages", pinned, message); r.status != 200 || !strings.Contains(r.header.Get("X-Headworks-Dropped"), "thinking.budget_tokens") {
		t.Errorf("%d; of what the other cell could not tell its engine the caller hears %q", r.status, r.header.Get("X-Headworks-Dropped"))
	}
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	a.send(t, "POST", a.BaseURL()+"/chat/completions", pinned, question("m", false), "traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	for _, i := range []*instance{a, there} {
		eventually(t, "both cells keep the trace", func() bool {
			return strings.Contains(i.ask(t, "GET", "/api/requests?limit=1", "").body, trace)
		})
	}

	town.labs["b"].Close()
	town.labs["c"].Close()
	before := town.asked()
	r := a.chat(t, pinned, "m", false)
	if r.status != 503 && r.status != 502 {
		t.Errorf("answered %d where nothing serves: %s", r.status, r.body)
	}
	if after := town.asked(); after != before {
		t.Errorf("engines were asked %s times, and %s before", after, before)
	}
}

// TestCellSearch: two cells whose models rest on the same documents search for a request
// once, and the second one does where the first could not.
func TestCellSearch(t *testing.T) {
	town := newTown(t, "", "")
	town.labs["a"].Close()
	town.labs["c"].Close()
	plain := "  m: {targets"
	for _, c := range []struct {
		name, knowledge, asks string
		here, there           string // collections that the record of a cell has
	}{
		{"searched", "{collections: [headworks-docs]}", "", `"headworks-docs"`, `""`},
		{"not to be searched here", "{collections: [nowhere], mode: optional}", "", `"nowhere"`, `"nowhere"`},
		{"the caller wants none", "{collections: [headworks-docs]}", `,"headworks":{"knowledge":false}`, `""`, `""`},
	} {
		next := "  m: {knowledge: " + c.knowledge + ", targets"
		for _, i := range town.cells {
			was, err := os.ReadFile(i.file)
			if err != nil {
				t.Fatal(err)
			}
			i.write(t, strings.Replace(string(was), plain, next, 1))
			if _, err := i.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		plain = next
		r := town.cells["a"].send(t, "POST", town.cells["a"].BaseURL()+"/chat/completions", pinned, `{"model":"m"`+c.asks+`,"messages":[{"role":"user","content":"how do I add a model?"}]}`)
		if r.status != 200 {
			t.Fatalf("%s: %d %s", c.name, r.status, r.body)
		}
		trace := strings.TrimPrefix(r.header.Get("X-Request-Id"), "req_") // of both records
		for at, want := range map[string]string{"a": c.here, "b": c.there} {
			var kept string
			eventually(t, c.name+": a record of "+at, func() bool {
				kept = town.cells[at].ask(t, "GET", "/api/requests?limit=1", "").body
				return strings.Contains(kept, trace)
			})
			if !strings.Contains(kept, `"collections":`+want+`,`) {
				t.Errorf("%s: the collections of %s are not %s: %s", c.name, at, want, kept)
			}
		}
	}
}

// TestCellLost: a request that a cell has and does not answer goes to another one when
// that cell is lost, and the cell is asked again once it is back. A cell is lost too
// where the machine is so slow that three reports in a row are late; what happens then
// is no answer to the question, which is asked anew.
func TestCellLost(t *testing.T) {
	for range 5 {
		if lostCell(t) {
			return
		}
	}
	t.Error("the other cell was lost each time")
}

// lostCell reports whether only the cell was lost that the test cut off.
func lostCell(t *testing.T) bool {
	town := newTown(t, "", "b")
	a := town.cells["a"]
	town.labs["a"].Close()
	town.cables["c"].set(false)
	eventually(t, "c is lost", func() bool { return town.states("a", cell.Down) == 1 })
	for _, u := range a.Status().Upstreams {
		if u.Name == "cell:c" && (u.Replicas[0].Up || u.Replicas[0].Why == "") {
			t.Errorf("of a cell that is lost the status of upstreams says %+v", u.Replicas[0])
		}
	}
	answers := make(chan reply, 3)
	for range 3 {
		go func() {
			answers <- a.try(t, "POST", a.BaseURL()+"/chat/completions", pinned, question("m", false))
		}()
	}
	eventually(t, "b has the requests", func() bool { return town.labs["b"].asked() == 3 })
	lost := func() int { return strings.Count(a.log.String(), `"msg":"a cell is down"`) }
	was := lost()
	town.cables["c"].set(true)
	eventually(t, "c is back", func() bool { return town.states("a", cell.Up) == 2 })
	town.cables["b"].set(false)
	var wrong []string
	for range 3 {
		if r := <-answers; r.status != 200 || r.header.Get("X-Headworks-Region") != "c" || r.header.Get("X-Headworks-Attempts") == "1" {
			wrong = append(wrong, fmt.Sprintf("%d %v after %s attempts from %s: %s", r.status, r.err, r.header.Get("X-Headworks-Attempts"), r.header.Get("X-Headworks-Region"), r.body))
		}
	}
	if len(wrong) > 0 && lost() > was+1 {
		return false
	}
	for _, w := range wrong {
		t.Error(w)
	}
	town.labs["b"].release()
	town.cables["b"].set(true)
	eventually(t, "b is back", func() bool { return town.states("a", cell.Up) == 2 })
	return true
}

// TestCellResidency: a request goes to cells of its regions alone.
func TestCellResidency(t *testing.T) {
	town := newTown(t, `
distances: {a: {b: 1ms, d: 9ms}}
regions: {one: [b], none: [d]}
tenants: {bound: {residency: [one]}, nowhere: {residency: [none]}}
`, "")
	a := town.cells["a"]
	var keys []string
	for _, tenant := range []string{"bound", "nowhere"} {
		keys = append(keys, a.create(t, `{"name":"`+tenant+`","tenant":"`+tenant+`"}`).Secret)
	}
	r := a.chat(t, keys[0], "m", false)
	if r.status != 200 || r.header.Get("X-Headworks-Region") != "b" || town.asked() != "0 1 0" {
		t.Errorf("%d from %s, engines were asked %s times: %s", r.status, r.header.Get("X-Headworks-Region"), town.asked(), r.body)
	}
	town.labs["b"].Close()
	if r := a.chat(t, keys[0], "m", false); r.status < 500 {
		t.Errorf("%d where the one region that may serve cannot: %s", r.status, r.body)
	}
	if r := a.chat(t, keys[1], "m", false); r.status != 403 {
		t.Errorf("%d where no cell is in the regions: %s", r.status, r.body)
	}
	if town.asked() != "0 1 0" {
		t.Errorf("engines were asked %s times", town.asked())
	}
}

// TestPass: who shows a pass that is none is refused, whatever key comes with it, and
// learns nothing of the cell.
func TestPass(t *testing.T) {
	const region = "a"
	i := serve(t, file("region: "+region+"\npeers: {secret: "+ofCells+"}\n", newLab(t, false).URL))
	who := &cell.Caller{ID: "id", Key: "a name", Tenant: "a tenant", Model: "m"}
	const path = "/v1/chat/completions"
	sum := cell.Sum([]byte(question("m", false)))
	seal := func(secret string, p cell.Pass) string {
		s, err := cell.Seal(secret, &p)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := time.Now().UnixMilli()
	good := cell.Pass{From: "x", For: region, Sum: sum, Sent: now, Path: path, Caller: who}
	noModel, stranger := *who, *who
	noModel.Model, stranger.Class = "another", uint8(tenant.Batch)+1
	for _, c := range []struct {
		name, pass string
		want       int
	}{
		{"good", seal(ofCells, good), 200},
		{"garbage", "garbage", 401},
		{"another secret", seal("another secret of others", good), 401},
		{"no secret", seal("", good), 401},
		{"another path", seal(ofCells, cell.Pass{From: "x", For: region, Sum: sum, Sent: now, Path: "/v1/embeddings", Caller: who}), 401},
		{"another cell", seal(ofCells, cell.Pass{From: "x", For: region + "x", Sum: sum, Sent: now, Path: path, Caller: who}), 401},
		{"no cell", seal(ofCells, cell.Pass{From: "x", Sum: sum, Sent: now, Path: path, Caller: who}), 401},
		{"another body", seal(ofCells, cell.Pass{From: "x", For: region, Sum: cell.Sum([]byte(question("m", true))), Sent: now, Path: path, Caller: who}), 401},
		{"no body", seal(ofCells, cell.Pass{From: "x", For: region, Sent: now, Path: path, Caller: who}), 401},
		{"too old", seal(ofCells, cell.Pass{From: "x", For: region, Sum: sum, Sent: now - 60_000, Path: path, Caller: who}), 401},
		{"for nobody", seal(ofCells, cell.Pass{From: "x", For: region, Sum: sum, Sent: now, Path: path}), 401},
		{"of no class", seal(ofCells, cell.Pass{From: "x", For: region, Sum: sum, Sent: now, Path: path, Caller: &stranger}), 401},
		{"for another model", seal(ofCells, cell.Pass{From: "x", For: region, Sum: sum, Sent: now, Path: path, Caller: &noModel}), 404},
	} {
		key := ""
		if c.want == 401 {
			key = pinned
		}
		if r := i.send(t, "POST", i.BaseURL()+"/chat/completions", key, question("m", false), cell.Header, c.pass); r.status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, r.status, c.want, r.body)
		}
	}
	for pass, want := range map[string]int{"": 404, "garbage": 404, seal(ofCells, good): 404, seal(ofCells, cell.Pass{From: "x", Sent: now, Path: cell.Path}): 200} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", strings.TrimSuffix(i.BaseURL(), "/v1")+cell.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if pass != "" {
			req.Header.Set(cell.Header, pass)
		}
		resp, err := i.web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || want != 200 && strings.Contains(string(b), "room") {
			t.Errorf("a report for %q: %d, want %d: %s", pass, resp.StatusCode, want, b)
		}
	}
}

// TestFormPass: a form goes to another cell as it comes, with a pass that is for forms
// alone.
func TestFormPass(t *testing.T) {
	posted := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.wav\"\r\n\r\n" + strings.Repeat("sound", 100_000) + "\r\n--b--\r\n"
	heard := make(chan int64, 10)
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		heard <- n
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"text":"hello"}`)
	}))
	t.Cleanup(there.Close)
	here := httptest.NewServer(http.NotFoundHandler())
	here.Close() // nobody listens
	b := serve(t, file("region: b\npeers: {secret: "+ofCells+"}\n", there.URL))
	a := serve(t, file("region: a\npeers: {secret: "+ofCells+"}\ncells: {b: {urls: [\""+strings.TrimSuffix(b.BaseURL(), "/v1")+"\"]}}\n", here.URL))
	eventually(t, "a knows b", func() bool { s := a.Status().Cells; return len(s) == 1 && s[0].State == cell.Up })
	r := a.send(t, "POST", a.BaseURL()+"/audio/transcriptions", pinned, posted, "content-type", "multipart/form-data; boundary=b")
	if r.status != 200 || r.header.Get("X-Headworks-Region") != "b" || !strings.Contains(r.body, "hello") {
		t.Fatalf("%d from %q: %s", r.status, r.header.Get("X-Headworks-Region"), r.body)
	}
	if n, name := <-heard, len("served")-len("m"); n < int64(len(posted)) || n > int64(len(posted)+name) {
		t.Errorf("%d bytes of %d came", n, len(posted))
	}
	pass := cell.Pass{
		From: "a", For: "b", Sent: time.Now().UnixMilli(), Path: "/v1/audio/transcriptions", Sum: cell.Sum([]byte(posted)),
		Caller: &cell.Caller{ID: "id", Key: "a name", Tenant: "a tenant", Model: "m"},
	}
	field, err := cell.Seal(ofCells, &pass)
	if err != nil {
		t.Fatal(err)
	}
	if r := b.send(t, "POST", b.BaseURL()+"/audio/transcriptions", "", posted, cell.Header, field, "content-type", "multipart/form-data; boundary=b"); r.status != 401 {
		t.Errorf("a form with the pass of what is none: %d: %s", r.status, r.body)
	}
}

// TestCellFound: gateways of a cell are found as they come and go.
func TestCellFound(t *testing.T) {
	there := newLab(t, false)
	b := serve(t, file("region: b\npeers: {secret: "+ofCells+"}\n", there.URL))
	o := &oracle{}
	here := newLab(t, false)
	a := serveFound(t, o, file("region: a\npeers: {secret: "+ofCells+"}\ncells: {b: {discover: {dns: \"b.example.com:443\", scheme: https}}}\n", here.URL))
	here.Close()
	if r := a.chat(t, pinned, "m", false); r.status < 500 {
		t.Fatalf("%d where nothing serves", r.status)
	}
	o.answer(nil, strings.TrimSuffix(b.BaseURL(), "/v1"))
	eventually(t, "the gateway is found and answers", func() bool {
		s := a.Status().Cells
		return len(s) == 1 && s[0].State == cell.Up
	})
	if r := a.chat(t, pinned, "m", false); r.status != 200 || r.header.Get("X-Headworks-Region") != "b" {
		t.Errorf("%d from %q", r.status, r.header.Get("X-Headworks-Region"))
	}
	second := serve(t, file("region: b\npeers: {secret: "+ofCells+"}\n", there.URL))
	o.answer(nil, strings.TrimSuffix(b.BaseURL(), "/v1"), strings.TrimSuffix(second.BaseURL(), "/v1"))
	eventually(t, "both are up", func() bool {
		s := a.Status().Cells
		return len(s) == 2 && s[0].State == cell.Up && s[1].State == cell.Up
	})
	o.answer(nil, strings.TrimSuffix(second.BaseURL(), "/v1"))
	eventually(t, "the first is asked no more", func() bool { return len(a.Status().Cells) == 1 })
}
