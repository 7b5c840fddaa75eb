package gemini

import (
	"strings"

	"headworks/internal/scan"
)

// appendJSONSchema appends a Schema of this dialect (the subset of OpenAPI 3.0 that
// the reference lists) as JSON Schema: types in lower case, nullable as a type, the
// bounds that 64-bit integers write as strings as numbers. What JSON Schema has no
// word for stays, as its readers pass over what they do not know.
func appendJSONSchema(dst []byte, v scan.Value) []byte {
	if v.Kind() != scan.Object {
		return append(dst, v.Raw()...)
	}
	nullable, _ := v.Get("nullable").Bool()
	dst = append(dst, '{')
	for m := range v.All() {
		key := camel(m.Key())
		if key == "nullable" {
			continue
		}
		dst = append(scan.AppendString(scan.AppendComma(dst), key), ':')
		switch key {
		case "type":
			dst = appendType(dst, m, nullable)
		case "properties", "$defs", "defs":
			dst = append(dst, '{')
			for p := range m.All() {
				dst = append(scan.AppendString(scan.AppendComma(dst), p.Key()), ':')
				dst = appendJSONSchema(dst, p)
			}
			dst = append(dst, '}')
		case "items", "additionalProperties":
			dst = appendJSONSchema(dst, m)
		case "anyOf", "prefixItems":
			dst = append(dst, '[')
			for e := range m.All() {
				dst = appendJSONSchema(scan.AppendComma(dst), e)
			}
			dst = append(dst, ']')
		case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			if _, ok := integer(m); ok && m.Kind() == scan.String {
				dst = append(dst, m.Text()...)
			} else {
				dst = append(dst, m.Raw()...)
			}
		default:
			dst = append(dst, m.Raw()...)
		}
	}
	return append(dst, '}')
}

func appendType(dst []byte, v scan.Value, nullable bool) []byte {
	if v.Kind() != scan.String {
		return append(dst, v.Raw()...)
	}
	kind := strings.ToLower(v.Text())
	if !nullable || kind == "null" {
		return scan.AppendString(dst, kind)
	}
	return append(scan.AppendString(append(dst, '['), kind), `,"null"]`...)
}
