package config

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// SchemaName is what the schema's file is called beside a configuration.
const SchemaName = "headworks.schema.json"

// reference is what stands where a text is resolved later.
const reference = `\$\{.+\}`

// Schema returns the JSON Schema (draft 2020-12) of a file, made from the structs
// that read it.
func Schema() []byte {
	t := reflect.TypeFor[Config]()
	forms := map[reflect.Type]*jsonschema.Schema{}
	formsIn(t, forms)
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: forms})
	if err != nil {
		panic("config: " + err.Error()) // the structs are at fault, no input is
	}
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "Headworks configuration"
	annotate(s, reflect.ValueOf(Default()).Elem(), field{})
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: " + err.Error())
	}
	return append(b, '\n')
}

// formsIn collects the schemas of the scalar types that a type is made of.
func formsIn(t reflect.Type, forms map[reflect.Type]*jsonschema.Schema) {
	if f, scalar := formOf(t); scalar {
		forms[t] = f.schema.CloneSchemas()
		return
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer:
		formsIn(t.Elem(), forms)
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			formsIn(f.typ, forms)
		}
	default:
	}
}

// annotate adds what the tags and defaults of a section say to its schema.
func annotate(s *jsonschema.Schema, v reflect.Value, f field) {
	if form, scalar := formOf(v.Type()); scalar {
		said := s.Description
		*s = *scalarSchema(form, v, f)
		s.Description = said
		return
	}
	empty := func() { s.Type, s.Types = "", []string{"object", "null"} } // every line of it may be commented out
	switch v.Kind() {
	case reflect.Pointer:
		said := s.Description
		annotate(s, made(v.Type().Elem()), f)
		s.Description = said
	case reflect.Struct:
		if f.name != "" && !f.required {
			empty()
		}
		for _, f := range fieldsOf(v.Type()) {
			annotate(s.Properties[f.name], v.Field(f.index), f)
		}
	case reflect.Map:
		empty()
		pattern, _ := naming(v.Type().Elem())
		s.PropertyNames = &jsonschema.Schema{Pattern: pattern.String()}
		annotate(s.AdditionalProperties, made(v.Type().Elem()), field{})
	case reflect.Slice:
		annotate(s.Items, made(v.Type().Elem()), field{enum: f.enum})
	default:
	}
}

// made returns a value of a type with its defaults.
func made(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if _, scalar := formOf(t); !scalar && t.Kind() == reflect.Struct {
		fill(v.Interface())
	}
	return v.Elem()
}

// scalarSchema is the schema of one value: as its form has it, or a reference.
func scalarSchema(form form, v reflect.Value, f field) *jsonschema.Schema {
	s := form.schema.CloneSchemas()
	if f.ranged {
		s.Minimum, s.Maximum = &f.min, &f.max
	}
	for _, e := range f.enum {
		s.Enum = append(s.Enum, e)
	}
	either := s
	if s.Pattern != "" || s.Enum != nil || s.Type != "string" { // else any text will do, so any reference
		either = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "string", Pattern: reference}}}
	}
	if !v.IsZero() {
		text := form.show(v.Interface())
		if !form.number {
			quoted, _ := json.Marshal(text)
			text = string(quoted)
		}
		either.Default = json.RawMessage(text)
	}
	return either
}

// Init returns a file to begin with: it is valid as it stands, and says what else
// there is.
func Init() []byte {
	return []byte(strings.TrimPrefix(`
# yaml-language-server: $schema=./`+SchemaName+`
# Headworks: an upstream is an engine or provider, a model is what callers ask for, a key is who calls.
listen: 127.0.0.1:7300               # the API
admin: {listen: 127.0.0.1:7301}      # the admin API and /metrics
data: ./data                         # created where missing

upstreams:
  local: {kind: llamacpp, urls: [http://127.0.0.1:8080]}
  # gpu:    {kind: vllm, urls: [http://10.0.0.11:8000, http://10.0.0.12:8000], zone: a, hardware: h100}
  # openai: {kind: openai, key: ${OPENAI_API_KEY}}

models:
  assistant:
    targets:                         # tried in this order
      - {upstream: local, model: default}
      # - {upstream: openai, model: gpt-5-mini, price: {input: 0.25, output: 2.00}}   # USD per million tokens
    timeouts: {idle: 30s, total: 10m}

# tiers:
#   free: {priority: sheddable, concurrency: 4}
# keys:                              # or: headworks keys create
#   - {name: ci, secret: ${HEADWORKS_CI_KEY}, tier: free, models: ["*"]}
`, "\n"))
}
