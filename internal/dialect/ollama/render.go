package ollama

import (
	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Render writes what a model is going to read of a request to /api/chat, in the order
// of most templates.
func Render(d *scan.Doc, to dialect.Rendering) {
	root := d.Root()
	to.Write(root.Get("tools").Raw())
	for m := range root.Get("messages").All() {
		to.Write(m.Get("role").Raw())
		for i := range m.Get("images").All() {
			to.Weigh(i.Raw(), dialect.ImageTokens)
		}
		to.Write(m.Get("content").Raw())
		to.Write(m.Get("tool_calls").Raw())
	}
}
