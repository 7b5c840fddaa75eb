// Package inference says what a client asked and what a model answered, in no
// vendor's dialect. Lengths are in tokens unless a name says bytes.
package inference

import "strings"

// Request is one question as decisions see it: facts, no content.
type Request struct {
	ID        ID
	Dialect   Dialect
	Model     string   // as the caller named it
	Models    []string // to fall back to, in order, if the caller named any
	Stream    bool
	Opaque    bool     // the stream is one of bytes: it has no events, and nothing can be said within it
	MaxTokens int      // 0: the caller did not say
	Input     int      // estimated
	Bytes     int      // of the body
	Tools     int      // offered
	N         int      // answers asked for at once; at least 1
	Prompts   int      // that the request holds, each with an answer of its own; 0: one
	Longest   int      // of Prompts, estimated; 0: Input
	WantUsage bool     // the caller wants to see usage in the stream
	NoStore   bool     // the caller said that nothing of it is to be stored
	Cold      bool     // the caller set a temperature of 0
	Detailed  bool     // the answer says more of its tokens than one form of it can take over from the other: log probabilities
	Apart     Apart    // why no earlier answer may stand in for this one; 0: nothing is known
	Blocks    []uint64 // chained hashes of the prompt, see package prefix; none: not hashed
	Session   uint64   // hash of the caller's affinity hint; 0: none
	User      uint64   // hash of the end user's opaque id; 0: none
	Needs     Abilities
	Effort    Effort
	Service   Service
	Features  Features   // where somebody decides by them
	Verdict   Verdict    // of a classifier, where somebody asked one
	Knowledge *Knowledge // nil: the caller says nothing of documents
}

// Need notes that r cannot be served as it is meant without an ability.
func (r *Request) Need(a Ability) { r.Needs = r.Needs.With(a) }

// NeedOf notes what a medium takes to be read, by its MIME type.
func (r *Request) NeedOf(media string) {
	switch kind, of, _ := strings.Cut(media, "/"); {
	case kind == "image", kind == "video":
		r.Need(Vision)
	case kind == "audio":
		r.Need(Hearing)
	case of == "pdf":
		r.Need(Documents)
	}
}

// Usage counts the tokens of an answer. Input includes CacheRead and
// CacheWrite, Output includes Reasoning.
type Usage struct {
	Input, Output         int
	CacheRead, CacheWrite int
	CacheWriteHour        int // of CacheWrite, what is kept for an hour
	Reasoning             int
	Known                 bool // said by the upstream; false: our own estimate, or nothing yet
}

// Finish is why a model stopped. The zero Finish is none yet.
type Finish uint8

// The reasons to stop.
const (
	Unfinished    Finish = iota
	Stop                 // the model was done
	Length               // out of max_tokens or of the window
	ToolCalls            // it asks for tools
	ContentFilter        // the upstream's filter, or a refusal
	StopSequence         // one of the caller's
	Pause                // Anthropic's pause_turn
)

func (f Finish) String() string {
	return [...]string{"", "stop", "length", "tool_calls", "content_filter", "stop_sequence", "pause"}[f]
}

// Event is what one event of a streamed answer tells, whatever its dialect.
type Event struct {
	Content  bool   // commits the answer: text, thought, refusal, tool fragment, audio, or a finish
	Text     int    // bytes of text, thought and tool arguments, for an estimate of tokens
	Finishes int    // choices that end with this event
	Finish   Finish // of the last of them
	Usage    Usage  // Known if this event says; totals so far, never increments
	Aside    bool   // usage and nothing else: not for a caller who did not ask for it
	Terminal bool   // the dialect's own end of the stream
}

// Private is a field that the dialect of the caller has and no other knows: the
// way back to that dialect restores it, the way to another one names it.
type Private struct {
	Path string // of the object that has it, as the caller's dialect calls it: messages. or nothing for the whole
	Key  string
	Raw  []byte // JSON
}

// Conversation is a whole request, for the hop from one dialect to another.
type Conversation struct {
	From       Dialect // whose the Private fields, the Foreign parts and the Hosted tools are
	System     []Part
	Messages   []Message
	Tools      []Tool
	ToolChoice ToolChoice
	Parallel   *bool // may the model ask for several tools at once

	MaxTokens   int
	Stop        []string
	N           int // answers; 0: one
	Temperature *float64
	TopP        *float64
	TopK        *int
	Presence    *float64 // penalty
	Frequency   *float64 // penalty
	Seed        *int64
	LogProbs    *int // alternatives to tell the log probabilities of, beside the chosen token; nil: none at all

	Thinking     int    // budget of reasoning in tokens; 0: none is set
	ThinkingMode string // adaptive, disabled; empty: the model's own choice, or by the budget
	Effort       string // low, medium, high and others; empty: the model's own choice

	JSON              bool   // any JSON object will do
	Schema            []byte // JSON Schema the answer must follow; nil: none
	SchemaName        string
	SchemaDescription string
	SchemaStrict      *bool
	SchemaNative      []byte // the schema as the caller's dialect has it, where that is no JSON Schema

	User    string // the end user's opaque id
	Private []Private
}

// Role is who speaks.
type Role uint8

// The roles. System text stands apart, in Conversation.System, unless a dialect
// has it between turns.
const (
	User Role = iota
	Assistant
	System
)

// Message is one turn.
type Message struct {
	Role    Role
	Parts   []Part
	Private []Private
}

// PartKind says which fields of a Part count.
type PartKind uint8

// The kinds of parts.
const (
	Text       PartKind = iota // Text
	Image                      // URL, or Media and Data
	Document                   // URL, or Media and Data; Name
	Audio                      // Media and Data
	Thinking                   // Text, Signature
	Redacted                   // Data: thinking that only its maker can read
	Refusal                    // Text
	ToolUse                    // ID, Name, Data: the arguments as JSON; Signature: of the thought that led to it
	ToolResult                 // ID, Parts, Failed; Name and Data: the tool's, and the result as JSON, where the dialect has them
	Foreign                    // Data: the whole part as JSON, of a kind or a form that only its dialect has, which Name tells
)

// Part is a piece of a turn.
type Part struct {
	Kind      PartKind
	Text      string
	URL       string
	Media     string // MIME type
	Data      string // base64, or JSON where the kind says so
	Signature string
	ID        string
	Name      string
	Parts     []Part
	Failed    bool
	Detail    string     // how closely to look at an Image: low, high; empty: the model's own choice
	Cache     string     // ends a prefix worth caching, for 5m, 1h or the provider's "default"; empty: does not
	Citations []Citation // of a Text of an answer
	Private   []Private
}

// Tool is a function that the model may ask for.
type Tool struct {
	Name        string
	Description string
	Schema      []byte // JSON Schema of the arguments
	Native      []byte // the same as the caller's dialect has it, where that is no JSON Schema
	Strict      *bool
	Cache       string // as of a Part
	Hosted      []byte // the whole tool as JSON, where it runs on the upstream's side; the rest is empty but for Name, its type
	Private     []Private
}

// ToolChoice is how free the model is: "" or "auto", "none", "required", or
// "tool" with a Name.
type ToolChoice struct {
	Mode string
	Name string
}

// Answer is a whole answer, for the hop from one dialect to another.
type Answer struct {
	ID           string
	Model        string
	Created      int64 // Unix seconds; 0: not said
	Parts        []Part
	Finish       Finish
	StopSequence string
	Usage        Usage
}

// DeltaKind says which fields of a Delta count.
type DeltaKind uint8

// The kinds of deltas of a streamed answer, in the order in which they come.
// A block (a text, a thought, a tool call) begins with its first delta and ends
// where another Index begins or the answer finishes.
const (
	Begin        DeltaKind = iota // ID, Model, Usage as far as known
	TextDelta                     // Index, Text
	ThoughtDelta                  // Index, Text
	Signed                        // Index, Text: the signature of a thought
	Sealed                        // Index, Text: a thought that only its maker can read, as the Data of Redacted
	RefusalDelta                  // Index, Text
	ToolBegin                     // Index, ID, Name
	ToolDelta                     // Index, Text: a fragment of the arguments
	End                           // Finish, StopSequence, Usage
)

// Delta is a step of a streamed answer.
type Delta struct {
	Kind         DeltaKind
	Index        int // of the block, from 0
	ID           string
	Name         string
	Model        string
	Text         string
	Finish       Finish
	StopSequence string
	Usage        Usage
}
