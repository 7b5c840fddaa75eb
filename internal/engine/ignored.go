package engine

import "headworks/internal/inference"

// Ignored names, as the caller's dialect calls them, the fields that ask something
// of a model: an engine that has none follows none of them.
func Ignored(r *inference.Request, c *inference.Conversation) []string {
	stop, schema, thought := "stop", "response_format", "reasoning_effort"
	if r.Dialect == inference.Anthropic {
		stop, schema, thought = "stop_sequences", "output_config", "thinking"
	}
	var names []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"tools", len(c.Tools) > 0},
		{schema, c.Schema != nil || c.JSON},
		{stop, len(c.Stop) > 0},
		{"n", r.N > 1},
		{"temperature", c.Temperature != nil},
		{"top_p", c.TopP != nil},
		{"top_k", c.TopK != nil},
		{"seed", c.Seed != nil},
		{thought, c.Thinking > 0 || c.Effort != ""},
	} {
		if field.set {
			names = append(names, field.name)
		}
	}
	return names
}
