package rerank

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect"
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
		`{"model":"m","query":"1234","documents":["12345678","1234"]}`:                        {Prompts: 2, Input: 5, Longest: 3},
		`{"model":"m","query":"1234","documents":["12345678","1234"],"top_n":1}`:              {Prompts: 1, Input: 5, Longest: 3},
		`{"model":"m","query":"1234","documents":["12345678","1234"],"top_n":0}`:              {Prompts: 2, Input: 5, Longest: 3},
		`{"model":"m","query":"1234","documents":["1234"],"top_n":9,"return_documents":true}`: {Prompts: 1, Input: 2, Longest: 2},
		`{"model":"m","query":"1234","documents":[{"text":"12345678"},{"image":"http://x"}]}`: {
			Prompts: 2, Input: 1 + 4 + 1 + dialect.ImageTokens, Longest: 1 + dialect.ImageTokens,
		},
	} {
		_, got, err := request(t, body)
		want.Model, want.Dialect, want.Bytes, want.N = "m", inference.Rerank, len(body), 1
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`{"query":"a","documents":["b"]}`:                                      "model",
		`{"model":"m","documents":["b"]}`:                                      "query",
		`{"model":"m","query":["a"],"documents":["b"]}`:                        "query",
		`{"model":"m","query":"a"}`:                                            "documents",
		`{"model":"m","query":"a","documents":[]}`:                             "documents",
		`{"model":"m","query":"a","documents":"b"}`:                            "documents",
		`{"model":"m","query":"a","documents":["b",1]}`:                        "documents",
		`{"model":"m","query":"a","documents":["b"],"top_n":-1}`:               "top_n",
		`{"model":"m","query":"a","documents":["b"],"return_documents":"yes"}`: "return_documents",
	} {
		_, _, err := request(t, body)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: got %v, want param %s", body, err, param)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	const results = `"results":[{"index":1,"relevance_score":0.9,"document":{"text":"b"}},{"index":0,"relevance_score":-3}]`
	for body, want := range map[string]inference.Usage{
		`{"id":"rerank-1","model":"m","usage":{"prompt_tokens":5,"total_tokens":5},` + results + `}`:                          {Input: 5, Known: true},
		`{"model":"m","usage":{"total_tokens":5},` + results + `}`:                                                            {Input: 5, Known: true}, // Jina
		`{` + results + `,"id":"1","meta":{"billed_units":{"search_units":1},"tokens":{"input_tokens":5,"output_tokens":0}}}`: {Input: 5, Known: true}, // Cohere
		`{` + results + `}`: {},
	} {
		var d scan.Doc
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Fatal(err)
		}
		var got inference.Event
		err := ReadAnswer(&d, &got)
		if diff := cmp.Diff(inference.Event{Content: true, Terminal: true, Finishes: 2, Usage: want}, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, want := range map[string]fault.Kind{
		`{}`:                                  fault.Malformed,
		`[]`:                                  fault.Malformed,
		`{"results":[]}`:                      fault.Malformed,
		`{"results":[{"index":0}]}`:           fault.Malformed,
		`{"results":[{"relevance_score":1}]}`: fault.Malformed,
		`{"results":[{"index":-1,"relevance_score":1}]}`:                                    fault.Malformed,
		`{"results":[{"index":0,"relevance_score":"1"}]}`:                                   fault.Malformed,
		`{"results":[{"index":0,"relevance_score":1},{"index":0,"relevance_score":1}]}`:     fault.Malformed,
		`{"results":[{"index":0,"relevance_score":1}],"error":{"message":"x","code":503}}`:  fault.UpstreamError,
		`{"object":"error","message":"x","type":"BadRequestError","param":null,"code":400}`: fault.UpstreamRejected,
	} {
		var d scan.Doc
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Fatal(err)
		}
		var e inference.Event
		if err := ReadAnswer(&d, &e); err == nil || fault.Of(err).Kind != want {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}

func TestDecode(t *testing.T) {
	d, _, err := request(t, `{"model":"m","query":{"text":"q"},"documents":["a",{"text":"b","title":"t"}],"top_n":5,"return_documents":true}`)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Decode(d)
	if diff := cmp.Diff(&Wanted{Query: "q", Documents: []string{"a", "b"}, Top: 2, Return: true}, w); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	body := AppendAnswer(nil, "id", "m", []Result{{1, 0.5}, {0, 0.25}}, w, 3)
	const want = `{"id":"id","model":"m","usage":{"prompt_tokens":3,"total_tokens":3},"results":[{"index":1,"relevance_score":0.500000,"document":{"text":"b"}},{"index":0,"relevance_score":0.250000,"document":{"text":"a"}}]}`
	if string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	d, _, err = request(t, `{"model":"m","query":"q","documents":[{"image":"http://x"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(d); err == nil || fault.Of(err).Kind != fault.Unsupported || fault.Of(err).Param != "documents" {
		t.Errorf("got %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, body := range []string{`{"models":["x"],"model":"m","prompt":"a","input":"a","query":"a","documents":["b"]}`, `{"model":"m","query":"a","documents":["b"]}`, `{"model":"m","query":{"text":"a"},"documents":[{"text":"b"},{"image":"c"}],"top_n":1}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		var r inference.Request
		if d.Scan(body, Shape()) != nil || ReadRequest(&d, &r) != nil {
			return
		}
		if r.Model == "" || r.Prompts < 1 || r.Longest > r.Input {
			t.Fatalf("%s: got %+v", body, r)
		}
		var again scan.Doc
		out := scan.Splice(nil, body, openai.Rename(nil, &d, "upstream"))
		var sent inference.Request
		if again.Scan(out, Shape()) != nil || ReadRequest(&again, &sent) != nil || sent.Model != "upstream" || sent.Models != nil || sent.Prompts != r.Prompts {
			t.Fatalf("%s became %s", body, out)
		}
		if w, err := Decode(&d); err == nil && (w.Top != r.Prompts || !json.Valid(AppendAnswer(nil, "i", "m", []Result{{0, 1}}, w, 1))) {
			t.Fatalf("%s: %+v", body, w)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, body := range []string{`{"results":[{"index":0,"relevance_score":1}]}`, `{"results":[],"meta":{"tokens":{"input_tokens":1}}}`, `{"error":"x"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		if d.ScanLax(body) != nil {
			return
		}
		var e inference.Event
		if err := ReadAnswer(&d, &e); err == nil && e.Finishes < 1 || err != nil && fault.Of(err).Words == "" {
			t.Fatalf("%s: %+v, %v", body, e, err)
		}
	})
}
