package ollama

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Version is the version of Ollama whose API this is, for clients that ask whether it
// is new enough: the first with all of truncate, think and ids of tool calls.
const Version = "0.12.10"

// architecture is what stands for the family of a model, of which nothing is known.
const architecture = "headworks"

// AppendModels appends the list of models, the answer to GET /api/tags. What Ollama
// tells of files is not known here: sizes are 0, and a digest is that of the name.
func AppendModels(dst []byte, models ...inference.Model) []byte {
	return appendList(dst, models, false)
}

// AppendRunning appends the list of models that are ready to answer, the answer to
// GET /api/ps. None is ever unloaded, as far as is known here.
func AppendRunning(dst []byte, models ...inference.Model) []byte {
	return appendList(dst, models, true)
}

func appendList(dst []byte, models []inference.Model, running bool) []byte {
	dst = append(dst, `{"models":[`...)
	for i := range models {
		m := &models[i]
		dst = scan.AppendString(append(scan.AppendComma(dst), `{"name":`...), m.Name)
		dst = scan.AppendString(scan.AppendKey(dst, "model"), m.Name)
		sum := sha256.Sum256([]byte(m.Name))
		dst = append(hex.AppendEncode(append(dst, `,"size":0,"digest":"`...), sum[:]), '"')
		dst = appendDetails(dst)
		if running {
			dst = append(dst, `,"expires_at":"2300-01-01T00:00:00Z","size_vram":0`...)
			dst = strconv.AppendInt(scan.AppendKey(dst, "context_length"), int64(m.Window), 10)
		} else {
			dst = appendTime(scan.AppendKey(dst, "modified_at"), m.Created)
			dst = appendCapabilities(dst, m)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// AppendModel appends what is known of one model, the answer to POST /api/show.
func AppendModel(dst []byte, m inference.Model) []byte {
	dst = append(dst, `{"modelfile":"","parameters":"","template":""`...)
	dst = appendDetails(dst)
	dst = append(dst, `,"model_info":{"general.architecture":"`+architecture+`"`...)
	if m.Window > 0 {
		dst = strconv.AppendInt(scan.AppendKey(dst, architecture+".context_length"), int64(m.Window), 10)
	}
	dst = appendCapabilities(append(dst, '}'), &m)
	return append(appendTime(scan.AppendKey(dst, "modified_at"), m.Created), '}')
}

func appendDetails(dst []byte) []byte {
	return append(dst, `,"details":{"parent_model":"","format":"","family":"`+architecture+`","families":["`+architecture+`"],"parameter_size":"","quantization_level":""}`...)
}

// appendCapabilities appends what a model can do, in Ollama's words. Where nothing is
// known tools are said to be, since clients do not offer them otherwise; whoever
// serves the model tells if they are not.
func appendCapabilities(dst []byte, m *inference.Model) []byte {
	chats, embeds := m.Speaks.Serves(inference.Ollama), m.Speaks.Serves(inference.Embeddings)
	dst = append(scan.AppendKey(dst, "capabilities"), '[')
	for _, c := range []struct {
		name string
		has  bool
	}{
		{"completion", chats},
		{"embedding", embeds && !chats}, // most that chat have a path for vectors, and only some a model
		{"tools", chats && (m.Abilities.Has(inference.Tools) || !m.Abilities.Known())},
		{"vision", m.Abilities.Has(inference.Vision)},
		{"audio", m.Abilities.Has(inference.Hearing)},
		{"thinking", m.Abilities.Has(inference.Reasoning)},
	} {
		if c.has {
			dst = scan.AppendString(scan.AppendComma(dst), c.name)
		}
	}
	return append(dst, ']')
}

func appendTime(dst []byte, unix int64) []byte {
	return append(time.Unix(unix, 0).UTC().AppendFormat(append(dst, '"'), time.RFC3339), '"')
}
