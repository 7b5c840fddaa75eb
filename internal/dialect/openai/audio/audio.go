// Package audio reads the dialect of OpenAI's audio: speech, transcriptions and
// translations. Its sources are OpenAI's OpenAPI description 2.3.0, and what vLLM
// really sends.
package audio

import (
	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/form"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

var (
	shape = scan.Keys("model", "models", "input", "voice", "instructions", "response_format", "speed", "stream_format",
		"language", "prompt", "temperature", "file", "user")

	speech = openai.Kin{Shape: shape, Prompt: "input"}
	heard  = openai.Kin{Shape: shape, Prompt: "prompt"}
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

// ReadSpeechError returns what an upstream's error answer to speech means.
func ReadSpeechError(status int, body []byte, d *scan.Doc) *fault.Error {
	return speech.ReadError(status, body, d)
}

// ReadError returns what an upstream's error answer to a transcription means.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	return heard.ReadError(status, body, d)
}

// ReadSpeech reads the facts of a request for speech that was scanned with Shape;
// see openai.ReadRequest. The answer is sound as it comes, or events that hold it.
func ReadSpeech(d *scan.Doc, into *inference.Request) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{ID: into.ID, Dialect: inference.Speech, Model: into.Model, N: 1, Stream: true, Opaque: true, Bytes: len(d.Bytes())}
	var f dialect.Fields
	openai.ReadModel(&f, root, &r)
	input := root.Get("input")
	if !input.Given() {
		f.Wrong("input", "is missing")
	}
	f.Want(input, scan.String, "input")
	r.Input = max(1, input.TextLen()/dialect.BytesPerToken)
	if format := root.Get("stream_format"); f.Want(format, scan.String, "stream_format") {
		r.Opaque = !format.Is("sse")
	}
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

// Fields are those of a form that its facts are in.
func Fields() []string { return []string{"model", "stream"} }

// ReadForm returns what reads the facts of a request in that dialect, which is a form.
func ReadForm(in inference.Dialect) func(f *form.Reader, into *inference.Request) error {
	return func(f *form.Reader, into *inference.Request) error {
		r := inference.Request{ID: into.ID, Dialect: in, N: 1}
		if err := openai.ReadFormFacts(f, &r); err != nil {
			return err
		}
		*into = r
		return nil
	}
}

// ReadSpeechAnswer reads a whole answer in JSON where sound was asked for: an error,
// or nothing that can be used.
func ReadSpeechAnswer(d *scan.Doc, _ *inference.Event) error {
	if f := speech.Inside(d.Root()); f != nil {
		return f
	}
	return dialect.Broken(fault.Malformed, "JSON came where sound was asked for")
}

// ReadAnswer reads the facts of an answer that was scanned: usage, where it is told
// in tokens. An error inside it, and a body that is no answer, are *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if f := heard.Inside(root); f != nil {
		return f
	}
	if f := dialect.Once(root, "text", "error", "usage", "object"); f != nil {
		return f
	}
	if root.Get("text").Kind() != scan.String {
		return dialect.Broken(fault.Malformed, "the answer has no text")
	}
	*into = inference.Event{
		Terminal: true, Content: true, Finishes: 1, Finish: inference.Stop, Usage: openai.ReadCounts(root.Get("usage")),
	}
	return nil
}
