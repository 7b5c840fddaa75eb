// Package images reads the dialect of OpenAI's images: generations, edits and
// variations. Its source is OpenAI's OpenAPI description 2.3.0.
package images

import (
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/fault"
	"headworks/internal/form"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// most is how many pictures can be asked for at once.
const most = 128

var (
	shape = scan.Keys("model", "models", "prompt", "n", "stream", "partial_images", "response_format", "size", "quality",
		"style", "background", "moderation", "output_format", "output_compression", "input_fidelity", "user", "images", "mask")

	kin = openai.Kin{Shape: shape, Prompt: "prompt"}
)

// Shape returns the keys that are known in a request.
func Shape() *scan.Shape { return shape }

// ReadError returns what an upstream's error answer means.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	return kin.ReadError(status, body, d)
}

// ReadRequest returns what reads the facts of a request in that dialect which was
// scanned with Shape; see openai.ReadRequest.
func ReadRequest(in inference.Dialect) func(d *scan.Doc, into *inference.Request) error {
	return func(d *scan.Doc, into *inference.Request) error {
		root := d.Root()
		if root.Kind() != scan.Object {
			return dialect.Invalid("", "the body must be a JSON object")
		}
		r := inference.Request{ID: into.ID, Dialect: in, Model: into.Model, N: 1, Bytes: len(d.Bytes())}
		var f dialect.Fields
		openai.ReadModel(&f, root, &r)
		prompt := root.Get("prompt")
		if !prompt.Given() {
			f.Wrong("prompt", "is missing")
		}
		f.Want(prompt, scan.String, "prompt")
		r.Input = max(1, prompt.TextLen()/dialect.BytesPerToken)
		r.N = max(1, f.Int(root.Get("n"), "n", 1, most))
		r.Stream = f.Bool(root.Get("stream"), "stream")
		if user := root.Get("user"); f.Want(user, scan.String, "user") {
			r.User = dialect.Session(user.Bytes())
			r.Session = r.User
		}
		if err := f.Failed(); err != nil {
			return err
		}
		*into = r
		return nil
	}
}

// Fields are those of a form that its facts are in.
func Fields() []string { return []string{"model", "n", "stream"} }

// ReadForm returns what reads the facts of a request in that dialect which is a form.
func ReadForm(in inference.Dialect) func(f *form.Reader, into *inference.Request) error {
	return func(f *form.Reader, into *inference.Request) error {
		r := inference.Request{ID: into.ID, Dialect: in, N: 1}
		if err := openai.ReadFormFacts(f, &r); err != nil {
			return err
		}
		if v, ok := f.Get("n"); ok && len(v.Value) > 0 {
			n, err := strconv.Atoi(string(v.Value))
			if err != nil || n < 1 || n > most {
				return dialect.Invalid("n", "n must be a whole number from 1 to "+strconv.Itoa(most))
			}
			r.N = n
		}
		*into = r
		return nil
	}
}

// ReadAnswer reads the facts of an answer that was scanned: usage, where it tells.
// An error inside it, and a body that is no answer, are *fault.Error.
func ReadAnswer(d *scan.Doc, into *inference.Event) error {
	root := d.Root()
	if f := kin.Inside(root); f != nil {
		return f
	}
	if f := dialect.Once(root, "data", "error", "usage", "object"); f != nil {
		return f
	}
	data := root.Get("data")
	if data.Kind() != scan.Array || data.Len() == 0 {
		return dialect.Broken(fault.Malformed, "the answer has no pictures")
	}
	*into = inference.Event{
		Terminal: true, Content: true, Finishes: data.Len(), Finish: inference.Stop, Usage: openai.ReadCounts(root.Get("usage")),
	}
	return nil
}
