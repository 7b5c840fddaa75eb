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
		name   string
		gemini string // in generationConfig
		set    bool
	}{
		{"tools", "", len(c.Tools) > 0},
		{schema, "responseMimeType", c.Schema != nil || c.JSON},
		{stop, "stopSequences", len(c.Stop) > 0},
		{"n", "candidateCount", r.N > 1},
		{"temperature", "temperature", c.Temperature != nil},
		{"top_p", "topP", c.TopP != nil},
		{"top_k", "topK", c.TopK != nil},
		{"seed", "seed", c.Seed != nil},
		{"presence_penalty", "presencePenalty", c.Presence != nil},
		{"frequency_penalty", "frequencyPenalty", c.Frequency != nil},
		{"logprobs", "responseLogprobs", c.LogProbs != nil},
		{thought, "thinkingConfig", c.Thinking > 0 || c.Effort != ""},
	} {
		switch {
		case !field.set:
		case r.Dialect == inference.Gemini && field.gemini != "":
			names = append(names, "generationConfig."+field.gemini)
		default:
			names = append(names, field.name)
		}
	}
	return names
}
