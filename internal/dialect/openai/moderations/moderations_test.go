package moderations

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func TestReadRequest(t *testing.T) {
	read := func(body string) (inference.Request, error) {
		var d scan.Doc
		if err := d.Scan([]byte(body), Shape()); err != nil {
			t.Fatal(err)
		}
		var r inference.Request
		err := ReadRequest(&d, &r)
		return r, err
	}
	for body, want := range map[string]inference.Request{
		`{"model":"m","input":"12345678"}`:       {Prompts: 1, Input: 2},
		`{"model":"m","input":["12345678","a"]}`: {Prompts: 2, Input: 3},
		`{"model":"m","input":[{"type":"text","text":"12345678"},{"type":"image_url","image_url":{"url":"https://example.com"}}]}`: {
			Prompts: 1, Input: 2 + dialect.ImageTokens,
		},
	} {
		got, err := read(body)
		want.Model, want.Dialect, want.Bytes, want.N = "m", inference.Moderations, len(body), 1
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`7`:                          "",
		`{"input":"a"}`:              "model",
		`{"model":"m"}`:              "input",
		`{"model":"m","input":null}`: "input",
		`{"model":"m","input":[]}`:   "input",
		`{"model":"m","input":[1]}`:  "input",
		`{"model":"m","input":{}}`:   "input",
	} {
		_, err := read(body)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: got %v, want param %q", body, err, param)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	for body, want := range map[string]struct {
		kind     fault.Kind
		finishes int
	}{
		`{"id":"modr-1","model":"m","results":[{"flagged":false},{"flagged":true}]}`: {fault.None, 2},
		`{"results":[]}`:                                  {fault.Malformed, 0},
		`{"results":[true]}`:                              {fault.Malformed, 0},
		`{"results":[{}],"results":[{}]}`:                 {fault.Malformed, 0},
		`{"flagged":false}`:                               {fault.Malformed, 0},
		`{"error":{"message":"x","type":"server_error"}}`: {fault.UpstreamError, 0},
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
		if kind != want.kind || e.Finishes != want.finishes || (kind == fault.None) != e.Terminal {
			t.Errorf("%s: %v, %+v", body, err, e)
		}
	}
}
