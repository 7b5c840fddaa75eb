package reuse

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/tenant"

	"pgregory.net/rapid"
)

var rules = &fleet.Reuse{Exact: fleet.ExactAuto, TTL: time.Hour, Revalidate: 5 * time.Minute, IfError: time.Hour, Reach: tenant.Project}

func says(field string) *Control {
	c := &Control{}
	c.Read([]byte(field))
	return c
}

// TestDecide: the doors of auto, and what no door is open for.
func TestDecide(t *testing.T) {
	on, off, repeats := *rules, *rules, *rules
	on.Exact, off.Exact, repeats.Repeats = fleet.ExactOn, fleet.ExactOff, true
	cold := inference.Request{N: 1, Cold: true}
	warm := inference.Request{N: 1}
	with := func(change func(r *inference.Request)) inference.Request {
		r := cold
		change(&r)
		return r
	}
	all, fresh, silent := Plan{Read: true, Join: true, Write: true}, Plan{Write: true}, Plan{Read: true, Write: true}
	for name, tt := range map[string]struct {
		rules *fleet.Reuse
		r     inference.Request
		says  string
		want  Plan
	}{
		"no rules":               {nil, cold, "", Plan{WhyNot: Off}},
		"off":                    {&off, cold, "max-age=9", Plan{WhyNot: Off}},
		"auto, cold":             {rules, cold, "", all},
		"auto, warm":             {rules, warm, "", Plan{WhyNot: Drawn}},
		"auto, warm, min-fresh":  {rules, warm, "min-fresh=9", Plan{WhyNot: Drawn}},
		"auto, warm, max-age":    {rules, warm, "max-age=9", all},
		"auto, it repeats":       {&repeats, warm, "", all},
		"on, warm":               {&on, warm, "", all},
		"no-store":               {&on, cold, "no-store, max-age=9", Plan{WhyNot: Refused}},
		"no-cache":               {&on, cold, "no-cache", fresh},
		"only-if-cached":         {&on, cold, "only-if-cached", silent},
		"several":                {&on, with(func(r *inference.Request) { r.N = 2 }), "", Plan{WhyNot: Several}},
		"several prompts":        {&on, with(func(r *inference.Request) { r.Dialect, r.Prompts, r.N = inference.Completions, 2, 2 }), "", Plan{WhyNot: Several}},
		"several to be embedded": {&on, with(func(r *inference.Request) { r.Dialect, r.Prompts = inference.Embeddings, 2 }), "", all},
		"ranked":                 {&on, with(func(r *inference.Request) { r.Dialect = inference.Rerank }), "", all},
		"kept":                   {&on, with(func(r *inference.Request) { r.Apart = inference.Kept }), "", Plan{WhyNot: inference.Kept.Why()}},
		"hosted tools":           {&on, with(func(r *inference.Request) { r.Apart = inference.HostedUse | inference.Elsewhere }), "", Plan{WhyNot: inference.HostedUse.Why()}},
		"elsewhere":              {&on, with(func(r *inference.Request) { r.Apart = inference.Elsewhere }), "", Plan{WhyNot: inference.Elsewhere.Why()}},
		"sound":                  {&on, with(func(r *inference.Request) { r.Dialect = inference.Speech }), "", Plan{WhyNot: NoText}},
		"counted":                {&on, with(func(r *inference.Request) { r.Dialect = inference.AnthropicCount }), "", Plan{WhyNot: NoText}},
		"moderated":              {&on, with(func(r *inference.Request) { r.Dialect = inference.Moderations }), "", Plan{WhyNot: NoText}},
		"too long":               {&on, with(func(r *inference.Request) { r.Bytes = MaxBody + 1 }), "", Plan{WhyNot: TooLong}},
	} {
		if got := Decide(tt.rules, &tt.r, says(tt.says)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
		if (tt.want.WhyNot == "") != tt.want.Any() {
			t.Errorf("%s: a reason belongs to nothing, and to nothing else", name)
		}
	}
}

// TestEveryReasonHasWords: so that a record never holds an empty one.
func TestEveryReasonHasWords(t *testing.T) {
	for a := inference.Apart(1); a <= inference.Elsewhere; a <<= 1 {
		if a.Why() == "" {
			t.Errorf("%b has none", a)
		}
	}
}

// TestNothingAgainstTheCaller: whatever the times are, an answer that is given is within
// what the caller allows.
func TestNothingAgainstTheCaller(t *testing.T) {
	seconds := func(t *rapid.T, name string) time.Duration {
		return time.Duration(rapid.IntRange(0, 10_000).Draw(t, name)) * time.Second
	}
	rapid.Check(t, func(t *rapid.T) {
		c := &Control{}
		for _, field := range rapid.SliceOfN(rapid.SampledFrom([]string{"no-cache", "max-age=100", "max-age=5000", "min-fresh=60", "max-stale", "max-stale=300", "stale-if-error=9000", "only-if-cached"}), 0, 3).Draw(t, "says") {
			c.Read([]byte(field))
		}
		f := Found{Age: seconds(t, "age"), Took: seconds(t, "took")}
		f.Left = seconds(t, "left") - 5000*time.Second
		u := rapid.Float64Range(math.SmallestNonzeroFloat64, 1).Draw(t, "u")
		use := Judge(rules, f, c, u)
		switch {
		case use.Give && c.NoCache(),
			use.Give && c.said(maxAge) && f.Age > c.seconds(c.MaxAge),
			use.Give && c.said(minFresh) && f.Left < c.seconds(c.MinFresh),
			use.Give && f.Left <= 0 && !c.anyStale() && -f.Left > max(rules.Revalidate, c.seconds(c.MaxStale)),
			use.Spare && -f.Left > max(rules.IfError, c.seconds(c.StaleIfError)),
			use.Spare && c.NoCache(),
			use.Give && use.Spare,
			use.Renew && !use.Give:
			t.Fatalf("%+v of %+v for %+v", use, f, c)
		case use.Give && f.Left <= 0 && !use.Renew:
			t.Fatalf("a stale one is not renewed: %+v of %+v", use, f)
		}
	})
}

// TestEarlyRenewal: of those who come when as much time is left as an answer takes, a
// share of 1/e renews it (VLDB 2015, section 3.2); nobody does long before.
func TestEarlyRenewal(t *testing.T) {
	renewed := 0
	const n = 100_000
	for i := range n {
		u := (float64(i) + 1) / n
		if Judge(rules, Found{Age: time.Minute, Left: 10 * time.Second, Took: 10 * time.Second}, &Control{}, u).Renew {
			renewed++
		}
		if Judge(rules, Found{Left: time.Hour, Took: 10 * time.Second}, &Control{}, u).Renew {
			t.Fatalf("an hour before, by u = %v", u)
		}
	}
	if share := float64(renewed) / n; math.Abs(share-1/math.E) > 1e-3 {
		t.Errorf("renewed by %.4f", share)
	}
}

// TestLife: a life is within a tenth of what is asked for, and keys have different ones.
func TestLife(t *testing.T) {
	lives := map[time.Duration]bool{}
	rapid.Check(t, func(t *rapid.T) {
		var key [32]byte
		copy(key[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		l := Life(time.Hour, key)
		if lives[l] = true; l < 54*time.Minute || l > 66*time.Minute {
			t.Fatalf("%v", l)
		}
	})
	if len(lives) < 20 {
		t.Errorf("%d lives", len(lives))
	}
}

func TestSpares(t *testing.T) {
	for _, k := range fault.Kinds() {
		if Spares(k) && (k.Info().Owner == fault.Caller || k == fault.Draining) {
			t.Errorf("%v is no lack of room, and not of the network", k)
		}
	}
	if !Spares(fault.UpstreamCapacity) || !Spares(fault.Connect) || !Spares(fault.NoReplica) {
		t.Error("an old answer is better than none")
	}
}

// TestCircumstances: each of what an answer depends on makes another key, and so does
// where one text ends and the next begins.
func TestCircumstances(t *testing.T) {
	type asked struct {
		r    inference.Request
		c    tenant.Caller
		w    tenant.Wish
		m    fleet.Model
		form bool
		h    []string
	}
	changes := map[string]func(a *asked){
		"nothing":    func(*asked) {},
		"dialect":    func(a *asked) { a.r.Dialect = inference.Anthropic },
		"form":       func(a *asked) { a.form, a.r.Stream = true, true },
		"model":      func(a *asked) { a.m.Name = "n" },
		"mark":       func(a *asked) { a.m.Reuse = &fleet.Reuse{Mark: "2"} },
		"tier":       func(a *asked) { a.c.Tier.Name = "pro" },
		"models":     func(a *asked) { a.c.Models = []string{"m"} },
		"more":       func(a *asked) { a.c.Models = []string{"m", ""} },
		"bound":      func(a *asked) { a.c.Residency.Bound = true },
		"regions":    func(a *asked) { a.c.Residency.Regions = []string{"m"} },
		"wish":       func(a *asked) { a.w.Prefer = tenant.Price },
		"first":      func(a *asked) { a.w.Objective.TTFT = 1 },
		"each":       func(a *asked) { a.w.Objective.TPOT = 1 },
		"fall back":  func(a *asked) { a.r.Models = []string{"m"} },
		"header":     func(a *asked) { a.h = []string{"m", ""} },
		"two fields": func(a *asked) { a.h = []string{"m", "", "m", ""} },
	}
	seen := map[string]string{}
	for name, change := range changes {
		a := asked{m: fleet.Model{Name: "m", Reuse: &fleet.Reuse{Mark: "1"}}}
		change(&a)
		got := string(Circumstances(nil, &a.r, &a.c, &a.w, &a.m, a.form, a.h))
		if other, twice := seen[got]; twice {
			t.Errorf("%s and %s are one", name, other)
		}
		seen[got] = name
	}
	a := asked{m: fleet.Model{Name: "m", Reuse: &fleet.Reuse{Mark: "1"}}}
	plain := Circumstances(nil, &a.r, &a.c, &a.w, &a.m, false, nil)
	a.r.Stream, a.c.Key, a.c.KeyID = true, "another key", "of the same project"
	if !bytes.Equal(plain, Circumstances(nil, &a.r, &a.c, &a.w, &a.m, false, nil)) {
		t.Error("how an answer is written, or which key of a scope asks, changes it")
	}
}

// TestLeave: what is left out of a key cannot change an answer, and all else stays.
func TestLeave(t *testing.T) {
	canonical := func(body string) string {
		var d scan.Doc
		if err := d.Scan([]byte(body), nil); err != nil {
			t.Fatal(err)
		}
		return string(d.Root().AppendCanonical(nil, Leave))
	}
	for _, tt := range [][2]string{
		{`{"model":"a","stream":true,"stream_options":{},"user":"u","metadata":{},"messages":[]}`, `{"messages":[]}`},
		{`{"messages":[{"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}],"top_p":null}`, `{"messages":[{"content":[{"text":"a","type":"text"}]}]}`},
		{`{"seed":9007199254740993,"temperature":1.0}`, `{"seed":9007199254740993,"temperature":1}`},
		{`{"messages":[{"user":"u","model":null}],"x":{"stream":1}}`, `{"messages":[{"model":null,"user":"u"}],"x":{"stream":1}}`},
	} {
		if got := canonical(tt[0]); got != tt[1] {
			t.Errorf("%s is %s, want %s", tt[0], got, tt[1])
		}
	}
}

// FuzzControl: no field makes a control that contradicts itself, and several fields say
// what one says that joins them (RFC 9110, section 5.3).
func FuzzControl(f *testing.F) {
	for _, s := range []string{"no-cache", `max-age="60", no-store`, "max-age=-1", "max-stale", "max-stale=99999999999999", ",,=,", "min-fresh", "Only-If-Cached ,\tSTALE-IF-ERROR = 5"} {
		f.Add(s, "max-age=5")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		c := says(a)
		c.Read([]byte(b))
		if joined := says(a + "," + b); *c != *joined {
			t.Errorf("apart %+v, joined %+v", c, joined)
		}
		for _, n := range []int32{c.MaxAge, c.MinFresh, c.MaxStale, c.StaleIfError} {
			if n < 0 {
				t.Errorf("%+v", c)
			}
		}
	})
}

func drawDelta(t *rapid.T) inference.Delta {
	text := rapid.StringN(0, 8, 32)
	d := inference.Delta{
		Kind: inference.DeltaKind(rapid.IntRange(0, int(inference.End)).Draw(t, "kind")), Index: rapid.IntRange(0, 300).Draw(t, "index"),
		Text: text.Draw(t, "text"), ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Model: text.Draw(t, "model"), StopSequence: text.Draw(t, "stop"),
		Finish: inference.Finish(rapid.IntRange(0, int(inference.Pause)).Draw(t, "finish")),
	}
	if rapid.Bool().Draw(t, "counted") {
		d.Usage = drawUsage(t)
	}
	return d
}

func drawUsage(t *rapid.T) inference.Usage {
	n := rapid.IntRange(0, 1<<40)
	return inference.Usage{
		Input: n.Draw(t, "input"), Output: n.Draw(t, "output"), CacheRead: n.Draw(t, "read"), CacheWrite: n.Draw(t, "write"),
		CacheWriteHour: n.Draw(t, "hour"), Reasoning: n.Draw(t, "reasoning"), Known: rapid.Bool().Draw(t, "known"),
	}
}

func drawRecording(t *rapid.T) *Recording {
	text := rapid.StringN(0, 8, 32)
	r := &Recording{
		Stream: rapid.Bool().Draw(t, "stream"), Media: text.Draw(t, "media"), Model: text.Draw(t, "model"), Upstream: text.Draw(t, "upstream"),
		Region: text.Draw(t, "region"), Simulated: rapid.Bool().Draw(t, "simulated"), Lexical: rapid.Bool().Draw(t, "lexical"),
		Finish: inference.Finish(rapid.IntRange(0, int(inference.Pause)).Draw(t, "finish")), Usage: drawUsage(t), Cost: int64(rapid.IntRange(-1, 1<<40).Draw(t, "cost")),
	}
	r.Dropped = rapid.SliceOfN(text, 0, 3).Draw(t, "dropped")
	if len(r.Dropped) == 0 {
		r.Dropped = nil
	}
	if len(r.Passages) == 0 {
		for range rapid.IntRange(0, 2).Draw(t, "passages") {
			r.Passages = append(r.Passages, inference.Passage{Collection: text.Draw(t, "collection"), Text: text.Draw(t, "passage"), Start: 1, End: 9, Version: 7})
		}
	}
	if n := len(r.Passages); n > 0 && rapid.Bool().Draw(t, "cited") {
		r.Cited = true
		r.Citations = []inference.Citation{{Number: n, Passage: &r.Passages[n-1], Mark: [2]int{3, 6}, Claim: [2]int{0, 3}, Source: [2]int{1, 5}, Quote: text.Draw(t, "quote"), Characters: [2]int{2, 5}}}
	}
	if rapid.Bool().Draw(t, "steps") {
		r.Deltas = []inference.Delta{}
		for range rapid.IntRange(0, 5).Draw(t, "deltas") {
			r.Deltas = append(r.Deltas, drawDelta(t))
		}
		return r
	}
	events := rapid.SliceOfN(rapid.SampledFrom([]string{
		"data: {\"id\":\"theirs\",\"created\": 1700000000,\"text\":\"a\"}\n\n", "data: {\"id\":\"theirs\",\"created\": 1700000000,\"text\":\"bcd\"}\n\n",
		"event: x\ndata: {\"id\":\"theirs\"}\n\n", "{\"said\":\"\\\"theirs\\\" of \\\"created\\\": 1700000000\"}\n", "\n", "x", "\"created\": 17000000001,", "\"created\": 1700000000.5",
	}), 1, 9).Draw(t, "events")
	for i, e := range events {
		r.Raw = append(r.Raw, e...)
		if i == len(events)-1 && rapid.Bool().Draw(t, "aside") {
			r.Aside = len(e)
		}
	}
	return r
}

// TestRecordingComesBack: what is written down is what is read, whatever it holds.
func TestRecordingComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecording(t)
		if r.Raw != nil {
			r.Name([]byte(`"theirs"`), []byte(`"created": 1700000000`), 9)
		}
		b := r.Append(nil)
		got, err := Read(b)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		same := got.Stream == r.Stream && got.Media == r.Media && got.Model == r.Model && got.Upstream == r.Upstream && got.Region == r.Region &&
			got.Simulated == r.Simulated && got.Lexical == r.Lexical && slices.Equal(got.Dropped, r.Dropped) && got.Finish == r.Finish && got.Usage == r.Usage && got.Cost == r.Cost &&
			slices.Equal(got.Passages, r.Passages) && got.Cited == r.Cited && slices.EqualFunc(got.Citations, r.Citations, func(a, b inference.Citation) bool {
			x, y := *a.Passage, *b.Passage
			a.Passage, b.Passage = nil, nil
			return a == b && x == y
		}) &&
			bytes.Equal(got.Raw, r.Raw) && got.Aside == r.Aside && slices.Equal(got.Deltas, r.Deltas) &&
			slices.Equal(got.Names.ID, r.Names.ID) && got.Names.IDLen == r.Names.IDLen && slices.Equal(got.Names.Created, r.Names.Created)
		if !same {
			t.Fatalf("got  %+v\nwant %+v", got, r)
		}
		for i := range b {
			if _, err := Read(b[:i]); err == nil {
				t.Fatalf("the first %d of %d bytes pass for whole", i, len(b))
			}
		}
	})
}

// TestNames: an answer has other names wherever it had its own, and nowhere else.
func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecording(t)
		if r.Raw == nil {
			return
		}
		before, aside := string(r.Raw), r.Aside
		r.Name([]byte(`"theirs"`), []byte(`"created": 1700000000`), 7)
		if !r.Rename("theirs1", []byte("1800000000")) {
			t.Fatal("they do not fit")
		}
		want := bytes.ReplaceAll([]byte(before), []byte(`"theirs"`), []byte(`"theirs1"`))
		want = bytes.ReplaceAll(want, []byte(`"created": 17000000001`), []byte("\x00"))
		want = bytes.ReplaceAll(want, []byte(`"created": 1700000000.5`), []byte("\x01"))
		want = bytes.ReplaceAll(want, []byte(`"created": 1700000000`), []byte(`"created": 1800000000`))
		want = bytes.ReplaceAll(want, []byte("\x00"), []byte(`"created": 17000000001`))
		want = bytes.ReplaceAll(want, []byte("\x01"), []byte(`"created": 1700000000.5`))
		if string(r.Raw) != string(want) {
			t.Fatalf("got  %q\nwant %q", r.Raw, want)
		}
		if tail := before[len(before)-aside:]; r.Aside != len(bytes.ReplaceAll([]byte(tail), []byte(`"theirs"`), []byte(`"theirs1"`))) {
			t.Fatalf("%d bytes are aside of %q, were %d of %q", r.Aside, r.Raw, aside, before)
		}
		if len(r.Names.ID) > 0 && r.Rename("longer than it was", []byte("1800000000")) {
			t.Fatal("a name that has no room fits")
		}
	})
}

// TestEventsTakeLittle: a stream of many words takes less than twice its text.
func TestEventsTakeLittle(t *testing.T) {
	r := &Recording{Stream: true}
	text := 0
	for i := range 500 {
		word := " word"[:1+i%5]
		text += len(word)
		r.Raw = append(r.Raw, `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5.4","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":"`+word+`"},"logprobs":null,"finish_reason":null}]}`+"\n\n"...)
	}
	if n := len(r.Append(nil)); n > len(r.Raw)/25 {
		t.Errorf("%d bytes of text in %d of events take %d", text, len(r.Raw), n)
	}
}

// FuzzRead: whatever is in a store, reading it neither fails otherwise than by an error
// nor gives names a place where there is none.
func FuzzRead(f *testing.F) {
	r := &Recording{Stream: true, Raw: []byte("data: {\"id\":\"a\",\"created\":1700000000}\n\ndata: {\"id\":\"a\",\"created\":1700000000}\n\n"), Model: "m", Dropped: []string{"x"}}
	r.Name([]byte(`"a"`), []byte(`"created":1700000000`), 3)
	f.Add(r.Append(nil))
	f.Add((&Recording{Deltas: []inference.Delta{{Kind: inference.TextDelta, Text: "a"}, {Kind: inference.End, Usage: inference.Usage{Input: 1, Known: true}}}}).Append(nil))
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Read(b)
		if err != nil {
			return
		}
		r.Rename(string(make([]byte, max(r.Names.IDLen, 0))), make([]byte, createdLen))
		if again, err := Read(r.Append(nil)); err != nil || !bytes.Equal(again.Raw, r.Raw) || len(again.Deltas) != len(r.Deltas) {
			t.Errorf("read again: %v", err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	r := &Recording{Stream: true}
	for range 500 {
		r.Raw = append(r.Raw, `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5.4","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}`+"\n\n"...)
	}
	r.Name([]byte(`"chatcmpl-123"`), []byte(`"created":1700000000`), 45)
	kept := r.Append(nil)
	b.SetBytes(int64(len(r.Raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(kept); err != nil {
			b.Fatal(err)
		}
	}
}
