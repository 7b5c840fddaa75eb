package test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headworks/internal/fault"
	"headworks/internal/record"
)

// TestHostileBodies sends bodies that two readers could read in two ways, or none
// in any. The caller is told in its own dialect, and no upstream hears of it.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	l := newLab(t, func(*asked) bool { reached.Add(1); return false }, func(*asked) bool { reached.Add(1); return false })
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for name, tt := range map[string]struct {
		old, new string // what a good body is changed by
		status   int
	}{
		"a key twice":                  {`"model":`, `"model":"other","model":`, 400},
		"a key twice, deep":            {`"role":"user"`, `"role":"system","role":"user"`, 400},
		"a key in another case":        {`"model":`, `"MODEL":"other","model":`, 400},
		"a key in another case, deep":  {`"content":`, `"Content":"x","content":`, 400},
		"an escaped key twice":         {`"model":`, `"mod\u0065l":"other","model":`, 400},
		"not UTF-8":                    {`"hello"`, "\"\xff\xfe\"", 400},
		"half a surrogate":             {`"hello"`, `"\ud800"`, 400},
		"a control character":          {`"hello"`, "\"a\x00b\"", 400},
		"too deep":                     {`"stream"`, `"x":` + deep + `,"stream"`, 400},
		"two values":                   {`{"model"`, `{}{"model"`, 400},
		"a comma too many":             {`"stream":true`, `"stream":true,`, 400},
		"a comment":                    {`"stream"`, `/* */"stream"`, 400},
		"a byte order mark":            {`{"model"`, "\ufeff" + `{"model"`, 400},
		"cut":                          {`]}`, ``, 400},
		"a number that is none":        {`"stream"`, `"x":01,"stream"`, 400},
		"NaN":                          {`"stream"`, `"x":NaN,"stream"`, 400},
		"the model is a number":        {`"model":"chat"`, `"model":1`, 400},
		"the model is null":            {`"model":"chat"`, `"model":null`, 400},
		"stream is a word":             {`"stream":true`, `"stream":"true"`, 400},
		"stream is a number":           {`"stream":true`, `"stream":1`, 400},
		"messages are an object":       {`"messages":[`, `"messages":{},"x":[`, 400},
		"no message":                   {`"messages":[`, `"messages":[],"x":[`, 400},
		"a message is a word":          {`"messages":[`, `"messages":["a",`, 400},
		"a role that is none":          {`"role":"user"`, `"role":"root"`, 400},
		"max_tokens below zero":        {`"stream":true`, `"stream":true,"max_tokens":-1`, 400},
		"max_tokens with a fraction":   {`"stream":true`, `"stream":true,"max_tokens":1.5`, 400},
		"max_tokens beyond all bounds": {`"stream":true`, `"stream":true,"max_tokens":99999999999999999999`, 400},
		"tools are an object":          {`"stream":true`, `"stream":true,"tools":{}`, 400},
		"a model that does not exist":  {`"model":"chat"`, `"model":"nobody"`, 404},
		"too large":                    {`hello`, strings.Repeat("a", 1<<20), 413},
		"nothing":                      {`*`, ``, 400},
		"an array":                     {`*`, `[]`, 400},
		"null":                         {`*`, `null`, 400},
	} {
		for _, s := range surfaces {
			body := s.body("chat", "hello", true, 1)
			if strings.Contains(tt.new, "max_tokens") {
				body = strings.Replace(body, `"max_tokens":64,`, "", 1)
			}
			if tt.old == "*" {
				body = tt.new
			} else {
				body = strings.Replace(body, tt.old, tt.new, 1)
			}
			c := &client{addr: l.addr}
			got := c.do(s.path, body)
			if got.err != nil || got.status != tt.status || !isError(s.name, got.body) || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s, %s: status %d, want %d: %s %v", name, s.name, got.status, tt.status, got.body, got.err)
			} else if rec := l.record(got.id()); rec.End != record.Failed || rec.Status != int64(tt.status) || rec.Upstream != "" {
				t.Errorf("%s, %s: recorded %v %d, upstream %q", name, s.name, rec.End, rec.Status, rec.Upstream)
			}
			c.close()
		}
	}
	conns := 0
	for _, e := range l.engines {
		conns += e.Connections()
	}
	if n := reached.Load(); n != 0 || conns != 0 || l.charged.Load() != 0 {
		t.Errorf("%d requests and %d connections reached an upstream, %d were charged", n, conns, l.charged.Load())
	}
}

// TestClientsLeave lets clients go at every stage of an answer. The upstream's
// connection ends, and the record says whose doing it was.
func TestClientsLeave(t *testing.T) {
	t.Parallel()
	all := streams(t)
	stream := all[0]
	for _, tt := range []struct {
		name   string
		stream bool
		sent   string
		read   int // bytes the client gets before it leaves
	}{
		{"before a stream", true, "", 0},
		{"before content", true, sseHead + chunks(stream.events[0]), 0},
		{"within a stream", true, sseHead + chunks(stream.events[:3]...), 100},
		{"before a whole answer", false, "", 0},
		{"within a whole answer", false, jsonAnswer(200, `{"id":"x","choices":[`)[:80], 0},
	} {
		for _, s := range surfaces {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprint(tt.name, " ", s.name, " reset ", reset), func(t *testing.T) {
					sent, gone := make(chan bool, 1), make(chan bool, 1)
					l := newLab(t, func(r *asked) bool {
						r.send(tt.sent)
						sent <- true
						r.untilGone()
						gone <- true
						return false
					}, nil)
					c := &client{addr: l.addr}
					if err := c.post(s.path, s.body("chat", "hello", tt.stream, 1)); err != nil {
						t.Fatal(err)
					}
					<-sent
					if tt.read > 0 {
						if _, err := c.br.Peek(tt.read); err != nil {
							t.Fatal(err)
						}
					}
					if reset {
						_ = c.nc.(*net.TCPConn).SetLinger(0) // fails only on a closed connection
					}
					c.close()
					<-gone
					r := l.only()
					if r.End != record.ClientClosed || r.Fault != fault.ClientClosed || r.Committed != (tt.read > 0) {
						t.Errorf("recorded %v %v, committed %v", r.End, r.Fault, r.Committed)
					}
				})
			}
		}
	}
}

// only returns the only record there is, or will be.
func (l *lab) only() record.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.records) == 0 {
		l.kept.Wait()
	}
	for _, r := range l.records {
		return r
	}
	panic("no record")
}

// TestManySlowStreams has many streams under way, of which some clients vanish.
// Upstreams are told of each, the others end well, and nothing stays behind.
func TestManySlowStreams(t *testing.T) {
	many := 2000
	if slow() {
		many = 400
	}
	stays := func(i int) bool { return i%10 >= 3 }
	goroutines, memory := runtime.NumGoroutine(), heap()
	t.Run("streams", func(t *testing.T) {
		all := streams(t)
		stream := all[0]
		goOn := make(chan bool)
		var open, cut sync.WaitGroup
		var ended atomic.Int64
		open.Add(many)
		cut.Add(many * 3 / 10)
		l := newLab(t, func(r *asked) bool {
			i := number(t, r)
			r.send(sseHead + chunks(stream.events[:3]...))
			if !stays(i) {
				r.untilGone()
				ended.Add(1)
				cut.Done()
				return false
			}
			<-goOn
			return r.send(chunks(stream.events[3:]...) + chunksEnd)
		}, nil)
		var clients sync.WaitGroup
		vanish := make(chan bool)
		for i := range many {
			clients.Go(func() {
				s := surfaces[i%2]
				c := &client{addr: l.addr}
				defer c.close()
				err := c.post(s.path, s.body("chat", fmt.Sprintf("case %d", i), true, 1))
				if err == nil {
					_, err = c.br.Peek(100) // content is here
				}
				open.Done()
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				<-vanish
				if !stays(i) {
					return
				}
				if got := drain(c.br); !strings.HasSuffix(got, chunksEnd) || !strings.Contains(got, endings[s.name]) {
					t.Errorf("client %d got %q", i, got)
				}
			})
		}
		open.Wait()
		if n := l.server.InFlight(); n != many {
			t.Errorf("%d streams are under way, want %d", n, many)
		}
		close(vanish)
		cut.Wait() // every upstream of a client that vanished was told
		close(goOn)
		clients.Wait()
		for name, want := range map[record.End]int{record.OK: many * 7 / 10, record.ClientClosed: many * 3 / 10} {
			if n := l.count(name, many); n != want {
				t.Errorf("%d records end in %v, want %d", n, name, want)
			}
		}
	})
	// The front, the upstreams and the clients are gone with the subtest.
	for i := 0; runtime.NumGoroutine() > goroutines+5; i++ {
		if i == 500 {
			t.Fatalf("%d goroutines, where there were %d", runtime.NumGoroutine(), goroutines)
		}
		time.Sleep(10 * time.Millisecond) // the runtime lets go of what has ended
	}
	if now := heap(); now > memory+8<<20 {
		t.Errorf("%d KiB are held, where there were %d", now>>10, memory>>10)
	}
}

// count waits for all records and returns how many ended so.
func (l *lab) count(end record.End, of int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.records) < of {
		l.kept.Wait()
	}
	for _, r := range l.records {
		if r.End == end {
			n++
		}
	}
	return n
}

// drain reads an answer in chunks to its end.
func drain(br *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := br.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" && strings.HasSuffix(b.String(), "\r\n"+chunksEnd) {
			return b.String()
		}
	}
}

// heap returns the bytes in use once all that is let go of is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what pools held is gone after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
