package embeddings

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func request(t testing.TB, body string) (*scan.Doc, inference.Request, error) {
	t.Helper()
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	var r inference.Request
	err := ReadRequest(&d, &r)
	return &d, r, err
}

func TestReadRequest(t *testing.T) {
	for body, want := range map[string]inference.Request{
		`{"model":"m","input":"12345678"}`:                                       {Prompts: 1, Input: 2, Longest: 2},
		`{"model":"m","input":["12345678","1234"],"encoding_format":"base64"}`:   {Prompts: 2, Input: 3, Longest: 2},
		`{"model":"m","input":[1,2,3],"dimensions":8,"encoding_format":"float"}`: {Prompts: 1, Input: 3, Longest: 3},
		`{"model":"m","input":[[1,2,3],[4]]}`:                                    {Prompts: 2, Input: 4, Longest: 3},
		`{"model":"m","messages":[{"role":"user","content":"12345678"}]}`:        {Prompts: 1, Input: 9},
	} {
		_, got, err := request(t, body)
		want.Model, want.Dialect, want.Bytes, want.N = "m", inference.Embeddings, len(body), 1
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`{"input":"a"}`:                                       "model",
		`{"model":"","input":"a"}`:                            "model",
		`{"model":"m"}`:                                       "input",
		`{"model":"m","input":[]}`:                            "input",
		`{"model":"m","input":[null]}`:                        "input",
		`{"model":"m","input":["a",[1]]}`:                     "input",
		`{"model":"m","input":1}`:                             "input",
		`{"model":"m","input":"a","encoding_format":"bytes"}`: "encoding_format",
		`{"model":"m","input":"a","dimensions":0}`:            "dimensions",
		`{"model":"m","input":"a","dimensions":"8"}`:          "dimensions",
		`{"model":"m","messages":"a"}`:                        "messages",
	} {
		_, _, err := request(t, body)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: got %v, want param %s", body, err, param)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	const usage = `,"usage":{"prompt_tokens":5,"total_tokens":5}`
	known := inference.Usage{Input: 5, Known: true}
	for body, want := range map[string]inference.Event{
		`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"model":"m"` + usage + `}`: {Finishes: 1, Usage: known},
		`{"data":[{"index":1,"embedding":[1]},{"index":0,"embedding":[2]}]` + usage + `}`:                              {Finishes: 2, Usage: known},
		`{"data":[{"embedding":"AACAPw=="},{"embedding":"AACAPw=="}],"usage":{"total_tokens":5}}`:                      {Finishes: 2, Usage: known},
		`{"data":[{"embedding":[[1,2],[3,4]]},{"embedding":[[1,2]]}]}`:                                                 {Finishes: 2}, // late interaction
	} {
		want.Content, want.Terminal = true, true
		for name, read := range map[string]func(*scan.Doc) error{
			"lean": func(d *scan.Doc) error { return d.ScanLean([]byte(body)) },
			"lax":  func(d *scan.Doc) error { return d.ScanLax([]byte(body)) },
		} {
			var d scan.Doc
			if err := read(&d); err != nil {
				t.Fatal(err)
			}
			var got inference.Event
			err := ReadAnswer(&d, &got)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s, %s: %v (-want +got)\n%s", body, name, err, diff)
			}
		}
	}
	for body, want := range map[string]fault.Kind{
		`{}`:                                fault.Malformed,
		`[]`:                                fault.Malformed,
		`{"data":[]}`:                       fault.Malformed,
		`{"data":[{"embedding":[]}]}`:       fault.Malformed,
		`{"data":[{"embedding":""}]}`:       fault.Malformed,
		`{"data":[{"embedding":null}]}`:     fault.Malformed,
		`{"data":[{"embedding":[1,null]}]}`: fault.Malformed,
		`{"data":[{"embedding":[1,[2]]}]}`:  fault.Malformed,
		`{"data":[{"embedding":[1]},{"embedding":[1,2]}]}`:                   fault.Malformed,
		`{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]}`: fault.Malformed,
		`{"data":[{"index":1,"embedding":[1]}]}`:                             fault.Mismatch,
		`{"data":[{"index":-1,"embedding":[1]}]}`:                            fault.Mismatch,
		`{"data":[{"embedding":[1]}],"data":[]}`:                             fault.Malformed,
		`{"data":[{"embedding":[1]}],"error":{"message":"x"}}`:               fault.UpstreamError,
		`{"object":"error","message":"x","code":404}`:                        fault.UpstreamRejected,
	} {
		for _, lean := range []bool{true, false} {
			var d scan.Doc
			read := d.ScanLax
			if lean {
				read = d.ScanLean
			}
			if err := read([]byte(body)); err != nil {
				t.Fatal(err)
			}
			var e inference.Event
			if err := ReadAnswer(&d, &e); err == nil || fault.Of(err).Kind != want {
				t.Errorf("%s, lean %v: got %v, want %v", body, lean, err, want)
			}
		}
	}
}

// An answer that was written is read as it was meant, in both codings.
func TestAppendVector(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(1, 9).Draw(t, "length")
		vectors := rapid.SliceOfN(rapid.SliceOfN(rapid.Float32Range(-1, 1), length, length), 1, 4).Draw(t, "vectors")
		inBase64 := rapid.Bool().Draw(t, "base64")
		var body []byte
		for i, v := range vectors {
			body = AppendVector(body, i, v, inBase64)
		}
		body = AppendEnd(body, "m", 7)
		var d scan.Doc
		if err := d.Scan(body, nil); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		var e inference.Event
		if err := ReadAnswer(&d, &e); err != nil || e.Finishes != len(vectors) || e.Usage.Input != 7 {
			t.Fatalf("%v, %+v: %s", err, e, body)
		}
		var said struct {
			Data []struct {
				Index     int
				Embedding json.RawMessage
			}
		}
		if err := json.Unmarshal(body, &said); err != nil {
			t.Fatal(err)
		}
		for i, v := range said.Data {
			var got []float32
			if inBase64 {
				var text string
				_ = json.Unmarshal(v.Embedding, &text)
				raw, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				for b := range slices.Chunk(raw, 4) {
					got = append(got, math.Float32frombits(binary.LittleEndian.Uint32(b)))
				}
			} else if err := json.Unmarshal(v.Embedding, &got); err != nil {
				t.Fatal(err)
			}
			if v.Index != i || !slices.Equal(got, vectors[i]) {
				t.Fatalf("vector %d is %v, want %v", v.Index, got, vectors[i])
			}
		}
	})
}

func TestDecode(t *testing.T) {
	d, _, err := request(t, `{"model":"m","input":["a","caf\u00e9"],"dimensions":8,"encoding_format":"base64"}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(d)
	if diff := cmp.Diff(&Wanted{Texts: []string{"a", "café"}, Dimensions: 8, Base64: true}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	for body, param := range map[string]string{`"input":[1,2]`: "input", `"input":[[1]]`: "input", `"messages":[]`: "messages"} {
		d, _, err := request(t, `{"model":"m",`+body+`}`)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(d); err == nil || fault.Of(err).Kind != fault.Unsupported || fault.Of(err).Param != param {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, body := range []string{`{"models":["x"],"model":"m","prompt":"a","input":"a","query":"a","documents":["b"]}`, `{"model":"m","input":"a"}`, `{"model":"m","input":[[1,2],[3]],"dimensions":3}`, `{"model":"m","input":["a"],"encoding_format":"float"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		var r inference.Request
		if d.Scan(body, Shape()) != nil || ReadRequest(&d, &r) != nil {
			return
		}
		if r.Model == "" || r.Prompts < 1 || r.Longest > r.Input || r.Input < 1 || r.Stream {
			t.Fatalf("%s: got %+v", body, r)
		}
		var again scan.Doc
		out := scan.Splice(nil, body, openai.Rename(nil, &d, "upstream"))
		var sent inference.Request
		if again.Scan(out, Shape()) != nil || ReadRequest(&again, &sent) != nil || sent.Model != "upstream" || sent.Models != nil || sent.Prompts != r.Prompts {
			t.Fatalf("%s became %s", body, out)
		}
		if w, err := Decode(&d); err == nil && len(w.Texts) != r.Prompts {
			t.Fatalf("%s: %d texts of %d", body, len(w.Texts), r.Prompts)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, body := range []string{`{"data":[{"index":0,"embedding":[1,2]}]}`, `{"data":[{"embedding":"AAAA"}],"usage":{"prompt_tokens":1}}`, `{"error":{"code":429}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var lean, lax scan.Doc
		if lean.ScanLean(body) != nil || lax.ScanLax(body) != nil {
			return
		}
		var a, b inference.Event
		errA, errB := ReadAnswer(&lean, &a), ReadAnswer(&lax, &b)
		if (errA == nil) != (errB == nil) || a != b {
			t.Fatalf("%s: %+v %v, %+v %v", body, a, errA, b, errB)
		}
		if f := fault.Of(errA); errA != nil && f.Words == "" {
			t.Fatalf("%s: %v has no words", body, errA)
		}
	})
}
