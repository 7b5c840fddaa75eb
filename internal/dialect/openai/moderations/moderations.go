// Package moderations reads the dialect of OpenAI's moderations. Its source is
// OpenAI's OpenAPI description 2.3.0.
package moderations

import (
	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

var (
	shape = scan.Keys("model", "models").
		With("input", scan.Each(scan.Keys("type", "text").With("image_url", scan.Keys("url"))))

	kin = openai.Kin{Shape: shape, Prompt: "input"}
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

// ReadError returns what an upstream's error answer means.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	return kin.ReadError(status, body, d)
}

// ReadRequest reads the facts of a request that was scanned with Shape; see
// openai.ReadRequest. Each text of several has a result of its own, all parts of a
// mixed input have one.
func ReadRequest(d *scan.Doc, into *inference.Request) error {
	root := d.Root()
	if root.Kind() != scan.Object {
		return dialect.Invalid("", "the body must be a JSON object")
	}
	r := inference.Request{
		ID: into.ID, Dialect: inference.Moderations, Model: into.Model, N: 1, Prompts: 1, Bytes: len(d.Bytes()),
	}
	var f dialect.Fields
	openai.ReadModel(&f, root, &r)
	switch input := root.Get("input"); input.Kind() {
	case scan.String:
		r.Input = weight(input)
	case scan.Array:
		texts := 0
		for e := range input.All() {
			switch {
			case e.Kind() == scan.String:
				texts++
				r.Input += weight(e)
			case e.Kind() != scan.Object:
				f.Wrong("input", "must hold strings, or objects with a text or an image_url")
			case e.Get("type").Is("image_url"):
				r.Input += dialect.ImageTokens
			default:
				r.Input += weight(e.Get("text"))
			}
		}
		if input.Len() == 0 {
			f.Wrong("input", "must not be empty")
		}
		r.Prompts = max(1, texts)
	case scan.Absent, scan.Null:
		f.Wrong("input", "is missing")
	default:
		f.Wrong("input", "must be a string or an array")
	}
	if err := f.Failed(); err != nil {
		return err
	}
	*into = r
	return nil
}

func weight(v scan.Value) int { return max(1, v.TextLen()/dialect.BytesPerToken) }

// ReadAnswer reads the facts of an answer that was scanned: how many results it
// holds, as Finishes. An error inside it, and a body that is no answer, are
// *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if f := kin.Inside(root); f != nil {
		return f
	}
	if f := dialect.Once(root, "results", "error", "usage", "object"); f != nil {
		return f
	}
	results := root.Get("results")
	if results.Kind() != scan.Array || results.Len() == 0 {
		return dialect.Broken(fault.Malformed, "the answer has no results")
	}
	for v := range results.All() {
		if v.Kind() != scan.Object {
			return dialect.Broken(fault.Malformed, "a result is no object")
		}
	}
	*into = inference.Event{Terminal: true, Content: true, Finishes: results.Len(), Usage: openai.ReadInput(root.Get("usage"))}
	return nil
}
