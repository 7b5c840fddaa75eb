package anthropic

import (
	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Render writes what a model is going to read, in the order in which templates put
// it: tools, system, then the messages. Requests that begin alike are rendered
// alike, so that an engine's prefix cache can be foreseen. Nothing else is promised
// of it.
func Render(d *scan.Doc, to dialect.Rendering) {
	root := d.Root()
	to.Write(root.Get("tools").Raw())
	renderContent(root.Get("system"), to)
	for m := range root.Get("messages").All() {
		to.Write(m.Get("role").Raw())
		renderContent(m.Get("content"), to)
	}
}

func renderContent(v scan.Value, to dialect.Rendering) {
	if v.Kind() != scan.Array {
		to.Write(v.Raw())
		return
	}
	for b := range v.All() {
		switch string(b.Get("type").Bytes()) {
		case "text":
			to.Write(b.Get("text").Raw())
		case "image":
			to.Weigh(b.Get("source").Raw(), dialect.ImageTokens)
		case "document":
			to.Weigh(b.Get("source").Raw(), dialect.DocumentTokens)
		case "tool_result":
			to.Write(b.Get("tool_use_id").Raw())
			renderContent(b.Get("content"), to)
		case "tool_use":
			to.Write(b.Get("name").Raw())
			to.Write(b.Get("input").Raw())
		default: // a mark of where a cache ends does not change what is read
			to.Write(b.Get("thinking").Raw())
		}
	}
}
