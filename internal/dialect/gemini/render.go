package gemini

import (
	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Render writes what a model is going to read, in the order in which templates put
// it: tools, system, then the contents. Requests that begin alike are rendered
// alike, so that an engine's prefix cache can be foreseen. Nothing else is promised
// of it.
func Render(d *scan.Doc, to dialect.Rendering) {
	root := d.Root()
	to.Write(root.Get("tools").Raw())
	renderContent(get(root, "systemInstruction"), to)
	for c := range some(root.Get("contents")) {
		to.Write(c.Get("role").Raw())
		renderContent(c, to)
	}
}

func renderContent(v scan.Value, to dialect.Rendering) {
	for p := range some(v.Get("parts")) {
		for m := range p.All() {
			switch camel(m.Key()) {
			case "text":
				to.Write(m.Raw())
			case "inlineData", "fileData":
				to.Weigh(m.Raw(), weight(get(m, "mimeType").Text()))
			case "functionCall", "functionResponse":
				to.Write(m.Get("name").Raw())
				to.Write(m.Get("args").Raw())
				to.Write(m.Get("response").Raw())
			}
		}
	}
}
