package gemini

import (
	"headworks/internal/scan"
)

// AppendModels appends the list of models, the answer to GET /v1beta/models. It is
// one page.
func AppendModels(dst []byte, names ...string) []byte {
	dst = append(dst, `{"models":[`...)
	for _, name := range names {
		dst = AppendModel(scan.AppendComma(dst), name)
	}
	return append(dst, "]}"...)
}

// AppendModel appends one model, the answer to GET /v1beta/models/{name}.
func AppendModel(dst []byte, name string) []byte {
	dst = scan.AppendString(append(dst, `{"name":`...), "models/"+name)
	dst = scan.AppendString(scan.AppendKey(dst, "displayName"), name)
	return append(dst, `,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}`...)
}
