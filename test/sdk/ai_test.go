package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// aiClients are the AI SDK's providers, by the surface that each speaks.
var aiClients = []string{"openai", "responses", "compatible", "anthropic", "google"}

func startAI(t *testing.T) *node {
	t.Helper()
	return startScript(t, "ai.mjs", "ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "@ai-sdk/anthropic", "@ai-sdk/google")
}

func prompt(model string) map[string]any { return map[string]any{"model": model, "prompt": "hello"} }

// A cut stream is never a success to an application over the AI SDK.
func TestNodeAICutStreams(t *testing.T) {
	t.Parallel()
	n := startAI(t)
	var all []official
	for _, client := range aiClients {
		all = append(all, official{"ai " + client, client != "anthropic", func(ctx context.Context, g *gateway, model string) seenStream {
			saw, err := n.ask(ctx, g, question{Client: client, How: "stream", Body: prompt(model)})
			if err == nil && saw.Error != "" {
				err = errors.New(saw.Error)
			}
			return seenStream{saw.Text, saw.Finished, saw.Code, saw.Status, saw.Attempts, err}
		}})
	}
	judgeCuts(t, all)
}

// An application that reads a stream's text alone hears of a cut by the finish reason,
// which is none of an answer that is whole.
func TestNodeAIPlainCuts(t *testing.T) {
	t.Parallel()
	n, lab := startAI(t), newLab(t)
	config := "upstreams:\n"
	for i := range dialects {
		d := &dialects[i]
		for _, client := range aiClients {
			for j, c := range cuts {
				if c.name == "stall" || c.name == "hollow terminal" && d.hollow == "" {
					continue
				}
				name := fmt.Sprintf("%s-%s-%d", d.kind, client, j)
				u := lab.plays(name, streams(d.events[:d.content], c.how(d, d.content)))
				config += fmt.Sprintf("  %s: {kind: %s, key: %s, urls: [%q]}\n", name, d.kind, lent, u.url)
			}
		}
	}
	g := serve(t, config)
	for name := range lab.upstreams {
		t.Run(name, func(t *testing.T) {
			_, client, _ := strings.Cut(name, "-")
			client, _, _ = strings.Cut(client, "-")
			saw := n.must(t, g, question{Client: client, How: "plain", Body: prompt(name + "/engine-1")})
			if saw.Finished || !strings.HasPrefix(helloWorld, saw.Text) {
				t.Errorf("a cut answer passes for whole: %+v", saw)
			}
		})
	}
}

// aiSays is what one kind of upstream answers to the AI SDK: a text, a call of the
// tool and then a text, and JSON.
type aiSays struct{ text, call, object answer }

var aiUpstreams = map[string]aiSays{
	"openai": {
		text: either(says(chatAnswer), streams(chatStream)),
		call: either(says(chatCall), streams([]string{
			choice(`{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`, "null"),
			choice(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":\"Łódź\"}"}}]}`, "null"),
			choice(`{}`, `"tool_calls"`),
			chatStream[len(chatStream)-2], "data: [DONE]\n\n",
		})),
		object: either(says(strings.Replace(chatAnswer, "Hello world", `{\"city\":\"Łódź\"}`, 1)), streams([]string{
			choice(`{"role":"assistant","content":"{\"city\":"}`, "null"), choice(`{"content":"\"Łódź\"}"}`, "null"), choice(`{}`, `"stop"`), "data: [DONE]\n\n",
		})),
	},
	"anthropic": {
		text: either(says(messagesAnswer), streams(messagesStream)),
		call: either(says(messagesCall), streams([]string{
			messagesStream[0],
			event(`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}`),
			event(`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Łódź\"}"}}`),
			event(`{"type":"content_block_stop","index":0}`),
			event(`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":2}}`),
			event(`{"type":"message_stop"}`),
		})),
		object: either(says(strings.Replace(messagesAnswer, "Hello world", `{\"city\":\"Łódź\"}`, 1)), streams([]string{
			messagesStream[0], messagesStream[1],
			event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"{\"city\":\"Łódź\"}"}}`),
			messagesStream[4], messagesStream[5], messagesStream[6],
		})),
	},
	"gemini": {
		text: eitherPath(says(geminiAnswer), streams(geminiStream)),
		call: eitherPath(says(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"weather","args":{"city":"Łódź"}},"thoughtSignature":"c2ln"}],"role":"model"},"finishReason":"STOP","index":0}],`+
			`"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":11},"modelVersion":"engine-1","responseId":"resp-up"}`),
			streams([]string{candidate(`{"functionCall":{"name":"weather","args":{"city":"Łódź"}},"thoughtSignature":"c2ln"}`, `,"finishReason":"STOP"`)})),
		object: eitherPath(says(strings.Replace(geminiAnswer, "Hello world", `{\"city\":\"Łódź\"}`, 1)),
			streams([]string{candidate(`{"text":"{\"city\":\"Łódź\"}"}`, `,"finishReason":"STOP"`)})),
	},
}

const (
	chatCall = `{"id":"chatcmpl-up","object":"chat.completion","created":1790000000,"model":"engine-1","choices":[{"index":0,"message":` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Łódź\"}"}}]},"finish_reason":"tool_calls"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`
	messagesCall = `{"id":"msg_up","type":"message","role":"assistant","model":"engine-1","content":[` +
		`{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Łódź"}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":2}}`
)

// Each provider of the AI SDK before each kind of upstream: text, tools that the
// SDK calls and goes on from, and an object by a schema, whole and in a stream.
func TestNodeAI(t *testing.T) {
	t.Parallel()
	n, lab := startAI(t), newLab(t)
	config := "upstreams:\n"
	for kind, u := range aiUpstreams {
		for _, client := range aiClients {
			for how, script := range map[string][]answer{
				"text": {u.text}, "stream": {u.text}, "plain": {u.text},
				"tools": {u.call, u.text}, "flow": {u.call, u.text}, "object": {u.object}, "list": {u.object},
			} {
				name := kind + "-" + client + "-" + how
				config += "  " + name + ": {kind: " + kind + ", key: " + lent + ", urls: [\"" + lab.plays(name, script...).url + "\"]}\n"
			}
		}
	}
	g := serve(t, config)
	for kind := range aiUpstreams {
		for _, client := range aiClients {
			for _, how := range []string{"text", "stream", "plain", "tools", "flow", "object", "list"} {
				t.Run(client+" before "+kind+"/"+how, func(t *testing.T) {
					t.Parallel()
					name := kind + "-" + client + "-" + how
					saw := n.must(t, g, question{Client: client, How: how, Body: prompt(name + "/engine-1")})
					attempts, text := 1, helloWorld
					if how == "tools" || how == "flow" {
						attempts = 2
					}
					if how == "list" {
						text = `{"city":"Łódź"}`
					}
					if saw.Error != "" || saw.Attempts != attempts {
						t.Fatalf("%s, %d attempts", saw.Error, saw.Attempts)
					}
					if how != "object" && (saw.Text != text || !saw.Finished) {
						t.Errorf("text %q, finished %t", saw.Text, saw.Finished)
					}
					want := map[string]string{
						"tools": `["Łódź"]`, "flow": `["Łódź"]`, "object": `{"city":"Łódź"}`, "list": `{"city":"Łódź"}`,
						"text": `{"reasoning":"","usage":[9,2]}`,
					}[how]
					if want != "" && string(saw.Answer) != want {
						t.Errorf("the application has %s, want %s", saw.Answer, want)
					}
					lab.mu.Lock()
					u := lab.upstreams[name]
					lab.mu.Unlock()
					for i, got := range u.all() {
						if i == 1 && !strings.Contains(got.Body, "21.5") {
							t.Errorf("the upstream was not told what the tool said: %s", got.Body)
						}
						if (how == "tools" || how == "flow") != strings.Contains(got.Body, "the weather in a city") {
							t.Errorf("tools, as the upstream was told them: %s", got.Body)
						}
						var body map[string]json.RawMessage
						if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
							t.Error(err)
						}
						if schema := strings.Contains(got.Body, `"city"`); (how == "object" || how == "list") && !schema {
							t.Errorf("the upstream was told no schema: %s", got.Body)
						}
					}
				})
			}
		}
	}
}

// eitherPath is either for Gemini's upstreams, which are asked for a stream by path.
func eitherPath(whole, stream answer) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ":streamGenerateContent") {
			stream(w, r)
			return
		}
		whole(w, r)
	}
}
