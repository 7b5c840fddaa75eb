package openai

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Mark names what a prompt begins with, the tools and the system prompt, by a
// prompt_cache_key, so that requests that begin alike reach a machine that keeps it
// ("Prompt caching"). The key tells nobody what it is made of, and is another one for
// each tenant. From GPT-5.6 on, which match a kept prefix at a mark alone, the end of
// the system prompt is marked too; the mark that OpenAI sets itself, at the latest
// message, stays. What the caller set counts.
func Mark(dst []scan.Edit, d *scan.Doc, model, tenant string) []scan.Edit {
	root := d.Root()
	h := sha256.New()
	put := func(v []byte) {
		h.Write(strconv.AppendInt(nil, int64(len(v)), 10))
		h.Write([]byte{':'})
		h.Write(v)
	}
	put([]byte("headworks prompt"))
	put([]byte(tenant))
	put(root.Get("tools").Raw())
	put(root.Get("instructions").Raw())
	long := len(root.Get("tools").Raw()) + len(root.Get("instructions").Raw())
	var last scan.Value // the last message of the system prompt
	for _, list := range []string{"messages", "input"} {
		messages := root.Get(list)
		if messages.Kind() != scan.Array {
			continue
		}
		for m := range messages.All() {
			if role := m.Get("role"); !role.Is("system") && !role.Is("developer") {
				break
			}
			last = m.Get("content")
			put(last.Raw())
			long += len(last.Raw())
		}
	}
	if long < dialect.MarkedBytes {
		return dst
	}
	if marksPrompts(model) && !bytes.Contains(d.Bytes(), []byte("prompt_cache_breakpoint")) && !root.Get("prompt_cache_options").Exists() {
		dst = breakpoint(dst, last, root.Get("input").Kind() == scan.Array)
	}
	if key := root.Get("prompt_cache_key"); key.Given() {
		return dst
	}
	dst = scan.CutAll(dst, root, func(m scan.Value) bool { return string(m.Key()) == "prompt_cache_key" })
	member := append([]byte(`,"prompt_cache_key":"`), base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:24])...)
	return append(dst, scan.Insert(root, append(member, '"')))
}

// breakpoint marks the end of a message's content.
func breakpoint(dst []scan.Edit, content scan.Value, responses bool) []scan.Edit {
	const mark = `,"prompt_cache_breakpoint":{"mode":"explicit"}`
	switch content.Kind() {
	case scan.String:
		kind := "text"
		if responses {
			kind = "input_text"
		}
		part := append([]byte(`[{"type":"`+kind+`","text":`), content.Raw()...)
		return append(dst, scan.Replace(content, append(part, mark+`}]`...)))
	case scan.Array:
		var part scan.Value
		for part = range content.All() {
		}
		if kind := part.Get("type"); kind.Is("text") || kind.Is("input_text") {
			return append(dst, scan.Insert(part, []byte(mark)))
		}
	default:
	}
	return dst
}

// marksPrompts reports whether a model is one of GPT-5.6 or later.
func marksPrompts(model string) bool {
	_, version, ok := strings.Cut(model, "gpt-")
	if !ok {
		return false
	}
	if end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
		version = version[:end]
	}
	whole, part, _ := strings.Cut(version, ".")
	major, err := strconv.Atoi(whole)
	if err != nil || major < 5 {
		return false
	}
	minor, _ := strconv.Atoi(part) // none is zero
	return major > 5 || minor >= 6
}
