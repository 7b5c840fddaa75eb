package quality

import (
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Why an answer does not pass.
const (
	Cut       = "it was cut at its limit of tokens"
	Filtered  = "its model stopped for a filter"
	Empty     = "it is empty"
	Refused   = "it refuses"
	NoJSON    = "it is no JSON, and JSON was asked for"
	Misfitted = "it is not of the schema that was asked for"
	BadCall   = "it calls a tool with arguments that are none of its"
	NoMatch   = "it lacks what its model has to say"
	Rejected  = "it has what its model may not say"
)

// Answer is a whole answer as it is looked at.
type Answer struct {
	Text    string // without thoughts
	Refusal bool   // the upstream says that it is one
	Finish  inference.Finish
	Calls   []Call
}

// Call is a call of a tool.
type Call struct {
	Name      string
	Arguments string // JSON
}

// Asked is what the request says of the form of its answer.
type Asked struct {
	JSON   bool
	Schema []byte // nil: none
	Tools  []inference.Tool
}

// Verify returns why an answer does not pass, and nothing where it does. What a schema
// says beyond what is read here counts for the answer.
func Verify(c *fleet.Cascade, a *Answer, asked *Asked) string {
	text := Said(a.Text)
	if c.Whole {
		switch {
		case a.Finish == inference.Length:
			return Cut
		case a.Finish == inference.ContentFilter && !a.Refusal:
			return Filtered
		case text == "" && len(a.Calls) == 0 && !a.Refusal:
			return Empty
		}
	}
	if c.Refusal && (a.Refusal || len(a.Calls) == 0 && Refuses(text)) {
		return Refused
	}
	if c.JSON {
		if why := inForm(text, a, asked); why != "" {
			return why
		}
	}
	switch {
	case len(a.Calls) > 0:
		return "" // a text beside calls is no answer yet
	case c.Match != nil && !c.Match.MatchString(text):
		return NoMatch
	case c.Reject != nil && c.Reject.MatchString(text):
		return Rejected
	}
	return ""
}

// inForm returns why an answer is not of the form that was asked for.
func inForm(text string, a *Answer, asked *Asked) string {
	var is, want scan.Doc
	for _, call := range a.Calls {
		tool := find(asked.Tools, call.Name)
		args := call.Arguments
		if args == "" {
			args = "{}" // what some models write where there are none
		}
		switch {
		case is.ScanLax([]byte(args)) != nil || is.Root().Kind() != scan.Object:
			return BadCall
		case tool == nil && len(asked.Tools) > 0:
			return BadCall
		case tool != nil && len(tool.Schema) > 0 && want.Scan(tool.Schema, nil) == nil && Check(want.Root(), is.Root()) == Misfits:
			return BadCall
		}
	}
	if !asked.JSON && asked.Schema == nil || len(a.Calls) > 0 || a.Refusal {
		return ""
	}
	if is.ScanLax([]byte(text)) != nil {
		return NoJSON
	}
	if asked.Schema != nil && want.Scan(asked.Schema, nil) == nil && Check(want.Root(), is.Root()) == Misfits {
		return Misfitted
	}
	return ""
}

// find returns the tool of a name; nil where there is none.
func find(tools []inference.Tool, name string) *inference.Tool {
	for i := range tools {
		if tools[i].Name == name {
			return &tools[i]
		}
	}
	return nil
}
