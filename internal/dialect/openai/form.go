package openai

import (
	"unicode/utf8"

	"headworks/internal/dialect"
	"headworks/internal/form"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

const noModel = "is missing; name one of those that GET /v1/models lists, as there is no default"

// ReadModel reads which model a request is for, and which it may fall back to.
func ReadModel(f *dialect.Fields, root scan.Value, into *inference.Request) {
	name := root.Get("model")
	if !name.Given() || name.Kind() == scan.String && name.TextLen() == 0 {
		f.Wrong("model", noModel)
	}
	if f.Want(name, scan.String, "model") && !name.Is(into.Model) {
		into.Model = name.Text()
	}
	into.Models = fallbacks(f, root.Get("models"))
}

// ReadFormFacts reads what the forms of images and audio have in common: model,
// and stream.
func ReadFormFacts(f *form.Reader, into *inference.Request) error {
	model, _ := f.Get("model")
	switch {
	case len(model.Value) == 0:
		return dialect.Invalid("model", "model "+noModel)
	case !utf8.Valid(model.Value):
		return dialect.Invalid("model", "model must be UTF-8")
	}
	into.Model = string(model.Value)
	if v, ok := f.Get("stream"); ok {
		switch string(v.Value) {
		case "true", "True", "1": // as servers in Python read it
			into.Stream = true
		case "false", "False", "0", "":
		default:
			return dialect.Invalid("stream", "stream must be true or false")
		}
	}
	return nil
}
