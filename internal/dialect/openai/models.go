package openai

import (
	"headworks/internal/scan"
)

// AppendModels appends the list of models, the answer to GET /v1/models.
func AppendModels(dst []byte, names ...string) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for _, name := range names {
		dst = AppendModel(scan.AppendComma(dst), name)
	}
	return append(dst, "]}"...)
}

// AppendModel appends one model, the answer to GET /v1/models/{name}.
func AppendModel(dst []byte, name string) []byte {
	dst = append(dst, `{"id":`...)
	dst = scan.AppendString(dst, name)
	return append(dst, `,"object":"model","created":0,"owned_by":"headworks"}`...)
}
