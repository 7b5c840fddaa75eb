// Package catalog says which kinds of upstream exist, as data: what each speaks,
// where it is reached, and which variable usually holds its key. Presets are kinds
// too: a provider that speaks another kind's dialects at its own address.
package catalog

import (
	"net/url"
	"slices"
	"strings"

	"headworks/internal/inference"
)

// Kind is a kind of upstream, as the configuration names it.
type Kind struct {
	Name      string
	Title     string        // as people call it
	Engine    string        // the kind whose engine speaks to it; Name, but for a preset
	URL       string        // where it is reached unless the file says otherwise; empty if it runs anywhere
	Env       string        // the variable that usually holds its key
	Port      uint16        // where it listens on a machine of one's own; 0 for a provider
	Speaks    inference.Set // natively
	Own       inference.Set // beside Speaks, where it is the provider of URL itself
	Versioned inference.Set // beside Speaks, where a version of its older API is asked
	BuiltIn   bool          // inside this process, without a URL
	Repeats   bool          // the same request has the same answer each time
	Manner    Manner        // of a preset, where it differs from OpenAI
}

// What engines of OpenAI's dialect speak beside chat.
var (
	chat       = inference.SetOf(inference.OpenAI)
	completing = inference.SetOf(inference.Completions)
	embedding  = inference.SetOf(inference.Embeddings)
	serving    = chat | completing | embedding
	ranking    = serving | inference.SetOf(inference.Rerank)
	vectors    = embedding | inference.SetOf(inference.Rerank)
	hearing    = inference.SetOf(inference.Transcriptions, inference.Translations)
	speaking   = inference.SetOf(inference.Speech)
	drawing    = inference.SetOf(inference.Images)
	passing    = hearing | speaking | drawing | inference.SetOf(inference.Moderations, inference.ImageEdits, inference.ImageVariations)
	messages   = inference.SetOf(inference.Anthropic, inference.AnthropicCount)
	contents   = inference.SetOf(inference.Gemini, inference.GeminiCount)
)

var kinds = []Kind{
	{Name: "openai", Title: "OpenAI", URL: "https://api.openai.com/v1", Env: "OPENAI_API_KEY", Speaks: serving | passing, Own: inference.SetOf(inference.Responses)},
	{Name: "anthropic", Title: "Anthropic", URL: "https://api.anthropic.com", Env: "ANTHROPIC_API_KEY", Speaks: messages},
	{Name: "gemini", Title: "Gemini", URL: "https://generativelanguage.googleapis.com/v1beta", Env: "GEMINI_API_KEY", Speaks: contents | inference.SetOf(inference.Embeddings)},
	{Name: "vertex", Title: "Vertex AI", URL: "https://aiplatform.googleapis.com", Speaks: contents | messages},
	{Name: "azure", Title: "Azure OpenAI", Env: "AZURE_OPENAI_API_KEY", Speaks: serving, Versioned: drawing | hearing | speaking},
	{Name: "bedrock", Title: "Amazon Bedrock", Env: "AWS_BEARER_TOKEN_BEDROCK", Speaks: inference.SetOf(inference.Converse)},
	{Name: "vllm", Title: "vLLM", Port: 8000, Speaks: ranking | hearing},
	{Name: "llamacpp", Title: "llama.cpp", Port: 8080, Speaks: ranking},
	{Name: "sglang", Title: "SGLang", Port: 30000, Speaks: ranking},
	{Name: "tgi", Title: "TGI", Port: 3000, Speaks: chat | completing},
	{Name: "ollama", Title: "Ollama", Port: 11434, Speaks: serving | inference.SetOf(inference.Ollama, inference.OllamaGenerate)},
	{Name: "lmstudio", Title: "LM Studio", Engine: "openai", Port: 1234, Speaks: serving},
	{Name: "openrouter", Title: "OpenRouter", Engine: "openai", URL: "https://openrouter.ai/api/v1", Env: "OPENROUTER_API_KEY", Speaks: serving},
	{Name: "groq", Title: "Groq", Engine: "openai", URL: "https://api.groq.com/openai/v1", Env: "GROQ_API_KEY", Speaks: chat | hearing | speaking, Manner: groq},
	{Name: "together", Title: "Together", Engine: "openai", URL: "https://api.together.xyz/v1", Env: "TOGETHER_API_KEY", Speaks: ranking | hearing | speaking | drawing, Manner: together},
	{Name: "mistral", Title: "Mistral", Engine: "openai", URL: "https://api.mistral.ai/v1", Env: "MISTRAL_API_KEY", Speaks: chat | embedding, Manner: mistral},
	{Name: "deepseek", Title: "DeepSeek", Engine: "openai", URL: "https://api.deepseek.com/v1", Env: "DEEPSEEK_API_KEY", Speaks: chat, Manner: deepseek},
	{Name: "xai", Title: "xAI", Engine: "openai", URL: "https://api.x.ai/v1", Env: "XAI_API_KEY", Speaks: chat | drawing},
	{Name: "fireworks", Title: "Fireworks", Engine: "openai", URL: "https://api.fireworks.ai/inference/v1", Env: "FIREWORKS_API_KEY", Speaks: serving},
	{Name: "cerebras", Title: "Cerebras", Engine: "openai", URL: "https://api.cerebras.ai/v1", Env: "CEREBRAS_API_KEY", Speaks: chat | completing, Manner: cerebras},
	{Name: "simulated", Title: "simulated", Speaks: chat, BuiltIn: true},
	{Name: "local-extract", Title: "local-extract", Speaks: chat, BuiltIn: true, Repeats: true},
	{Name: "local-embed", Title: "local-embed", Speaks: vectors, BuiltIn: true, Repeats: true},
}

// Kinds returns all kinds, in the order in which they are listed.
func Kinds() []Kind {
	all := slices.Clone(kinds)
	for i := range all {
		if all[i].Engine == "" {
			all[i].Engine = all[i].Name
		}
	}
	return all
}

// Names returns the names of all kinds.
func Names() []string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// Find returns the kind of that name.
func Find(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Itself reports whether a base URL is the provider's own, and not of another that
// speaks alike. Regions have hosts below the one of URL.
func (k Kind) Itself(base string) bool {
	own, err := url.Parse(k.URL)
	if err != nil || own.Host == "" {
		return false
	}
	u, err := url.Parse(base)
	return err == nil && (u.Hostname() == own.Hostname() || strings.HasSuffix(u.Hostname(), "."+own.Hostname()))
}

// At returns what is spoken natively at a base URL.
func (k Kind) At(base string) inference.Set {
	if k.Itself(base) {
		return k.Speaks | k.Own
	}
	return k.Speaks
}
