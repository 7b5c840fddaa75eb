package responses

import (
	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Roles of what stands in a request without one.
var (
	ofSystem    = []byte(`"system"`)
	ofUser      = []byte(`"user"`)
	ofAssistant = []byte(`"assistant"`)
	ofTool      = []byte(`"tool"`)
)

// Render writes what a model is going to read, in the order in which templates put
// it: tools, instructions, then the items. Requests that begin alike are rendered
// alike, so that an engine's prefix cache can be foreseen. Nothing else is promised
// of it.
func Render(d *scan.Doc, to dialect.Rendering) {
	root := d.Root()
	to.Write(root.Get("tools").Raw())
	if v := root.Get("instructions"); v.Given() {
		to.Write(ofSystem)
		to.Write(v.Raw())
	}
	input := root.Get("input")
	if input.Kind() != scan.Array {
		to.Write(ofUser)
		to.Write(input.Raw())
	}
	for v := range input.All() {
		switch kind := v.Get("type"); {
		case kind.Is("message"), !kind.Given() && v.Get("role").Given():
			to.Write(v.Get("role").Raw())
			renderContent(v.Get("content"), to)
		case kind.Is("function_call"):
			to.Write(ofAssistant)
			to.Write(v.Get("name").Raw())
			to.Write(v.Get("arguments").Raw())
		case kind.Is("custom_tool_call"):
			to.Write(ofAssistant)
			to.Write(v.Get("name").Raw())
			to.Write(v.Get("input").Raw())
		case kind.Is("function_call_output"), kind.Is("custom_tool_call_output"):
			to.Write(ofTool)
			renderContent(v.Get("output"), to)
		default:
			to.Write(v.Raw())
		}
	}
}

func renderContent(v scan.Value, to dialect.Rendering) {
	if v.Kind() != scan.Array {
		to.Write(v.Raw())
	}
	for p := range v.All() {
		switch string(p.Get("type").Bytes()) {
		case "input_image":
			to.Weigh(p.Raw(), dialect.ImageTokens)
		case "input_file":
			to.Weigh(p.Raw(), dialect.DocumentTokens)
		case "input_audio":
			to.Weigh(p.Raw(), dialect.AudioTokens)
		case "refusal":
			to.Write(p.Get("refusal").Raw())
		default:
			to.Write(p.Get("text").Raw())
		}
	}
}
