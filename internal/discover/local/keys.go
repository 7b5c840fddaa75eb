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

// Providers returns every provider that is known by its variable; one that is known
// by several stands there once for each. All but Anthropic and Gemini speak OpenAI's
// dialect at the URL given.
func Providers() []Provider {
	return []Provider{
		{"openai", "OPENAI_API_KEY", "openai", "https://api.openai.com/v1"},
		{"anthropic", "ANTHROPIC_API_KEY", "anthropic", "https://api.anthropic.com"},
		{"gemini", "GEMINI_API_KEY", "gemini", "https://generativelanguage.googleapis.com/v1beta"},
		{"gemini", "GOOGLE_API_KEY", "gemini", "https://generativelanguage.googleapis.com/v1beta"},
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

// Keys returns the providers whose variable is set to more than white space, each
// once. The key itself is looked at and left where it is.
func Keys(lookup func(variable string) (string, bool)) []Provider {
	var set []Provider
	for _, p := range Providers() {
		twice := len(set) > 0 && set[len(set)-1].Name == p.Name
		if value, ok := lookup(p.Env); ok && strings.TrimSpace(value) != "" && !twice {
			set = append(set, p)
		}
	}
	return set
}
