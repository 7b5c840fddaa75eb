package anthropic

import (
	"headworks/internal/scan"
)

// AppendModels appends the list of models, the answer to GET /v1/models. It is
// one page.
func AppendModels(dst []byte, names ...string) []byte {
	dst = append(dst, `{"data":[`...)
	for _, name := range names {
		dst = AppendModel(scan.AppendComma(dst), name)
	}
	dst = append(dst, `],"has_more":false,"first_id":`...)
	if len(names) == 0 {
		return append(dst, `null,"last_id":null}`...)
	}
	dst = scan.AppendString(dst, names[0])
	dst = scan.AppendString(scan.AppendKey(dst, "last_id"), names[len(names)-1])
	return append(dst, '}')
}

// AppendModel appends one model, the answer to GET /v1/models/{name}. When it
// came out is not known, which the reference lets the epoch say.
func AppendModel(dst []byte, name string) []byte {
	dst = scan.AppendString(append(dst, `{"type":"model","id":`...), name)
	dst = scan.AppendString(scan.AppendKey(dst, "display_name"), name)
	return append(dst, `,"created_at":"1970-01-01T00:00:00Z"}`...)
}
