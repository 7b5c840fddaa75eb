package gemini

import (
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// AppendModels appends the list of models, the answer to GET /v1beta/models. It is
// one page.
func AppendModels(dst []byte, models ...inference.Model) []byte {
	dst = append(dst, `{"models":[`...)
	for i := range models {
		dst = AppendModel(scan.AppendComma(dst), models[i])
	}
	return append(dst, "]}"...)
}

// AppendModel appends one model, the answer to GET /v1beta/models/{name}.
func AppendModel(dst []byte, m inference.Model) []byte {
	dst = scan.AppendString(append(dst, `{"name":`...), "models/"+m.Name)
	dst = scan.AppendString(scan.AppendKey(dst, "displayName"), m.Name)
	if m.Window > 0 {
		dst = appendInt(dst, "inputTokenLimit", m.Window)
	}
	if m.Output > 0 {
		dst = appendInt(dst, "outputTokenLimit", m.Output)
	}
	if m.Abilities.Has(inference.Reasoning) {
		dst = append(dst, `,"thinking":true`...)
	}
	return append(dst, `,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}`...)
}
