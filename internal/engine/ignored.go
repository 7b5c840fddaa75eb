package engine

import (
	"strings"

	"headworks/internal/fault"
	"headworks/internal/inference"
)

// Keep returns the fault of a call that asks for all or nothing and would lose
// these fields, or nil.
func (c *Call) Keep(dropped []string) error {
	if !c.Whole || len(dropped) == 0 {
		return nil
	}
	f := fault.New(fault.Unsupported, "no upstream of this model that is left can be told "+strings.Join(dropped, ", ")+
		", and the model takes requests whole or not at all; leave the field out, or ask another model")
	f.Param = dropped[0]
	return f
}

// Ignored names, as the caller's dialect calls them, the fields that ask something
// of a model: an engine that has none follows none of them.
func Ignored(r *inference.Request, c *inference.Conversation) []string {
	stop, schema, thought := "stop", "response_format", "reasoning_effort"
	switch r.Dialect {
	case inference.Anthropic:
		stop, schema, thought = "stop_sequences", "output_config", "thinking"
	case inference.Responses:
		schema, thought = "text.format", "reasoning.effort"
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
		{"presence_penalty", c.Presence != nil},
		{"frequency_penalty", c.Frequency != nil},
		{"logprobs", c.LogProbs != nil},
		{thought, c.Thinking > 0 || c.Effort != ""},
	} {
		if field.set {
			names = append(names, field.name)
		}
	}
	return names
}
