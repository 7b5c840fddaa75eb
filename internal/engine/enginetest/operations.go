package enginetest

import (
	"strings"
	"testing"

	"headworks/internal/dialect/ollama"
	"headworks/internal/dialect/openai/completions"
	"headworks/internal/dialect/openai/embeddings"
	"headworks/internal/dialect/openai/rerank"
	"headworks/internal/fault"
	"headworks/internal/inference"
)

// alone are the dialects that nothing is translated into: an upstream of one is
// asked by callers of the same. The answers of some never stream.
var alone = []*speech{
	{
		name: "completions", dialect: inference.Completions, shape: completions.Shape(), read: completions.ReadRequest, decode: completions.Decode,
		asks:      completionsAsk,
		sends:     strings.Replace(strings.Replace(completionsAsk, `"assistant"`, `"served"`, 1), "STREAM }", `STREAM ,"stream_options":{"include_usage":true}}`, 1),
		askUsage:  `"stream_options":{"include_usage":true},`,
		terminal:  "data: [DONE]\n\n",
		open:      completion("", "null"),
		word:      completion("Hello", "null"),
		finish:    completion("", `"stop"`),
		failure:   dialects[0].failure,
		malformed: `data: {"id":"cmpl-1","choices":[` + "\n\n",
		mixed:     strings.Replace(completion("foreign", "null"), "cmpl-1", "cmpl-2", 1),
		streams: []told{
			{
				file: "completions/text.sse", n: 1, text: "This is a test", finish: inference.Length,
				usage: inference.Usage{Input: 5, Output: 7, Known: true},
				aside: `data: {"id":"cmpl-7iA7iJjj8V2zOkCGvWF2hAkWN2K0F","object":"text_completion","created":1690759702,"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12},"model":"gpt-3.5-turbo-instruct","system_fingerprint":"fp_44709d6fcb"}` + "\n\n",
			},
			{
				file: "completions/two.sse", n: 2, text: "Heads", finish: inference.Stop,
				usage: inference.Usage{Input: 9, Output: 2, Known: true},
				aside: `data: {"id":"cmpl-7iA7iJjj8V2zOkCGvWF2hAkWN2K0F","object":"text_completion","created":1690759702,"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"model":"gpt-3.5-turbo-instruct","system_fingerprint":"fp_44709d6fcb"}` + "\n\n",
			},
		},
		answers: []told{{
			file: "completions/text.json", text: "\n\nThis is indeed a test", finish: inference.Length,
			usage: inference.Usage{Input: 5, Output: 7, Known: true},
		}},
		refusal: dialects[0].refusal, tooLong: dialects[0].tooLong, failureInBody: dialects[0].failureInBody,
	},
	{
		name: "ollama-generate", dialect: inference.OllamaGenerate, shape: ollama.GenerateShape(), read: ollama.ReadGenerateRequest,
		decode: ollama.DecodeGenerate, lines: true,
		asks:      generateAsks,
		sends:     strings.Replace(strings.Replace(generateAsks, `"assistant"`, `"served"`, 1), "STREAM }", `STREAM ,"truncate":false}`, 1),
		open:      generated("", false),
		word:      generated("Hello", false),
		finish:    generated("", true),
		failure:   `{"error":"SECRET of the upstream"}` + "\n",
		malformed: `{"model":"served","response":` + "\n",
		mixed:     strings.Replace(generated("foreign", false), "served", "foreign", 1),
		streams: []told{{
			file: "ollama-generate/text.ndjson", n: 1, text: "The sky", finish: inference.Length,
			usage: inference.Usage{Input: 26, Output: 259, Known: true},
		}},
		answers: []told{{
			file: "ollama-generate/text.json", text: "The sky is blue because it is the color of the sky.", finish: inference.Stop,
			usage: inference.Usage{Input: 26, Output: 290, Known: true},
		}},
		refusal:       func(string) string { return `{"error":"SECRET of the upstream"}` },
		tooLong:       `{"error":"the input length exceeds the context length"}`,
		failureInBody: `{"error":"SECRET of the upstream"}`,
	},
	{
		name: "embeddings", dialect: inference.Embeddings, shape: embeddings.Shape(), read: embeddings.ReadRequest,
		asks: `{ "model" : "assistant","input":["caf\u00e9 \/ 1","b"],"x_vendor":{"a":[1e3,-0.0]} }` + "\n",
		answers: []told{
			{file: "embeddings/float.json", usage: inference.Usage{Input: 8, Known: true}},
			{file: "embeddings/base64.json", usage: inference.Usage{Input: 8, Known: true}},
		},
		wrong: []quirk{
			{`{"object":"list","data":[{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":8}}`, fault.Incomplete},
			{`{"object":"list","data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]},{"index":2,"embedding":[1]}]}`, fault.Mismatch},
			{`{"object":"list","data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}`, fault.Malformed},
			{`{"object":"list","data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1]}]}`, fault.Malformed},
			{`{"object":"list","data":[]}`, fault.Malformed},
		},
		refusal: dialects[0].refusal, tooLong: dialects[0].tooLong, failureInBody: dialects[0].failureInBody,
	},
	{
		name: "rerank", dialect: inference.Rerank, shape: rerank.Shape(), read: rerank.ReadRequest,
		asks: `{ "model" : "assistant","query":"caf\u00e9 \/ 1","documents":["a",{"text":"b"}],"x_vendor":{"a":[1e3,-0.0]} }` + "\n",
		answers: []told{
			{file: "rerank/vllm.json", usage: inference.Usage{Input: 56, Known: true}},
			{file: "rerank/llamacpp.json", usage: inference.Usage{Input: 56, Known: true}},
			{file: "rerank/jina.json", usage: inference.Usage{Input: 56, Known: true}},
		},
		wrong: []quirk{
			{`{"results":[{"index":1,"relevance_score":0.5}]}`, fault.Incomplete},
			{`{"results":[{"index":1,"relevance_score":0.5},{"index":1,"relevance_score":0.4}]}`, fault.Malformed},
			{`{"results":[{"index":1},{"index":0}]}`, fault.Malformed},
			{`{"results":[]}`, fault.Malformed},
		},
		refusal: dialects[0].refusal, tooLong: dialects[0].tooLong, failureInBody: dialects[0].failureInBody,
	},
}

const completionsAsk = `{ "model" : "assistant","prompt":"caf\u00e9 \/ 1","temperature":1.0,"x_vendor":{"a":[1e3,-0.0]},"stream":STREAM }` + "\n"

const generateAsks = `{ "model" : "assistant","prompt":"caf\u00e9 \/ 1","options":{"temperature":1.0,"x":[1e3,-0.0]},"stream":STREAM }` + "\n"

// generated is a line of Ollama's /api/generate.
func generated(text string, done bool) string {
	return strings.Replace(said(text, done), `"message":{"role":"assistant","content":"`+text+`"}`, `"response":"`+text+`"`, 1)
}

// completion is an event of OpenAI's completions.
func completion(text, finish string) string {
	return `data: {"id":"cmpl-1","object":"text_completion","created":1690759702,"choices":[{"text":"` + text + `","index":0,"logprobs":null,"finish_reason":` + finish + `}],"model":"served"}` + "\n\n"
}

// callers returns the dialects in which an upstream of the kind can be asked.
func (k Kind) callers() []*speech {
	for _, d := range alone {
		if d.dialect == k.Dialect {
			return []*speech{d}
		}
	}
	var all []*speech
	for _, d := range dialects {
		switch {
		case k.Elsewhere.Has(d.dialect):
		case d.dialect == k.Dialect:
			all = append(all, k.own())
		default:
			all = append(all, d)
		}
	}
	return all
}

// streams reports whether answers of the kind stream at all.
func (k Kind) streams() bool { return len(k.own().streams) > 0 }

// testWrong checks that a whole answer which holds something else than was asked for
// is none.
func testWrong(t *testing.T, k Kind) {
	for _, w := range k.own().wrong {
		u := k.play(t, func(r *request) bool { return r.send(answer(200, "application/json", w.body)) })
		if h, f := u.fails(t, u.call(k.own(), false)); f.Kind != w.want || len(h.raw) > 0 {
			t.Errorf("%s: %v, want %v", w.body, f, w.want)
		}
	}
}
