package images

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/form"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func request(t testing.TB, body string) (inference.Request, error) {
	t.Helper()
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	var r inference.Request
	err := ReadRequest(inference.Images)(&d, &r)
	return r, err
}

func TestReadRequest(t *testing.T) {
	for body, want := range map[string]inference.Request{
		`{"model":"m","prompt":"12345678"}`:                               {N: 1, Input: 2},
		`{"model":"m","prompt":"a","n":3,"stream":true,"size":"256x256"}`: {N: 3, Input: 1, Stream: true},
		`{"model":"m","prompt":"a","n":null,"stream":null}`:               {N: 1, Input: 1},
		`{"model":"m","prompt":"a","user":"u","unknown":{"a":[1]}}`:       {N: 1, Input: 1, Session: dialect.Session([]byte("u")), User: dialect.Session([]byte("u"))},
		`{"model":"m","models":["b"],"prompt":"a"}`:                       {N: 1, Input: 1, Models: []string{"b"}},
	} {
		got, err := request(t, body)
		want.Model, want.Dialect, want.Bytes = "m", inference.Images, len(body)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`[]`:                                      "",
		`{"prompt":"a"}`:                          "model",
		`{"model":"","prompt":"a"}`:               "model",
		`{"model":"m"}`:                           "prompt",
		`{"model":"m","prompt":["a"]}`:            "prompt",
		`{"model":"m","prompt":"a","n":0}`:        "n",
		`{"model":"m","prompt":"a","n":129}`:      "n",
		`{"model":"m","prompt":"a","n":"2"}`:      "n",
		`{"model":"m","prompt":"a","stream":1}`:   "stream",
		`{"model":"m","prompt":"a","user":["u"]}`: "user",
	} {
		_, err := request(t, body)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: got %v, want param %q", body, err, param)
		}
	}
}

func TestReadForm(t *testing.T) {
	read := func(fields ...string) (inference.Request, error) {
		f, err := form.New("multipart/form-data; boundary=b", Fields()...)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(fields); i += 2 {
			if _, err := f.Write([]byte("--b\r\nContent-Disposition: form-data; name=\"" + fields[i] + "\"\r\n\r\n" + fields[i+1] + "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Write([]byte("--b--")); err != nil || f.End() != nil {
			t.Fatal(err, f.End())
		}
		var r inference.Request
		err = ReadForm(inference.ImageEdits)(f, &r)
		return r, err
	}
	got, err := read("prompt", "a", "model", "m", "n", "2", "stream", "true")
	if diff := cmp.Diff(inference.Request{Dialect: inference.ImageEdits, Model: "m", N: 2, Stream: true}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	for _, tt := range []struct {
		param  string
		fields []string
	}{
		{"model", []string{"prompt", "a"}},
		{"model", []string{"model", ""}},
		{"model", []string{"model", "\xff"}},
		{"n", []string{"model", "m", "n", "0"}},
		{"n", []string{"model", "m", "n", "1e2"}},
		{"stream", []string{"model", "m", "stream", "yes"}},
	} {
		_, err := read(tt.fields...)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest || f.Param != tt.param {
			t.Errorf("%q: got %v, want param %q", tt.fields, err, tt.param)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	for body, want := range map[string]struct {
		kind     fault.Kind
		finishes int
		usage    inference.Usage
	}{
		`{"created":1,"data":[{"b64_json":"aGk="},{"url":"https://example.com"}]}`:                {fault.None, 2, inference.Usage{}},
		`{"created":1,"data":[{}],"usage":{"total_tokens":8,"input_tokens":3,"output_tokens":5}}`: {fault.None, 1, inference.Usage{Input: 3, Output: 5, Known: true}},
		`{"created":1,"data":[]}`:                         {kind: fault.Malformed},
		`{"created":1}`:                                   {kind: fault.Malformed},
		`{"created":1,"data":{}}`:                         {kind: fault.Malformed},
		`{"data":[{}],"data":[]}`:                         {kind: fault.Malformed},
		`{"error":{"message":"x","type":"server_error"}}`: {kind: fault.UpstreamError},
		`null`: {kind: fault.Malformed},
	} {
		var d scan.Doc
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Fatal(err)
		}
		var e inference.Event
		err := ReadAnswer(&d, &e)
		kind := fault.None
		if f, ok := errors.AsType[*fault.Error](err); ok {
			kind = f.Kind
		}
		if kind != want.kind || e.Finishes != want.finishes || e.Usage != want.usage || (kind == fault.None) != e.Terminal {
			t.Errorf("%s: %v, %+v", body, err, e)
		}
	}
}
