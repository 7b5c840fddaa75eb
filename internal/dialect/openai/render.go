package openai

import (
	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Render writes what a model is going to read, in the order in which templates put
// it: tools, then the messages. Requests that begin alike are rendered alike, so
// that an engine's prefix cache can be foreseen. Nothing else is promised of it.
func Render(d *scan.Doc, to dialect.Rendering) {
	root := d.Root()
	to.Write(root.Get("tools").Raw())
	for m := range root.Get("messages").All() {
		to.Write(m.Get("role").Raw())
		content := m.Get("content")
		if content.Kind() != scan.Array {
			to.Write(content.Raw())
		}
		for p := range content.All() {
			switch string(p.Get("type").Bytes()) {
			case "image_url", "video_url", "input_image":
				to.Weigh(p.Raw(), dialect.ImageTokens)
			case "input_audio", "audio_url":
				to.Weigh(p.Raw(), dialect.AudioTokens)
			case "file":
				to.Weigh(p.Raw(), dialect.DocumentTokens)
			default:
				to.Write(p.Get("text").Raw())
			}
		}
		to.Write(m.Get("tool_calls").Raw())
	}
}
