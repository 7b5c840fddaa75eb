package record

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// full returns a record with every field set to something that is not blank.
func full(t testing.TB) Record {
	t.Helper()
	var r Record
	r.Reset()
	fill := int64(1)
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		fill++
		switch {
		case name == "Considered" || name == "Tried" || name == "Candidates" || name == "Attempts":
		case f.Kind() == reflect.String:
			f.SetString(name)
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.Kind() == reflect.Int64:
			f.SetInt(fill * 1000)
		case f.Kind() == reflect.Uint8:
			f.SetUint(1)
		case f.Kind() == reflect.Array && f.Type().Elem().Kind() == reflect.Int16:
			for j := range f.Len() {
				f.Index(j).SetInt(fill - int64(2*j))
			}
		case f.Kind() == reflect.Array:
			for j := range f.Len() {
				f.Index(j).SetUint(uint64(fill) + uint64(j))
			}
		default:
			t.Fatalf("field %s has kind %v: give it a column and teach this test", name, f.Kind())
		}
	}
	for i := range 12 {
		r.Consider(Candidate{Upstream: "eu", Replica: string(rune('a' + i)), Model: "m", Score: -float64(i) / 3, WhyNot: "slower", Won: i == 11, Judged: true, Worth: -1, Parts: [inference.Terms]float32{-1, 0, 0.5}})
		r.Try(Attempt{Upstream: "eu", Replica: string(rune('a' + i)), Start: int64(i), Duration: -1, Fault: fault.Connect, Free: true, Reason: "refused"})
	}
	return r
}

func drawRecord(t *rapid.T) Record {
	var r Record
	r.Reset()
	text := rapid.StringN(0, 40, MaxText)
	num := rapid.OneOf(rapid.Int64Range(-1, 1000), rapid.Int64())
	for i := range table {
		c := &table[i]
		switch {
		case c.Name == "candidates" || c.Name == "attempts":
		case c.Kind == Int:
			*c.num(&r) = num.Draw(t, c.Name)
		case c.Kind == Flag:
			*c.flag(&r) = rapid.Bool().Draw(t, c.Name)
		case c.Kind == ID:
			copy(c.id(&r)[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, c.Name))
		case c.text != nil:
			*c.text(&r) = text.Draw(t, c.Name)
		}
	}
	kind := rapid.SampledFrom(append(fault.Kinds(), fault.None))
	r.Fault = kind.Draw(t, "fault")
	r.Class = rapid.SampledFrom([]tenant.Class{tenant.Critical, tenant.Standard, tenant.Sheddable, tenant.Batch}).Draw(t, "class")
	r.End = End(rapid.IntRange(0, int(ClientClosed)).Draw(t, "end"))
	r.UsageSource = UsageSource(rapid.IntRange(0, int(Estimated)).Draw(t, "source"))
	r.Finish = inference.Finish(rapid.IntRange(0, int(inference.Pause)).Draw(t, "finish"))
	if r.Complexity >= 0 {
		for i := range r.Signals {
			r.Signals[i] = rapid.Int16().Draw(t, "signal")
		}
	}
	for range rapid.IntRange(0, 12).Draw(t, "candidates") {
		judged, worth := rapid.Bool().Draw(t, "judged"), [inference.Terms]float32{}
		if judged {
			for i := range worth {
				worth[i] = float32(rapid.IntRange(-9, 9).Draw(t, "part")) / 2
			}
		}
		r.Consider(Candidate{
			Upstream: text.Draw(t, "cu"), Replica: text.Draw(t, "cr"), Model: text.Draw(t, "cm"),
			Score:  rapid.Float64().Filter(func(f float64) bool { return f == f }).Draw(t, "cs"),
			WhyNot: text.Draw(t, "cw"), Won: rapid.Bool().Draw(t, "won"),
			Judged: judged, Worth: worth[0], Parts: worth,
		})
	}
	for range rapid.IntRange(0, 12).Draw(t, "attempts") {
		r.Try(Attempt{
			Upstream: text.Draw(t, "au"), Replica: text.Draw(t, "ar"),
			Start: num.Draw(t, "as"), Duration: num.Draw(t, "ad"),
			Fault: kind.Draw(t, "af"), Free: rapid.Bool().Draw(t, "free"), Reason: text.Draw(t, "aw"),
		})
	}
	return r
}

func TestBinaryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		b := want.Append(nil)
		var got Record
		if err := got.Decode(b); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("read back another record (-want +got):\n%s", cmp.Diff(want, got))
		}
		if id, ok := PeekID(b); !ok || id != want.ID {
			t.Fatalf("PeekID = %v %v, want %v", id, ok, want.ID)
		}
	})
}

// Every field of Record is in the table: a field that has no column would be lost
// on its way to disk.
func TestEveryFieldHasAColumn(t *testing.T) {
	want := full(t)
	var got Record
	if err := got.Decode(want.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("fields without a column (-want +got):\n%s", cmp.Diff(want, got))
	}
	var row map[string]any
	if err := json.Unmarshal(want.AppendJSON(nil), &row); err != nil {
		t.Fatal(err)
	}
	for _, c := range Columns() {
		if v, ok := row[c.Name]; !ok || v == nil || v == "" {
			t.Errorf("JSON has %s = %v, want a value", c.Name, v)
		}
	}
}

func TestNumbersAndNamesAreUnique(t *testing.T) {
	numbers, names := map[byte]string{}, map[string]bool{}
	for _, c := range table {
		if names[c.Name] {
			t.Errorf("two columns are named %s", c.Name)
		}
		names[c.Name] = true
		if c.number == 0 {
			continue
		}
		if other, ok := numbers[c.number]; ok || c.number == candidateNumber || c.number == attemptNumber || c.number == signalsNumber || c.number > most {
			t.Errorf("column %s has number %d, which is taken (%s)", c.Name, c.number, other)
		}
		numbers[c.number] = c.Name
		if got := numbered(uint64(c.number)); got == nil || got.Name != c.Name {
			t.Errorf("number %d finds %v, want %s", c.number, got, c.Name)
		}
	}
	if c := numbered(61); c != nil {
		t.Errorf("number 61 finds %s, want none", c.Name)
	}
}

// A blank record is small, and its measures are not zero.
func TestBlank(t *testing.T) {
	var r Record
	r.Reset()
	if got, want := len(r.Append(nil)), 19; got != want {
		t.Errorf("a blank record has %d bytes, want %d: version and id", got, want)
	}
	for _, c := range Columns() {
		if c.Kind == Int && c.Unit != "" && c.Int(&r) != -1 {
			t.Errorf("blank %s = %d, want -1", c.Name, c.Int(&r))
		}
	}
}

// What a later version writes is skipped, not refused.
func TestUnknownColumnsAreSkipped(t *testing.T) {
	want := full(t)
	b := want.Append(nil)
	b = binary.AppendVarint(append(b, 60<<1|wireInt), -5)
	b = append(b, 61<<1|wireBytes, 3, 'n', 'e', 'w')
	b = binary.AppendUvarint(b, 1000<<1|wireInt)
	b = binary.AppendVarint(b, 7)
	var got Record
	if err := got.Decode(b); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("unknown columns changed the record:\n%s", cmp.Diff(want, got))
	}
}

// A name out of a closed set that this version does not know stays a fault where
// it is one, and is blank elsewhere.
func TestUnknownNames(t *testing.T) {
	b := []byte{version, 1<<1 | wireBytes, 16}
	b = append(b, make([]byte, 16)...)
	b = append(append(b, 52<<1|wireBytes, 5), "novel"...)
	b = append(append(b, 54<<1|wireBytes, 5), "novel"...)
	var r Record
	if err := r.Decode(b); err != nil {
		t.Fatal(err)
	}
	if r.Fault != fault.Internal || r.End != Open {
		t.Errorf("got fault %v, end %q; want internal and none", r.Fault, r.End)
	}
}

func TestDecodeRefuses(t *testing.T) {
	r := full(t)
	good := r.Append(nil)
	for name, b := range map[string][]byte{
		"empty":             {},
		"version":           append([]byte{9}, good[1:]...),
		"cut":               good[:len(good)-1],
		"int as bytes":      {version, 3<<1 | wireBytes, 1, 0},
		"text as int":       {version, 5<<1 | wireInt, 2},
		"short id":          {version, 1<<1 | wireBytes, 2, 0, 0},
		"long text":         {version, 5<<1 | wireBytes, 255, 255, 255, 255, 15},
		"negative count":    {version, 32<<1 | wireInt, 3},
		"count, no entries": {version, 32<<1 | wireInt, 2},
		"empty candidate":   {version, 32<<1 | wireInt, 2, candidateNumber<<1 | wireBytes, 0},
	} {
		var got Record
		if err := got.Decode(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

func TestTextIsCutAtARune(t *testing.T) {
	for _, s := range []string{strings.Repeat("é", 200), strings.Repeat("a", 255) + "日本", strings.Repeat("a", 300), strings.Repeat("\xff", 300)} {
		got := clip(s)
		if len(got) > MaxText || len(got) < MaxText-utf8.UTFMax || !strings.HasPrefix(s, got) {
			t.Errorf("clip kept %d bytes of %d, want just under %d", len(got), len(s), MaxText)
		}
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("clip cut a rune of %q...", s[:8])
		}
	}
}

func TestJSONMatchesEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "s"))
		var got string
		if err := json.Unmarshal(appendQuoted(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
	r := full(t)
	r.TTFT, r.Cost = -1, 0
	var row struct {
		ID    string `json:"request_id"`
		TTFT  *int64 `json:"ttft"`
		Cost  *int64 `json:"cost"`
		Owner string `json:"owner"`
	}
	b, err := json.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &row); err != nil {
		t.Fatal(err)
	}
	if row.ID != r.ID.String() || row.TTFT != nil || row.Cost == nil || row.Owner != "caller" {
		t.Errorf("got %+v, want the id, no ttft, a cost of 0 and owner caller", row)
	}
}

func TestWinnerIsAlwaysKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Record
		r.Reset()
		n := rapid.IntRange(1, 30).Draw(t, "n")
		won := rapid.IntRange(0, n-1).Draw(t, "won")
		for i := range n {
			r.Consider(Candidate{Replica: string(rune('A' + i)), Won: i == won})
		}
		if r.Considered != int64(n) || len(r.Kept()) != min(n, len(r.Candidates)) {
			t.Fatalf("considered %d, kept %d, want %d of %d", r.Considered, len(r.Kept()), min(n, 9), n)
		}
		w, ok := r.Winner()
		if !ok || w.Replica != string(rune('A'+won)) {
			t.Fatalf("winner is %v %v, want %c", w, ok, 'A'+won)
		}
		e := r.Explain()
		if e.Chosen == nil || e.Chosen.Replica != w.Replica || len(e.Candidates) != len(r.Kept()) {
			t.Fatalf("explanation chose %+v among %d", e.Chosen, len(e.Candidates))
		}
	})
}

func TestExplainWithoutAChoice(t *testing.T) {
	var r Record
	r.Reset()
	r.Consider(Candidate{Replica: "a", Score: math.Inf(1), WhyNot: "down"})
	b, err := json.Marshal(r.Explain())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"chosen":null`, `"attempts":[]`, `"why_not":"down"`} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s does not hold %s", b, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := full(f)
	f.Add(r.Append(nil))
	r.Reset()
	f.Add(r.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Record
		if r.Decode(b) != nil {
			return
		}
		canon := r.Append(nil)
		if err := again.Decode(canon); err != nil {
			t.Fatalf("own bytes do not parse: %v", err)
		}
		if got := again.Append(nil); !bytes.Equal(got, canon) {
			t.Fatalf("two binary forms of one record:\n%x\n%x", canon, got)
		}
		if !json.Valid(r.AppendJSON(nil)) {
			t.Fatalf("not JSON: %s", r.AppendJSON(nil))
		}
		if _, err := json.Marshal(r.Explain()); err != nil {
			t.Fatal(err)
		}
	})
}

// typical is a record as one answered request leaves it.
func typical() *Record {
	r := new(Record)
	r.Reset()
	r.ID = inference.ID{1, 2, 3}
	r.Time, r.Seq, r.Generation = 1_790_000_000_000_000, 12345, 3
	r.Tenant, r.Key, r.Tier, r.Origin = "acme", "ci", "pro", "app"
	r.Cell, r.Region, r.Zone, r.Hardware = "eu-west", "eu-west", "a", "h100"
	r.Surface, r.Operation, r.Stream, r.AskedModel, r.Class = "openai", "chat", true, "assistant", tenant.Standard
	r.MaxTokens, r.EstimatedInput, r.BytesIn, r.ToolsOffered = 256, 240, 1024, 0
	r.Admit, r.Model, r.Upstream, r.UpstreamModel, r.Replica, r.RouteReason = "admitted", "assistant", "eu-vllm", "qwen3-32b", "2", "first available"
	r.Scan, r.Queue, r.TTFT, r.UpstreamTTFT, r.TPOT, r.GapMax, r.Total, r.Overhead = 8, 0, 188000, 187500, 22000, 41000, 2_100_000, 90
	r.Input, r.Output, r.CacheRead, r.Cost, r.UsageSource = 240, 90, 0, 51, Provider
	r.Status, r.Finish, r.End, r.Committed = 200, inference.Stop, OK, true
	r.Consider(Candidate{Upstream: "eu-vllm", Replica: "2", Model: "qwen3-32b", Score: 3, Won: true})
	r.Consider(Candidate{Upstream: "eu-vllm", Replica: "1", Model: "qwen3-32b", Score: 5, WhyNot: "no fewer in flight"})
	r.Try(Attempt{Upstream: "eu-vllm", Replica: "2", Start: 100, Duration: 2_099_000})
	return r
}

func TestAppendDoesNotAllocate(t *testing.T) {
	r, b := typical(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { b = r.Append(b[:0]) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	r, buf := typical(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.Append(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "B/record")
}

func BenchmarkDecode(b *testing.B) {
	buf := typical().Append(nil)
	var r Record
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReset(b *testing.B) {
	r := new(Record)
	for b.Loop() {
		r.Reset()
	}
}
