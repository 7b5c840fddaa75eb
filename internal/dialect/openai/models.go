package openai

import (
	"strconv"
	"strings"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// AppendModels appends the list of models, the answer to GET /v1/models.
func AppendModels(dst []byte, models ...inference.Model) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i := range models {
		dst = AppendModel(scan.AppendComma(dst), models[i])
	}
	return append(dst, "]}"...)
}

// AppendModel appends one model, the answer to GET /v1/models/{name}. Beside what
// OpenAI tells of one it has the fields by which OpenRouter and vLLM tell the rest,
// as far as it is known: context_length and max_model_len, top_provider, pricing in
// dollars a token, and capabilities, a list of our own.
func AppendModel(dst []byte, m inference.Model) []byte {
	dst = append(dst, `{"id":`...)
	dst = scan.AppendString(dst, m.Name)
	dst = append(dst, `,"object":"model"`...)
	dst = strconv.AppendInt(scan.AppendKey(dst, "created"), m.Created, 10)
	dst = append(dst, `,"owned_by":"headworks"`...)
	if m.Window > 0 {
		dst = appendInt(dst, "context_length", m.Window)
		dst = appendInt(dst, "max_model_len", m.Window)
	}
	if m.Output > 0 {
		dst = append(appendInt(append(scan.AppendKey(dst, "top_provider"), '{'), "max_completion_tokens", m.Output), '}')
	}
	if p := m.Price; p.Known {
		dst = append(scan.AppendKey(dst, "pricing"), '{')
		dst = appendRate(dst, "prompt", p.Input)
		dst = appendRate(dst, "completion", p.Output)
		dst = appendRate(dst, "input_cache_read", p.CacheRead)
		dst = append(appendRate(dst, "input_cache_write", p.CacheWrite), '}')
	}
	if m.Abilities.Known() {
		dst = append(scan.AppendKey(dst, "capabilities"), '[')
		for _, name := range m.Abilities.Names() {
			dst = scan.AppendString(scan.AppendComma(dst), name)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendRate appends a price of a million tokens as that of one, in a string, as
// OpenRouter writes it.
func appendRate(dst []byte, key string, usd float64) []byte {
	text := strconv.FormatFloat(usd, 'f', -1, 64)
	return scan.AppendString(scan.AppendKey(dst, key), scaled(text))
}

// scaled moves the point of a decimal number by six places to the left.
func scaled(decimal string) string {
	const places = 6
	whole, part, _ := strings.Cut(decimal, ".")
	for len(whole) <= places {
		whole = "0" + whole
	}
	text := whole[:len(whole)-places] + "." + whole[len(whole)-places:] + part
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
