package api

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// DescriptionPath is where the description of all routes is, as OpenAPI 3.1 has it.
const DescriptionPath = "/openapi.json"

// About is what the description says of a route, or of one of those below it.
type About struct {
	Tail      string // what follows the path of a route to all that lie below it, names in braces
	Name      string // as the vendor's own description calls the operation
	Title     string
	Example   string      // a body of JSON that can be sent as it is
	Body      bool        // there is a body of JSON, though no example of one that is served everywhere
	Form      []string    // fields of a form, of which those of files hold bytes
	FormNeeds []string    // of them, those that must be there; model unless set
	Query     [][2]string // parameters of the query, and what they do
	Media     []string    // media types of answers; JSON unless set
	Answer    []byte      // an example of a whole answer, where the dialect's EncodeAnswer gives none
	Fails     bool        // it is answered with an error, whatever it asks
}

// Events is the media type of a stream of events.
const Events = "text/event-stream"

// Streamed are the media types of what may be asked whole or as a stream.
func Streamed() []string { return []string{jsonType, Events} }

// ExampleModel is a model as an example of a list has it.
func ExampleModel() inference.Model {
	return inference.Model{Name: exampleModel, Created: exampleTime().Unix(), Window: 32768, Output: 4096, Speaks: inference.SetOf(inference.OpenAI)}
}

// ExampleAnswer is an answer as an example has it.
func ExampleAnswer() *inference.Answer {
	return &inference.Answer{
		ID: exampleID(), Model: exampleModel, Created: exampleTime().Unix(), Finish: inference.Stop,
		Parts: []inference.Part{{Kind: inference.Text, Text: "Hello."}},
		Usage: inference.Usage{Input: 9, Output: 3, Known: true},
	}
}

// ModelsAbout describes the routes of a dialect's models: their list, and one of them.
func ModelsAbout(d *Dialect) (list, one []About) {
	return []About{{Name: "listModels", Title: "Models that the key may use", Answer: d.AppendModels(nil, ExampleModel())}},
		[]About{{Tail: "{model}", Name: "retrieveModel", Title: "One model that the key may use", Answer: d.AppendModel(nil, ExampleModel())}}
}

// exampleModel is built in: examples can be sent to a process without a configuration.
const exampleModel = "demo-small"

func exampleTime() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// object is one of JSON. Its keys are written in order of their names, so that the
// same routes have the same description.
type object = map[string]any

// describeAll returns a function that describes routes, when it is first called.
func describeAll(version string, routes []Route) func() []byte {
	return sync.OnceValue(func() []byte {
		b, err := json.Marshal(newDescription(version, routes).whole())
		if err != nil { // what is in it always has a JSON form
			return []byte("{}")
		}
		return append(b, '\n')
	})
}

// description is a document of OpenAPI that is being written.
type description struct {
	version string
	paths   map[string]object
	names   map[string]bool // of operations
	shapes  map[*scan.Shape]string
	schemas object
	answers object
	speaks  []*Dialect // one of each name, of all routes
}

func newDescription(version string, routes []Route) *description {
	d := &description{
		version: version, paths: map[string]object{}, names: map[string]bool{},
		shapes: map[*scan.Shape]string{}, schemas: object{}, answers: object{},
	}
	for _, r := range routes {
		if !slices.ContainsFunc(d.speaks, func(s *Dialect) bool { return s.Name == r.Dialect.Name }) {
			d.speaks = append(d.speaks, r.Dialect)
		}
	}
	for _, r := range routes {
		about := r.About
		if len(about) == 0 {
			about = []About{{}}
		}
		for _, a := range about {
			d.add(r, a)
		}
	}
	for _, p := range pages {
		answers := object{"200": object{"description": "It does."}}
		if p.may503 {
			answers["503"] = object{"description": "Not yet, or not any more."}
		}
		d.open(p.path, p.title, "probes", answers)
	}
	d.open(DescriptionPath, "This description", "description", object{"200": object{
		"description": "The description.", "content": object{jsonType: object{}},
	}})
	return d
}

// bearer, and those below it, are the names of credentials in the description.
const (
	bearer  = "bearer"
	apiKey  = "x-api-key"
	googKey = "x-goog-api-key"
	inQuery = "key"
)

func (d *description) whole() object {
	header := func(name string) object { return object{"type": "apiKey", "in": "header", "name": name} }
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Headworks", "version": d.version,
			"description": "The paths of this instance. Fields that are not named here go to upstreams of the same dialect as they are.",
		},
		"servers":  []object{{"url": "/"}},
		"security": []object{{bearer: []string{}}, {apiKey: []string{}}, {googKey: []string{}}},
		"paths":    d.paths,
		"components": object{
			"schemas":   d.schemas,
			"responses": d.answers,
			"headers":   answerHeaders(),
			"securitySchemes": object{
				bearer: object{"type": "http", "scheme": "bearer"}, apiKey: header(apiKey), googKey: header(googKey),
				inQuery: object{"type": "apiKey", "in": "query", "name": "key"},
			},
		},
	}
}

// open describes a path that wants no key.
func (d *description) open(path, title, tag string, answers object) {
	d.at(path)["get"] = object{
		"operationId": d.name("get", path), "summary": title, "tags": []string{tag}, "security": []object{}, "responses": answers,
	}
}

func (d *description) at(path string) object {
	if d.paths[path] == nil {
		d.paths[path] = object{}
	}
	return d.paths[path]
}

// name returns the name of an operation, which is there once.
func (d *description) name(name, path string) string {
	if name == "" || d.names[name] {
		name += strings.Map(func(c rune) rune {
			if c == '/' || c == ':' || c == '{' || c == '}' {
				return '_'
			}
			return c
		}, path)
	}
	d.names[name] = true
	return name
}

// braces finds the parameters of a path.
var braces = regexp.MustCompile(`\{([a-z_]+)\}`)

// add describes an operation of a route.
func (d *description) add(r Route, a About) {
	path := r.Path + a.Tail
	if strings.HasSuffix(r.Path, "/") && a.Tail == "" {
		path += "{name}"
	}
	responses := object{"default": d.fault(r.Dialect)}
	if r.Shared {
		responses["default"] = d.anyFault()
	}
	if !a.Fails {
		responses["200"] = d.answer(r.Dialect, a)
	}
	op := object{
		"operationId": d.name(a.Name, path),
		"summary":     a.Title,
		"tags":        []string{r.Dialect.Name},
		"responses":   responses,
	}
	var parameters []object
	for _, m := range braces.FindAllStringSubmatch(path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, q := range a.Query {
		parameters = append(parameters, object{"name": q[0], "in": "query", "description": q[1], "schema": object{"type": "string"}})
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if r.Dialect.KeyInQuery {
		op["security"] = []object{{bearer: []string{}}, {apiKey: []string{}}, {googKey: []string{}}, {inQuery: []string{}}}
	}
	if body := d.body(r.Dialect, a); len(body) > 0 {
		op["requestBody"] = object{"required": true, "content": body}
	}
	d.at(path)[strings.ToLower(r.Method)] = op
}

// files are the fields of forms that hold bytes.
var files = []string{"file", "image", "image[]", "mask"}

// body describes what is sent, by its media types.
func (d *description) body(of *Dialect, a About) object {
	content := object{}
	if a.Example != "" || a.Body {
		c := object{"schema": d.value(of.Shape, a.Name+"Request")}
		if a.Example != "" {
			c["example"] = json.RawMessage(a.Example)
		}
		content[jsonType] = c
	}
	if len(a.Form) > 0 {
		needs := []string{"model"}
		if a.FormNeeds != nil {
			needs = a.FormNeeds
		}
		properties := object{}
		for _, name := range a.Form {
			properties[name] = object{}
			if slices.Contains(files, name) {
				properties[name] = object{"type": "string", "contentMediaType": "application/octet-stream"}
			}
		}
		content["multipart/form-data"] = object{
			"schema": object{"type": "object", "required": needs, "properties": properties},
		}
	}
	return content
}

// answer describes the answer to an operation.
func (d *description) answer(of *Dialect, a About) object {
	name := of.Name + "." + a.Name
	if d.answers[name] == nil {
		d.answers[name] = newAnswer(of, a)
	}
	return object{"$ref": "#/components/responses/" + name}
}

func newAnswer(of *Dialect, a About) object {
	example := a.Answer
	if example == nil && a.Example != "" && of.EncodeAnswer != nil {
		e := ExampleAnswer()
		e.ID = of.AnswerID + e.ID
		example = of.EncodeAnswer(e)
	}
	media := a.Media
	if media == nil {
		media = []string{jsonType}
	}
	content := object{}
	for _, m := range media {
		c := object{}
		if m == jsonType && example != nil {
			c["schema"], c["example"] = guessed(example), json.RawMessage(example)
		}
		content[m] = c
	}
	headers := object{}
	for name := range answerHeaders() {
		headers[name] = object{"$ref": "#/components/headers/" + name}
	}
	return object{"description": "The answer.", "content": content, "headers": headers}
}

func exampleID() string { return inference.NewID(exampleTime(), 1, 1).String() }

// fault describes the errors of a dialect.
func (d *description) fault(of *Dialect) object {
	name := of.Name + ".error"
	if d.answers[name] == nil {
		e := fault.New(fault.ModelNotFound, "no such model, or this key may not use it; GET /v1/models lists what it may")
		e.Param = "model"
		body := of.AppendError(nil, e, exampleID())
		d.schemas[name] = guessed(body)
		d.answers[name] = object{
			"description": "An error, with the status of its kind.",
			"content": object{jsonType: object{
				"schema": object{"$ref": "#/components/schemas/" + name}, "example": json.RawMessage(body),
			}},
			"headers": object{
				"x-request-id": object{"$ref": "#/components/headers/x-request-id"}, "x-should-retry": object{"$ref": "#/components/headers/x-should-retry"},
				"retry-after": object{"$ref": "#/components/headers/retry-after"},
			},
		}
	}
	return object{"$ref": "#/components/responses/" + name}
}

// anyFault describes the errors of a path that is of several surfaces.
func (d *description) anyFault() object {
	const name = "any.error"
	if d.answers[name] == nil {
		var each []object
		for _, of := range d.speaks {
			d.fault(of)
			each = append(each, object{"$ref": "#/components/schemas/" + of.Name + ".error"})
		}
		d.answers[name] = object{
			"description": "An error in the dialect of the client, with the status of its kind.",
			"content":     object{jsonType: object{"schema": object{"anyOf": each}}},
		}
	}
	return object{"$ref": "#/components/responses/" + name}
}

// answerHeaders describes the headers that answers may have.
func answerHeaders() object {
	h := object{}
	for _, name := range answerNames {
		h[name] = object{"schema": object{"type": "string"}, "description": "See docs/reference/headers.md."}
	}
	return h
}

// shape describes an object by the keys that are read of it, once, and returns the
// name of that. What its members may be is left open, but for an object's keys and an
// array's elements: a key may take one or the other, or a text, and upstreams read
// more.
func (d *description) shape(s *scan.Shape, name string) string {
	if had, ok := d.shapes[s]; ok {
		return had
	}
	d.shapes[s] = name
	d.schemas[name] = d.schema(s, name)
	return name
}

func (d *description) schema(s *scan.Shape, name string) object {
	o, properties := object{}, object{}
	for key, value := range s.Members() {
		properties[key] = d.value(value, name+"."+key)
	}
	if len(properties) > 0 {
		o["properties"] = properties
	}
	if e := s.Element(); e != nil {
		o["items"] = d.value(e, name)
	}
	return o
}

// value describes what a key may take: by a reference where that has keys itself.
func (d *description) value(s *scan.Shape, name string) object {
	for range s.Members() {
		return object{"$ref": "#/components/schemas/" + d.shape(s, name)}
	}
	return d.schema(s, name)
}

// guessed returns the schema of a value from an example of ours. Whatever has no
// members may be null in another value: the text of an answer that calls tools, the
// parameter that an error is about.
func guessed(example []byte) object {
	var v any
	if json.Unmarshal(example, &v) != nil {
		return object{}
	}
	return schemaLike(v)
}

func schemaLike(v any) object {
	switch v := v.(type) {
	case map[string]any:
		properties := object{}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			properties[name] = schemaLike(v[name])
		}
		return object{"type": "object", "properties": properties}
	case []any:
		items := object{}
		if len(v) == 1 {
			items = schemaLike(v[0]) // several may differ
		}
		return object{"type": "array", "items": items}
	case string:
		return object{"type": []string{"string", "null"}}
	case float64:
		return object{"type": []string{"number", "null"}}
	case bool:
		return object{"type": []string{"boolean", "null"}}
	}
	return object{}
}

// tellAll answers with the description of all routes, without a key: it holds nothing
// that this program's own documentation does not.
func (f *Front) tellAll(x *wire.Exchange) {
	var h wire.Header
	if m := x.Method(); m != "GET" && m != "HEAD" {
		h.Add("Allow", "GET, HEAD")
		f.refuse(x, f.dialect(x), &h, fault.New(fault.MethodNotAllowed, "this path takes GET alone"))
		return
	}
	body := f.described()
	if field, ok := x.Header("accept-encoding"); ok && accepts(field) && f.limits().Compress > 0 {
		h.Add("Content-Encoding", "gzip")
		body = f.squeeze.deflate(nil, body)
	}
	h.Add("Vary", "Accept-Encoding")
	_ = x.Respond(200, jsonType, &h, body) // fails only if the client is gone
}
