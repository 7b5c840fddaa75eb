package anthropic

import (
	"bytes"

	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Mark marks the end of what stays the same from turn to turn, the tools and the
// system prompt, so that it is read from Anthropic's cache the next time ("Prompt
// caching": cache_control, at most four of them). Where the caller marked anything,
// or the part is too short to be kept, nothing is added.
func Mark(dst []scan.Edit, d *scan.Doc, _, _ string) []scan.Edit {
	if bytes.Contains(d.Bytes(), []byte("cache_control")) {
		return dst
	}
	root := d.Root()
	system, tools := root.Get("system"), root.Get("tools")
	if len(system.Raw())+len(tools.Raw()) < dialect.MarkedBytes {
		return dst
	}
	const mark = `"cache_control":{"type":"ephemeral"}`
	switch {
	case system.Kind() == scan.String && system.TextLen() > 0:
		block := append([]byte(`[{"type":"text","text":`), system.Raw()...)
		return append(dst, scan.Replace(system, append(block, `,`+mark+`}]`...)))
	case last(system).Get("type").Is("text"):
		return append(dst, scan.Insert(last(system), []byte(`,`+mark)))
	case last(tools).Kind() == scan.Object:
		return append(dst, scan.Insert(last(tools), []byte(`,`+mark)))
	}
	return dst
}

// last returns the last element of an array; no value where there is none.
func last(array scan.Value) (v scan.Value) {
	if array.Kind() == scan.Array {
		for v = range array.All() {
		}
	}
	return v
}
