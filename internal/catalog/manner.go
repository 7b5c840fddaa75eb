package catalog

// Manner is how a provider differs from OpenAI in what its chat takes. The zero
// Manner does not. A field that a provider merely ignores is none of ours: only what
// it answers with an error, or knows by another name, stands here.
type Manner struct {
	// Refused are fields of a request that it answers with an error, and InMessages
	// the same of a message. They are left out, and named as lost.
	Refused    []string
	InMessages []string

	// Renamed are fields that it knows by another name: OpenAI's, and its own.
	Renamed [][2]string

	// Unasked tells that it refuses stream_options and tells usage all the same.
	Unasked bool

	// System tells that it knows no role developer: system says the same.
	System bool

	// ToolID is how many letters and digits the id of a tool call must have; 0 for
	// any id.
	ToolID int
}

// unknown are fields of OpenAI's that a strict provider finds to be too much.
var unknown = []string{
	"user", "store", "logprobs", "top_logprobs", "logit_bias", "service_tier", "modalities", "audio", "verbosity",
	"web_search_options", "safety_identifier", "functions", "function_call", "top_k",
}

// Where the manners come from: Mistral's OpenAPI description
// (ChatCompletionRequest, additionalProperties: false) and what its validation
// answers (extra_forbidden; "Tool call id was ... but must be a-z, A-Z, 0-9, with a
// length of 9"); Groq's page on OpenAI compatibility, and its answer "property
// 'reasoning_content' is unsupported", which Cerebras gives too; Cerebras' page on
// OpenAI compatibility; DeepSeek's reference of chat completions, which knows
// max_tokens alone, and its answer "unknown variant `developer`".
var (
	mistral = Manner{
		Refused:    unknown,
		InMessages: []string{"name", "refusal", "audio", "reasoning_content", "reasoning", "function_call"},
		Renamed:    [][2]string{{"max_completion_tokens", "max_tokens"}, {"seed", "random_seed"}},
		Unasked:    true,
		System:     true,
		ToolID:     9,
	}
	groq = Manner{
		Refused:    []string{"logprobs", "top_logprobs", "logit_bias"},
		InMessages: []string{"name", "reasoning_content"},
	}
	cerebras = Manner{
		Refused:    []string{"frequency_penalty", "presence_penalty", "logit_bias"},
		InMessages: []string{"reasoning_content"},
	}
	deepseek = Manner{
		Renamed: [][2]string{{"max_completion_tokens", "max_tokens"}},
		System:  true,
	}
	together = Manner{Renamed: [][2]string{{"max_completion_tokens", "max_tokens"}}}
)

// Differs reports whether m is any other than OpenAI's.
func (m Manner) Differs() bool {
	return len(m.Refused) > 0 || len(m.InMessages) > 0 || len(m.Renamed) > 0 || m.Unasked || m.System || m.ToolID > 0
}
