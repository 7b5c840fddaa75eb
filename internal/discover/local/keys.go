package local

import "strings"

// Provider is a service that answers for money, known by the variable that
// usually holds its key.
type Provider struct {
	Name string // of the upstream
	Env  string // variable with the key
	Kind string // of upstream, as the configuration names it
	URL  string // base of its API
}

// Providers returns every provider that is known by its variable. All but
// Anthropic speak OpenAI's dialect at the URL given.
func Providers() []Provider {
	return []Provider{
		{"openai", "OPENAI_API_KEY", "openai", "https://api.openai.com/v1"},
		{"anthropic", "ANTHROPIC_API_KEY", "anthropic", "https://api.anthropic.com"},
		{"gemini", "GEMINI_API_KEY", "openai", "https://generativelanguage.googleapis.com/v1beta/openai"},
		{"groq", "GROQ_API_KEY", "openai", "https://api.groq.com/openai/v1"},
		{"openrouter", "OPENROUTER_API_KEY", "openai", "https://openrouter.ai/api/v1"},
		{"mistral", "MISTRAL_API_KEY", "openai", "https://api.mistral.ai/v1"},
		{"deepseek", "DEEPSEEK_API_KEY", "openai", "https://api.deepseek.com/v1"},
		{"together", "TOGETHER_API_KEY", "openai", "https://api.together.xyz/v1"},
		{"xai", "XAI_API_KEY", "openai", "https://api.x.ai/v1"},
		{"fireworks", "FIREWORKS_API_KEY", "openai", "https://api.fireworks.ai/inference/v1"},
		{"cerebras", "CEREBRAS_API_KEY", "openai", "https://api.cerebras.ai/v1"},
	}
}

// Keys returns the providers whose variable is set to more than white space. The
// key itself is looked at and left where it is.
func Keys(lookup func(variable string) (string, bool)) []Provider {
	var set []Provider
	for _, p := range Providers() {
		if value, ok := lookup(p.Env); ok && strings.TrimSpace(value) != "" {
			set = append(set, p)
		}
	}
	return set
}
