package audio

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func TestReadSpeech(t *testing.T) {
	read := func(body string) (inference.Request, error) {
		var d scan.Doc
		if err := d.Scan([]byte(body), Shape()); err != nil {
			t.Fatal(err)
		}
		var r inference.Request
		err := ReadSpeech(&d, &r)
		return r, err
	}
	for body, want := range map[string]inference.Request{
		`{"model":"m","input":"12345678","voice":"alloy"}`:             {Input: 2, Opaque: true},
		`{"model":"m","input":"a","stream_format":"audio"}`:            {Input: 1, Opaque: true},
		`{"model":"m","input":"a","stream_format":"sse","speed":1.25}`: {Input: 1},
		`{"model":"m","input":"a","stream_format":null,"x":[1]}`:       {Input: 1, Opaque: true},
	} {
		got, err := read(body)
		want.Model, want.Dialect, want.Bytes, want.N, want.Stream = "m", inference.Speech, len(body), 1, true
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", body, err, diff)
		}
	}
	for body, param := range map[string]string{
		`"a"`:                         "",
		`{"input":"a"}`:               "model",
		`{"model":"m"}`:               "input",
		`{"model":"m","input":["a"]}`: "input",
		`{"model":"m","input":"a","stream_format":1}`: "stream_format",
	} {
		_, err := read(body)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: got %v, want param %q", body, err, param)
		}
	}
}

func TestReadAnswers(t *testing.T) {
	for body, want := range map[string]struct {
		heard, speech fault.Kind
		usage         inference.Usage
	}{
		`{"text":"hello"}`: {fault.None, fault.Malformed, inference.Usage{}},
		`{"text":"","usage":{"type":"tokens","input_tokens":14,"output_tokens":2}}`: {fault.None, fault.Malformed, inference.Usage{Input: 14, Output: 2, Known: true}},
		`{"text":"hello","usage":{"type":"duration","seconds":3}}`:                  {fault.None, fault.Malformed, inference.Usage{}},
		`{"language":"de"}`:       {heard: fault.Malformed, speech: fault.Malformed},
		`{"text":1}`:              {heard: fault.Malformed, speech: fault.Malformed},
		`{"text":"a","text":"b"}`: {heard: fault.Malformed, speech: fault.Malformed},
		`{"error":{"message":"x","type":"server_error"}}`:                      {heard: fault.UpstreamError, speech: fault.UpstreamError},
		`{"object":"error","message":"x","type":"BadRequestError","code":400}`: {heard: fault.UpstreamRejected, speech: fault.UpstreamRejected},
	} {
		var d scan.Doc
		if err := d.ScanLax([]byte(body)); err != nil {
			t.Fatal(err)
		}
		for name, read := range map[string]struct {
			answer func(*scan.Doc, *inference.Event) error
			kind   fault.Kind
		}{"heard": {ReadAnswer, want.heard}, "speech": {ReadSpeechAnswer, want.speech}} {
			var e inference.Event
			err := read.answer(&d, &e)
			kind := fault.None
			if f, ok := errors.AsType[*fault.Error](err); ok {
				kind = f.Kind
			}
			if kind != read.kind || kind == fault.None && (e.Usage != want.usage || !e.Terminal) {
				t.Errorf("%s, %s: %v, %+v", body, name, err, e)
			}
		}
	}
}
