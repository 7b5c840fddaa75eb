package sim

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headworks/internal/latency"
)

func trace(t testing.TB, name string, most int) *Trace {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	tr, err := ReadTrace(name, f, most)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func replay(tr *Trace) *Replay {
	return &Replay{Trace: tr, Seed: 1, Start: time.Unix(0, 0), Model: "assistant"}
}

// TestTraces reads excerpts of the published traces; the figures were counted apart.
func TestTraces(t *testing.T) {
	for _, tt := range []struct {
		name           string
		format         Format
		rows, skipped  int
		length, tick   time.Duration
		input0, output int32 // of the first
		ideal          float64
	}{
		{"azure-llm-2023/code.csv", AzureLLM, 100, 0, 192_162_141_000 * time.Nanosecond, 0, 4808, 10, 0},
		{"azure-llm-2023/conv.csv", AzureLLM, 100, 0, 42_685_223_000 * time.Nanosecond, 0, 374, 44, 0},
		{"mooncake/conversation.jsonl.gz", Mooncake, 1000, 0, 330 * time.Second, 3 * time.Second, 6758, 500, .2121},
		{"mooncake/synthetic.jsonl", Mooncake, 200, 0, 58_501 * time.Millisecond, 0, 40160, 6, .0606},
		{"burstgpt/columns.csv", BurstGPT, 4, 1, 113 * time.Second, 0, 472, 18, 0},
		{"burstgpt/first-release.csv", BurstGPT, 2, 0, 250 * time.Millisecond, 0, 11, 21, 0},
	} {
		tr := trace(t, tt.name, 0)
		if tr.Format != tt.format || tr.Rows() != tt.rows || tr.Skipped != tt.skipped || tr.Length() != tt.length {
			t.Errorf("%s: %v, %d rows, %d skipped, %v", tt.name, tr.Format, tr.Rows(), tr.Skipped, tr.Length())
		}
		if tt.tick > 0 && tr.Tick != tt.tick {
			t.Errorf("%s: a tick of %v", tt.name, tr.Tick)
		}
		if r := tr.rows[0]; r.at != 0 || r.input != tt.input0 || r.output != tt.output {
			t.Errorf("%s begins with %+v", tt.name, r)
		}
		if got := tr.Ideal(); math.Abs(got-tt.ideal) > 5e-4 {
			t.Errorf("%s: %.4f of the blocks could be hit", tt.name, got)
		}
		if some := trace(t, tt.name, 2); some.Rows() != 2 {
			t.Errorf("%s: two requests are %d", tt.name, some.Rows())
		}
	}
	if s := trace(t, "burstgpt/columns.csv", 0); s.rows[0].session == 0 || s.rows[0].session != s.rows[2].session || s.rows[0].session == s.rows[1].session {
		t.Errorf("sessions: %+v", s.rows)
	}
}

// TestReplaySpreads: requests of one stamp keep their order and come before the next
// stamp, evenly; raw they come at once; and twice as fast is half the time.
func TestReplaySpreads(t *testing.T) {
	tr := trace(t, "mooncake/conversation.jsonl.gz", 0)
	raw, spread, fast := replay(tr), replay(tr), replay(tr)
	raw.Raw, fast.Speed = true, 2
	var offset, n float64
	last := time.Duration(0)
	for i := range tr.rows {
		a, _ := raw.Next()
		b, _ := spread.Next()
		c, ok := fast.Next()
		if !ok || a.At != tr.rows[i].at || b.At < a.At || b.At >= a.At+tr.Tick || b.At < last || (c.At-b.At/2).Abs() > 1 {
			t.Fatalf("request %d at %v raw, %v spread, %v fast", i, a.At, b.At, c.At)
		}
		if a.Request.Input != b.Request.Input || !slices.Equal(a.Request.Blocks, c.Request.Blocks) {
			t.Fatalf("request %d differs", i)
		}
		last = b.At
		offset += float64(b.At-a.At) / float64(tr.Tick)
		n++
	}
	if _, ok := raw.Next(); ok {
		t.Error("it goes on")
	}
	if mean := offset / n; mean < .45 || mean > .55 {
		t.Errorf("on average after %.2f of the tick", mean)
	}
	other := replay(tr)
	other.Seed = 2
	a, _ := other.Next()
	again := replay(tr)
	b, _ := again.Next()
	if a.At == b.At {
		t.Error("another seed, the same times")
	}
}

// TestTraceBlocks: prompts share blocks as far as they share ids, eight for each.
func TestTraceBlocks(t *testing.T) {
	text := `{"timestamp":0,"input_length":1100,"output_length":1,"hash_ids":[7,8,9]}
{"timestamp":1,"input_length":1600,"output_length":1,"hash_ids":[7,8,1,9]}
{"timestamp":2,"input_length":1024,"output_length":1,"hash_ids":[8,7]}
{"timestamp":3,"input_length":100,"output_length":1}
`
	tr, err := ReadTrace("x", strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	l := replay(tr)
	var all [][]uint64
	for a, ok := l.Next(); ok; a, ok = l.Next() {
		all = append(all, a.Request.Blocks)
	}
	for i, want := range []int{17, 25, 16, 0} {
		if len(all[i]) != want {
			t.Errorf("prompt %d has %d blocks, want %d", i, len(all[i]), want)
		}
	}
	shared := 0
	for shared < 17 && all[0][shared] == all[1][shared] {
		shared++
	}
	if shared != 1024/latency.PrefixTokens {
		t.Errorf("%d blocks shared, want 16", shared)
	}
	for _, b := range all[2] {
		if slices.Contains(all[0], b) {
			t.Error("the same ids in another order are another prompt")
		}
	}
	if got := tr.Ideal(); math.Abs(got-2./9) > 1e-9 {
		t.Errorf("ideal %v", got)
	}
}

// TestTraceFaults: what is wrong is said with its line.
func TestTraceFaults(t *testing.T) {
	azure := "TIMESTAMP,ContextTokens,GeneratedTokens\n"
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":          {"", "x: no request in it"},
		"a header alone":   {azure, "x: no request in it"},
		"another format":   {"time,in,out\n1,2,3\n", "x:1: no trace of a known format"},
		"no moment":        {azure + "2023-11-16 18:17:03.97,1,2\nyesterday,1,2\n", "x:3: TIMESTAMP is no moment"},
		"no number":        {azure + "2023-11-16 18:17:03.97,-1,2\n", "x:2: the prompt's length is no number of tokens"},
		"too few columns":  {azure + "2023-11-16 18:17:03.97,1\n", "x:2: 2 columns"},
		"broken JSON":      {"{\"timestamp\": 1\n", "x:1: no JSON object"},
		"no timestamp":     {"{\"input_length\":1}\n", "x:1: timestamp is no number"},
		"hashes do not do": {`{"timestamp":0,"input_length":1100,"output_length":1,"hash_ids":[7]}`, "x:1: 1 hash_ids, and a prompt of 1100 tokens has 3"},
		"a long line":      {azure + strings.Repeat("1", maxTraceLine+1), "x:2: is longer than"},
		"seconds":          {"Timestamp,Request tokens,Response tokens\nNaN,1,1\n", "x:2: Timestamp is no number of seconds"},
		"broken gzip":      {"\x1f\x8b\x00", "x: begins as gzip does"},
	} {
		if _, err := ReadTrace("x", strings.NewReader(tt.text), 0); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// FuzzReadTrace: whatever a file says, it is a trace whose requests come in order and
// can be sent, or an error.
func FuzzReadTrace(f *testing.F) {
	for _, name := range []string{"azure-llm-2023/code.csv", "mooncake/synthetic.jsonl", "burstgpt/columns.csv"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 600)])
	}
	f.Add([]byte("Timestamp,Request tokens,Response tokens\n1e8,1,1\n0,1,1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := ReadTrace("x", bytes.NewReader(b), 100)
		if err != nil {
			return
		}
		l := replay(tr)
		last, n := time.Duration(0), 0
		for a, ok := l.Next(); ok; a, ok = l.Next() {
			if a.At < last || a.Request.Input < 1 || a.Output < 1 || len(a.Request.Blocks) > a.Request.Input/latency.PrefixTokens {
				t.Fatal(fmt.Sprint(a.At, last, a.Request.Input, a.Output, len(a.Request.Blocks)))
			}
			last = a.At
			n++
		}
		if n != tr.Rows() || n == 0 {
			t.Fatalf("%d of %d rows", n, tr.Rows())
		}
	})
}
