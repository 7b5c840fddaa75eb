package anthropic

import (
	"time"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// AppendModels appends the list of models, the answer to GET /v1/models. It is
// one page.
func AppendModels(dst []byte, models ...inference.Model) []byte {
	dst = append(dst, `{"data":[`...)
	for i := range models {
		dst = AppendModel(scan.AppendComma(dst), models[i])
	}
	dst = append(dst, `],"has_more":false,"first_id":`...)
	if len(models) == 0 {
		return append(dst, `null,"last_id":null}`...)
	}
	dst = scan.AppendString(dst, models[0].Name)
	dst = scan.AppendString(scan.AppendKey(dst, "last_id"), models[len(models)-1].Name)
	return append(dst, '}')
}

// AppendModel appends one model, the answer to GET /v1/models/{name}. What is not
// known is left out, though the reference has all of it.
func AppendModel(dst []byte, m inference.Model) []byte {
	dst = scan.AppendString(append(dst, `{"type":"model","id":`...), m.Name)
	dst = scan.AppendString(scan.AppendKey(dst, "display_name"), m.Name)
	dst = scan.AppendString(scan.AppendKey(dst, "created_at"), time.Unix(m.Created, 0).UTC().Format(time.RFC3339))
	if m.Window > 0 {
		dst = appendInt(dst, "max_input_tokens", m.Window)
	}
	if m.Output > 0 {
		dst = appendInt(dst, "max_tokens", m.Output)
	}
	if m.Abilities.Known() {
		dst = append(scan.AppendKey(dst, "capabilities"), '{')
		for _, c := range [...]struct {
			name string
			of   inference.Ability
		}{
			{"image_input", inference.Vision},
			{"pdf_input", inference.Documents},
			{"structured_outputs", inference.JSONSchema},
			{"thinking", inference.Reasoning},
		} {
			dst = append(scan.AppendKey(dst, c.name), `{"supported":`...)
			if m.Abilities.Has(c.of) {
				dst = append(dst, "true}"...)
			} else {
				dst = append(dst, "false}"...)
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}
