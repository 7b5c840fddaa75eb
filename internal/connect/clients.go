package connect

// Where a key is read from the environment, it is under this name.
const exportKey = "export HEADWORKS_API_KEY={{sh .Key}}\n"

// exports is what every SDK of the two dialects reads.
const exports = `export OPENAI_BASE_URL={{sh .V1}}
export OPENAI_API_KEY={{sh .Key}}
`

// Clients returns all that is known, in the order in which it is listed.
func Clients() []Client {
	return []Client{
		{
			Name: "claude-code", Title: "Claude Code", Checked: "2.1.331, run on 2026-11-25", Source: "https://code.claude.com/docs/en/llm-gateway",
			Programs: []string{"claude"}, Traces: []string{".claude/settings.json", ".claude.json"}, Coding: true, Messages: true,
			Files: []File{{
				Env: "CLAUDE_CONFIG_DIR", Dir: ".claude", Names: []string{"settings.json"},
				JSON: []Setting{
					{"env/ANTHROPIC_BASE_URL", "{{json .URL}}"},
					{"env/ANTHROPIC_AUTH_TOKEN", "{{json .Key}}"},
					{"env/ANTHROPIC_DEFAULT_OPUS_MODEL", "{{with .Model}}{{json .}}{{end}}"},
					{"env/ANTHROPIC_DEFAULT_SONNET_MODEL", "{{with .Model}}{{json .}}{{end}}"},
					{"env/ANTHROPIC_DEFAULT_HAIKU_MODEL", "{{with .Model}}{{json .}}{{end}}"},
					{"env/CLAUDE_CODE_SUBAGENT_MODEL", "{{with .Model}}{{json .}}{{end}}"},
				},
			}},
			Check: "start claude and type /status",
			Mind: []Mind{
				{Env: "ANTHROPIC_API_KEY", Words: "ANTHROPIC_API_KEY is set in this shell: Claude Code would send it beside the key, and two keys that differ are refused; unset it"},
				{File: ".claude/settings.json", Line: `"ANTHROPIC_API_KEY"`, Words: "~/.claude/settings.json sets ANTHROPIC_API_KEY too: Claude Code would send it beside the key, and two keys that differ are refused; take it out"},
				{File: ".claude/settings.json", Line: `"apiKeyHelper"`, Words: "~/.claude/settings.json has an apiKeyHelper, whose key would be sent beside this one; take it out"},
				{Words: "the file wins over variables of the shell; the extension for VS Code reads claudeCode.environmentVariables from the editor's settings instead"},
			},
		},
		{
			Name: "codex", Title: "Codex", Checked: "0.169.0, run on 2026-11-25; needs 0.134 or later", Source: "https://developers.openai.com/codex/config-advanced",
			Programs: []string{"codex"}, Traces: []string{".codex"}, Coding: true,
			Files: []File{{
				Env: "CODEX_HOME", Dir: ".codex", Names: []string{"headworks.config.toml"},
				Whole: `# A profile of Codex, written by headworks connect codex: codex --profile headworks
model = {{json .Model}}
model_provider = "headworks"
{{- with .Window}}
model_context_window = {{.}}
{{- end}}

[model_providers.headworks]
name = "Headworks"
base_url = {{json .V1}}
env_key = "HEADWORKS_API_KEY"
wire_api = "responses"
`,
			}},
			Lines: exportKey + "codex --profile headworks\n",
			Check: "codex exec --profile headworks \"say hello\"",
			Mind: []Mind{
				{File: ".codex/config.toml", Line: `^\s*profile\s*=`, Words: "~/.codex/config.toml has a line profile = ..., with which Codex does not start any more; take it out"},
				{Words: "Codex reads its files when it starts; put the export line into your shell's profile to keep it"},
			},
		},
		{
			Name: "opencode", Title: "OpenCode", Checked: "1.18.33, run on 2026-11-25", Source: "https://opencode.ai/docs/providers",
			Programs: []string{"opencode"}, Traces: []string{".config/opencode", ".opencode/bin/opencode"}, Coding: true,
			Files: []File{{
				Env: "XDG_CONFIG_HOME", Dir: ".config/opencode", Names: []string{"opencode.jsonc", "opencode.json"}, Comment: true,
				JSON: []Setting{
					{"provider/headworks", `{"npm": "@ai-sdk/openai-compatible", "name": "Headworks",
						"options": {"baseURL": {{json .V1}}, "apiKey": "{env:HEADWORKS_API_KEY}"},
						"models": { {{json .Model}}: {"name": {{json .Model}}, "limit": {"context": {{.Tokens}}, "output": {{.Answer}}}} }}`},
					{"model", `{{json (print "headworks/" .Model)}}`},
				},
			}},
			Lines: exportKey + "opencode\n",
			Check: "opencode run \"say hello\"",
			Mind:  []Mind{{Words: "put the export line into your shell's profile to keep it; for one run alone the same JSON goes into OPENCODE_CONFIG_CONTENT"}},
		},
		{
			Name: "continue", Title: "Continue", Checked: "cn 1.5.47, run on 2026-11-25", Source: "https://docs.continue.dev/reference",
			Programs: []string{"cn"}, Traces: []string{".continue"}, Coding: true,
			Files: []File{{
				Env: "CONTINUE_GLOBAL_DIR", Dir: ".continue", Names: []string{"config.yaml"},
				Head: "name: Local Config\nversion: 1.0.0\nschema: v1\n",
				Entry: &Entry{List: "models", Name: "name", Is: "Headworks", Text: `name: Headworks
provider: openai
model: {{json .Model}}
apiBase: {{json .V1}}
apiKey: {{json .Key}}
roles:
  - chat
  - edit
  - apply
`},
			}},
			Check: "choose Headworks in Continue's list of models",
			Mind:  []Mind{{Words: "the key stands in the file in plain text; revoke it with headworks keys revoke connect-continue"}},
		},
		{
			Name: "cline", Title: "Cline", Checked: "documentation, 2026-11", Source: "https://docs.cline.bot/provider-config/openai-compatible",
			Programs: []string{"cline"}, Traces: []string{".cline"}, Coding: true,
			Lines: `In Cline's settings:
  API Provider  OpenAI Compatible
  Base URL      {{.V1}}
  API Key       {{.Key}}
  Model ID      {{.Model}}
`,
			Check: "ask Cline something",
			Mind:  []Mind{{Words: "Cline keeps its settings in the editor's own storage, which is not edited from outside"}},
		},
		{
			Name: "roo-code", Title: "Roo Code", Checked: "documentation, 2026-11", Source: "https://docs.roocode.com/providers/openai-compatible",
			Coding: true,
			Lines: `In Roo Code's settings, under Providers:
  API Provider  OpenAI Compatible
  Base URL      {{.V1}}
  API Key       {{.Key}}
  Model         {{.Model}}
`,
			Check: "ask Roo Code something",
		},
		{
			Name: "cursor", Title: "Cursor", Checked: "documentation, 2026-08", Source: "https://docs.getbifrost.ai/cli-agents/cursor",
			Programs: []string{"cursor"}, Traces: []string{".cursor"}, Coding: true,
			Lines: `In Cursor: Settings, Models
  OpenAI API Key            {{.Key}}
  Override OpenAI Base URL  {{.V1}}
  Add model                 {{.Model}}
`,
			Check: "choose the model in Cursor's chat",
			Mind: []Mind{
				{Loopback: true, Words: "Cursor's requests go through Cursor's servers, which cannot reach this machine: it needs a public HTTPS name before Headworks; give it with --url https://..."},
				{Words: "the base URL holds for all models of OpenAI in Cursor; tab completion does not use it"},
			},
		},
		{
			Name: "zed", Title: "Zed", Checked: "documentation, 2026-11", Source: "https://zed.dev/docs/ai/use-api-access",
			Programs: []string{"zed", "zeditor"}, Traces: []string{".config/zed"}, Coding: true,
			Files: []File{{
				Env: "XDG_CONFIG_HOME", Dir: ".config/zed", DirMac: ".config/zed", Names: []string{"settings.json"}, Comment: true,
				JSON: []Setting{{"language_models/openai_compatible/headworks", `{"api_url": {{json .V1}}, "available_models": [
					{"name": {{json .Model}}, "display_name": {{json (print "Headworks " .Model)}}, "max_tokens": {{.Tokens}},
					 "capabilities": {"tools": true, "images": false, "parallel_tool_calls": false, "prompt_cache_key": false}}]}`}},
			}},
			Lines: exportKey + "zed\n",
			Check: "choose the model under Headworks in the agent panel",
			Mind:  []Mind{{Words: "Zed keeps keys in the system's keychain or reads HEADWORKS_API_KEY; started from a dock it does not see the shell's variables, so paste the key under Settings, AI, LLM Providers"}},
		},
		{
			Name: "crush", Title: "Crush", Checked: "documentation of 0.94, 2026-11", Source: "https://github.com/charmbracelet/crush",
			Programs: []string{"crush"}, Traces: []string{".config/crush"}, Coding: true,
			Files: []File{{
				Env: "XDG_CONFIG_HOME", Dir: ".config/crush", Names: []string{"crush.json"},
				JSON: []Setting{{"providers/headworks", `{"type": "openai-compat", "name": "Headworks", "base_url": {{json .V1}}, "api_key": "$HEADWORKS_API_KEY",
					"models": [{"id": {{json .Model}}, "name": {{json .Model}}, "context_window": {{.Tokens}}, "default_max_tokens": {{.Answer}}}]}`}},
			}},
			Lines: exportKey + "crush\n",
			Check: "choose the model in Crush with ctrl+l",
		},
		{
			Name: "qwen-code", Title: "Qwen Code", Checked: "0.24.4, run on 2026-11-25", Source: "https://qwenlm.github.io/qwen-code-docs",
			Programs: []string{"qwen"}, Traces: []string{".qwen"}, Coding: true,
			Files: []File{{
				Dir: ".qwen", Names: []string{"settings.json"}, Comment: true,
				JSON: []Setting{
					{"env/HEADWORKS_API_KEY", "{{json .Key}}"},
					{"modelProviders/openai/[envKey=HEADWORKS_API_KEY]", `{"id": {{json .Model}}, "name": {{json (print "Headworks " .Model)}}, "baseUrl": {{json .V1}}, "envKey": "HEADWORKS_API_KEY"}`},
					{"security/auth/selectedType", `"openai"`},
					{"model/name", "{{json .Model}}"},
				},
			}},
			Check: "qwen -p \"say hello\"",
		},
		{
			Name: "droid", Title: "Droid", Checked: "documentation, 2026-08", Source: "https://docs.factory.ai/cli/byok/overview",
			Programs: []string{"droid"}, Traces: []string{".factory"}, Coding: true,
			Files: []File{{
				Dir: ".factory", Names: []string{"settings.json"},
				JSON: []Setting{{"customModels/[displayName=Headworks]", `{"model": {{json .Model}}, "displayName": "Headworks", "baseUrl": {{json .V1}}, "apiKey": {{json .Key}},
					"provider": "generic-chat-completion-api", "maxOutputTokens": {{.Answer}}}`}},
			}},
			Check: "choose Headworks with /model in droid",
			Mind:  []Mind{{Words: "the key stands in the file in plain text; revoke it with headworks keys revoke connect-droid"}},
		},
		{
			Name: "pi", Title: "Pi", Checked: "1.5.2, run on 2026-11-25", Source: "https://pi.dev/docs/models",
			Programs: []string{"pi"}, Traces: []string{".pi/agent"}, Coding: true,
			Files: []File{{
				Dir: ".pi/agent", Names: []string{"models.json"},
				JSON: []Setting{{"providers/headworks", `{"baseUrl": {{json .V1}}, "api": "openai-completions", "apiKey": {{json .Key}},
					"models": [{"id": {{json .Model}}, "contextWindow": {{.Tokens}}, "maxTokens": {{.Answer}}}]}`}},
			}},
			Check: "pi --provider headworks --model {{sh .Model}} -p \"say hello\"",
			Mind:  []Mind{{Words: "the key stands in the file in plain text; revoke it with headworks keys revoke connect-pi"}},
		},
		{
			Name: "gemini-cli", Title: "Gemini CLI", Checked: "0.61.0, run on 2026-11-25", Source: "https://geminicli.com/docs/get-started/authentication",
			Programs: []string{"gemini"}, Traces: []string{".gemini/settings.json"}, Coding: true,
			Files: []File{{
				Dir: ".gemini", Names: []string{"settings.json"}, Comment: true,
				JSON: []Setting{
					{"security/auth/selectedType", `"gemini-api-key"`},
					{"model/name", "{{json .Model}}"},
				},
			}},
			Lines: `export GOOGLE_GEMINI_BASE_URL={{sh .URL}}
export GEMINI_API_KEY={{sh .Key}}
gemini
`,
			Check: "gemini -p \"say hello\"",
			Mind: []Mind{
				{Env: "GOOGLE_GENAI_USE_VERTEXAI", Words: "GOOGLE_GENAI_USE_VERTEXAI is set in this shell: Gemini CLI would ask Vertex AI; unset it"},
				{Words: "the base URL has no /v1beta: Gemini CLI adds it; ~/.gemini/.env may hold the two variables in the shell's stead"},
			},
		},
		{
			Name: "copilot-cli", Title: "GitHub Copilot CLI", Checked: "documentation, 2026-08", Source: "https://docs.github.com/copilot/concepts/agents/about-copilot-cli",
			Programs: []string{"copilot"}, Traces: []string{".copilot"}, Coding: true,
			Lines: `export COPILOT_PROVIDER_BASE_URL={{sh .V1}}
export COPILOT_PROVIDER_API_KEY={{sh .Key}}
export COPILOT_PROVIDER_WIRE_API=responses
export COPILOT_MODEL={{sh .Model}}
copilot
`,
			Check: "copilot -p \"say hello\"",
		},
		{
			Name: "goose", Title: "Goose", Checked: "documentation, 2026-11", Source: "https://goose-docs.ai/docs/guides/environment-variables",
			Programs: []string{"goose"}, Traces: []string{".config/goose"}, Coding: true,
			Lines: `export GOOSE_PROVIDER=openai
export GOOSE_MODEL={{sh .Model}}
export OPENAI_HOST={{sh .URL}}
export OPENAI_API_KEY={{sh .Key}}
goose session
`,
			Check: "goose run --text \"say hello\"",
			Mind:  []Mind{{Words: "OPENAI_HOST has no /v1: Goose adds v1/chat/completions itself"}},
		},
		{
			Name: "aider", Title: "Aider", Checked: "documentation, 2026-08", Source: "https://aider.chat/docs/llms/openai-compat.html",
			Programs: []string{"aider"}, Traces: []string{".aider.conf.yml"}, Coding: true,
			Lines: `export OPENAI_API_BASE={{sh .V1}}
export OPENAI_API_KEY={{sh .Key}}
aider --model {{sh (print "openai/" .Model)}}
`,
			Check: "aider --model {{sh (print \"openai/\" .Model)}} --message \"say hello\"",
		},
		{
			Name: "llm", Title: "LLM", Checked: "documentation of 0.31, 2026-11", Source: "https://llm.datasette.io/en/stable/other-models.html",
			Programs: []string{"llm"}, Traces: []string{".config/io.datasette.llm", "Library/Application Support/io.datasette.llm"},
			Files: []File{{
				Env: "LLM_USER_PATH", Dir: ".config/io.datasette.llm", DirMac: "Library/Application Support/io.datasette.llm", Names: []string{"extra-openai-models.yaml"},
				Entry: &Entry{Name: "model_id", Is: "headworks", Text: `model_id: headworks
model_name: {{json .Model}}
api_base: {{json .V1}}
api_key_name: headworks
can_stream: true
`},
			}},
			Lines: "llm keys set headworks --value {{sh .Key}}\nllm -m headworks \"say hello\"\n",
			Check: "llm -m headworks \"say hello\"",
		},
		{
			Name: "open-webui", Title: "Open WebUI", Checked: "documentation, 2026-08", Source: "https://docs.openwebui.com/getting-started/env-configuration",
			Lines: `docker run -d --name open-webui -p 3000:8080 \
  --add-host=host.docker.internal:host-gateway \
  -e OPENAI_API_BASE_URL={{sh .Docker}} \
  -e OPENAI_API_KEY={{sh .Key}} \
  -v open-webui:/app/backend/data ghcr.io/open-webui/open-webui:main
`,
			Check: "open http://127.0.0.1:3000 and choose a model",
			Mind: []Mind{
				{Loopback: true, Words: "a container cannot reach the loopback of its host: Headworks must listen on the bridge, such as listen: 172.17.0.1:7300 in its configuration"},
				{Words: "Open WebUI reads these variables at its first start and keeps them in its database; ENABLE_PERSISTENT_CONFIG=False makes it read them each time"},
				{Words: "several servers stand in OPENAI_API_BASE_URLS and OPENAI_API_KEYS, with ; between them"},
			},
		},
		{
			Name: "python", Title: "Python (openai)", Checked: "documentation of openai 2, 2026-11", Source: "https://github.com/openai/openai-python",
			Lines: exports + `pip install openai
python3 - <<'END'
from openai import OpenAI
answer = OpenAI().chat.completions.create(model={{json .Model}}, messages=[{"role": "user", "content": "hello"}])
print(answer.choices[0].message.content)
END
`,
		},
		{
			Name: "node", Title: "Node (openai)", Checked: "openai 6.49.0, run on 2026-11-25", Source: "https://github.com/openai/openai-node",
			Lines: exports + `npm install openai
node --input-type=module - <<'END'
import OpenAI from "openai";
const answer = await new OpenAI().chat.completions.create({ model: {{json .Model}}, messages: [{ role: "user", content: "hello" }] });
console.log(answer.choices[0].message.content);
END
`,
		},
		{
			Name: "go", Title: "Go (openai-go)", Checked: "openai-go 3.96.0, run on 2026-11-25", Source: "https://github.com/openai/openai-go",
			Lines: exports + `mkdir -p hello && cd hello && go mod init hello && cat > main.go <<'END'
package main

import (
	"context"
	"fmt"

	"github.com/openai/openai-go/v3"
)

func main() {
	client := openai.NewClient() // reads the two variables
	answer, err := client.Chat.Completions.New(context.Background(), openai.ChatCompletionNewParams{
		Model:    {{json .Model}},
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(answer.Choices[0].Message.Content)
}
END
go mod tidy && go run .
`,
		},
		{
			Name: "langchain", Title: "LangChain", Checked: "documentation of langchain-openai 1, 2026-11", Source: "https://docs.langchain.com/oss/python/integrations/chat/openai",
			Lines: exports + `pip install langchain-openai
python3 - <<'END'
import os
from langchain_openai import ChatOpenAI
print(ChatOpenAI(model={{json .Model}}, base_url=os.environ["OPENAI_BASE_URL"]).invoke("hello").content)
END
`,
		},
		{
			Name: "vercel-ai", Title: "Vercel AI SDK", Checked: "@ai-sdk/openai-compatible 2.0.92, run on 2026-11-25", Source: "https://ai-sdk.dev/providers/openai-compatible-providers",
			Lines: exports + `npm install ai @ai-sdk/openai-compatible
node --input-type=module - <<'END'
import { generateText } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
const headworks = createOpenAICompatible({ name: "headworks", baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY });
console.log((await generateText({ model: headworks({{json .Model}}), prompt: "hello" })).text);
END
`,
		},
		{
			Name: "curl", Title: "curl", Checked: "run on 2026-11-25; --json needs 7.82", Source: "https://curl.se/docs/manpage.html",
			Lines: `curl -sSN {{sh .V1}}/chat/completions -H {{sh (print "Authorization: Bearer " .Key)}} \
  --json {{sh (print "{\"model\": " (json .Model) ", \"stream\": true, \"messages\": [{\"role\": \"user\", \"content\": \"hello\"}]}")}}
`,
		},
		{
			Name: "env", Title: "any SDK", Checked: "openai, anthropic and google-genai SDKs, 2026-11", Source: "https://platform.claude.com/docs/en/api/client-sdks",
			Lines: exports + `export ANTHROPIC_BASE_URL={{sh .URL}}
export ANTHROPIC_API_KEY={{sh .Key}}
export GOOGLE_GEMINI_BASE_URL={{sh .URL}}
export GEMINI_API_KEY={{sh .Key}}
`,
			Mind: []Mind{{Words: "headworks connect env --yes prints lines for eval; the base URLs of Anthropic and Gemini have no version at their end"}},
		},
	}
}
