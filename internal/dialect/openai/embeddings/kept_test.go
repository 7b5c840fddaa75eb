package embeddings

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

func scanned(t interface{ Fatal(...any) }, b []byte) *scan.Doc {
	d := new(scan.Doc)
	if err := d.ScanLean(b); err != nil {
		t.Fatal(err)
	}
	return d
}

// What is kept of a vector is it bit by bit, however its numbers are written, and comes
// back as the same numbers, or in base64 as their single precision.
func TestKeptExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		form := rapid.SampledFrom([]string{"single as double", "shortest single", "double", "integers", "base64"}).Draw(t, "form")
		singles := rapid.SliceOfN(rapid.Float32Range(-1e30, 1e30), 1, 20).Draw(t, "numbers")
		var shown []byte
		want := make([]float64, len(singles)) // as a reader of the answer sees them
		switch form {
		case "base64":
			var raw []byte
			for i, x := range singles {
				raw, want[i] = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x)), float64(x)
			}
			shown, _ = json.Marshal(base64.StdEncoding.EncodeToString(raw))
		case "shortest single":
			shown, _ = json.Marshal(singles)
		default:
			doubles := make([]float64, len(singles))
			for i, x := range singles {
				doubles[i] = float64(x)
				if form == "double" {
					doubles[i] = float64(x) / 3
				} else if form == "integers" {
					doubles[i] = float64(int8(x))
				}
			}
			shown, _ = json.Marshal(doubles)
		}
		if form != "base64" {
			if err := json.Unmarshal(shown, &want); err != nil {
				t.Fatal(err)
			}
		}
		kept, ok := AppendKept([]byte("before"), scanned(t, shown).Root())
		kept = kept[len("before"):]
		if !ok || KeptLen(kept) != len(want) {
			t.Fatalf("%s: %v, %d numbers of %d", shown, ok, KeptLen(kept), len(want))
		}
		var got []float64
		if err := json.Unmarshal(appendVector(nil, kept, false), &got); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
				t.Errorf("%s: number %d is %v, want %v", shown, i, got[i], want[i])
			}
		}
		var packed string
		if err := json.Unmarshal(appendVector(nil, kept, true), &packed); err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(packed)
		if err != nil || len(raw) != 4*len(want) {
			t.Fatalf("%s in base64: %v, %d bytes", shown, err, len(raw))
		}
		for i := range want {
			if x := binary.LittleEndian.Uint32(raw[4*i:]); x != math.Float32bits(float32(want[i])) {
				t.Errorf("%s in base64: number %d is %x, want %x", shown, i, x, math.Float32bits(float32(want[i])))
			}
		}
	})
}

func TestNotKept(t *testing.T) {
	for _, text := range []string{`[]`, `[[1,2]]`, `[1,"2"]`, `[1,null]`, `{}`, `null`, `7`, `""`, `"AAA"`, `"not base64"`, `"AAAAAAA="`} {
		d := new(scan.Doc)
		if err := d.ScanLean([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if kept, ok := AppendKept(nil, d.Root()); ok {
			t.Errorf("%s is kept as %x", text, kept)
		}
	}
	for _, kept := range [][]byte{nil, {}, {singleAsDouble}, {singleAsDouble, 1, 2, 3}, {double, 1, 2, 3, 4}, {9, 1, 2, 3, 4}} {
		if n := KeptLen(kept); n != 0 {
			t.Errorf("%x is %d numbers", kept, n)
		}
	}
}

// Which requests have texts whose vectors depend on nothing else.
func TestTexts(t *testing.T) {
	for body, want := range map[string]int{
		`{"model":"m","input":"a"}`: 1,
		`{"model":"m","input":["a","b"],"dimensions":3,"encoding_format":"base64"}`: 2,
		`{"model":"m","input":["a"],"user":"u","input_type":"query"}`:               1,
		`{"model":"m","input":["a"],"late_chunking":null}`:                          1,
		`{"model":"m","input":["a"],"late_chunking":true}`:                          0,
		`{"model":"m","input":["a"],"embedding_types":["int8"]}`:                    0,
		`{"model":"m","input":["a",[1,2]]}`:                                         0,
		`{"model":"m","input":[1,2]}`:                                               0,
		`{"model":"m","input":[]}`:                                                  0,
		`{"model":"m","messages":[{"role":"user","content":"a"}]}`:                  0,
	} {
		d := new(scan.Doc)
		if err := d.Scan([]byte(body), Shape()); err != nil {
			t.Fatal(err)
		}
		if got := Texts(d); len(got) != want {
			t.Errorf("%s: %d texts, want %d", body, len(got), want)
		}
	}
}

// An answer to all texts of a request is the one that the upstream would have given, but
// for the texts that it did not have to read.
func TestMixed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "texts")
		known := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "known")
		withIndex := rapid.Bool().Draw(t, "index")
		kept, asked := make([][]byte, n), make([]int, n)
		answer, some := []byte(`{"id":"x","data":[`), 0
		for i := range n {
			vector := fmt.Appendf(nil, "[%d,0.5]", i)
			if known[i] {
				kept[i], _ = AppendKept(nil, scanned(t, vector).Root())
				continue
			}
			if some > 0 {
				answer = append(answer, ',')
			}
			asked[i] = some
			if withIndex {
				answer = fmt.Appendf(answer, `{"object":"embedding","index":%d,"embedding":%s,"extra":"e%d"}`, some, vector, i)
			} else {
				answer = fmt.Appendf(answer, `{"object":"embedding","embedding":%s,"extra":"e%d"}`, vector, i)
			}
			some++
		}
		if some == 0 {
			return
		}
		d := scanned(t, append(answer, `],"usage":{"prompt_tokens":3,"total_tokens":3}}`...))
		items, err := Items(d, some)
		if err != nil {
			t.Fatal(err)
		}
		mixed := AppendMixed(nil, d, items, kept, asked, false)
		var e inference.Event
		if err := ReadAnswer(scanned(t, mixed), &e); err != nil || e.Finishes != n || e.Usage.Input != 3 {
			t.Fatalf("%v, %+v: %s", err, e, mixed)
		}
		var got struct {
			ID   string
			Data []struct {
				Index     int
				Embedding []float64
				Extra     string
			}
		}
		if err := json.Unmarshal(mixed, &got); err != nil || got.ID != "x" {
			t.Fatalf("%v: %s", err, mixed)
		}
		for i, item := range got.Data {
			if item.Index != i || item.Embedding[0] != float64(i) || (item.Extra == "") != known[i] {
				t.Errorf("item %d: %+v", i, item)
			}
		}
	})
}

// FuzzKept: whatever an upstream calls an embedding, what is kept of it is a vector or
// nothing, and can be written down again.
func FuzzKept(f *testing.F) {
	for _, s := range []string{`[1,2.5,-3e-7]`, `"AACAPwAAAEA="`, `[ 1 , 2 ]`, `[1e400]`, `[[1],[2]]`, `[-0]`, `[0.1,0.2]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := new(scan.Doc)
		if d.ScanLean(b) != nil {
			return
		}
		kept, ok := AppendKept(nil, d.Root())
		if !ok {
			return
		}
		n := KeptLen(kept)
		for _, inBase64 := range []bool{false, true} {
			again, ok := AppendKept(nil, scanned(t, appendVector(nil, kept, inBase64)).Root())
			if !ok || KeptLen(again) != n {
				t.Fatalf("%s: kept as %x, again as %x", b, kept, again)
			}
			if !inBase64 && kept[0] == singleAsDouble && d.Root().Kind() == scan.Array && !bytes.Equal(again, kept) {
				t.Fatalf("%s: kept as %x, again as %x", b, kept, again)
			}
		}
	})
}
