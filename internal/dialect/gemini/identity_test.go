package gemini

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"headworks/internal/inference"
	"headworks/internal/scan"
)

// object is a JSON object that is being drawn.
type object = map[string]any

// maybe adds a field to o, or not.
func maybe[T any](t *rapid.T, o object, name string, g *rapid.Generator[T]) {
	if rapid.Bool().Draw(t, name+"?") {
		o[name] = g.Draw(t, name)
	}
}

// request draws a request with any of the fields that this dialect knows, each in
// the one spelling that Encode has for it: arrays stand where one element may, turns
// of the model do not follow each other, declarations of functions stand together.
func request(t *rapid.T) object {
	word := rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9_]{0,8}`)
	text := rapid.StringMatching(`[ -~]{0,20}`)
	either := rapid.Bool()
	free := rapid.SampledFrom([]any{"x", 1.5, true, []any{"a", 1.0}, object{"a": object{"b": nil}}})
	media := rapid.SampledFrom([]string{"image/png", "audio/wav", "application/pdf", "text/plain", "video/mp4"})
	native := rapid.SampledFrom([]object{
		{"type": "OBJECT", "properties": object{"a": object{"type": "STRING", "nullable": true}}}, {"type": "ARRAY", "items": object{"type": "NUMBER"}, "minItems": "1"},
	})
	schema := rapid.Just(object{"type": "object", "properties": object{"a": object{"type": []any{"string", "null"}}}})

	part := func(kinds ...string) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			p := object{}
			switch kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind {
			case "text":
				p["text"] = text.Draw(t, "text")
			case "thought":
				p["text"], p["thought"] = text.Draw(t, "thought"), true
			case "inlineData":
				data := object{"mimeType": media.Draw(t, "media"), "data": "AAAA"}
				maybe(t, data, "displayName", word)
				p["inlineData"] = data
			case "fileData":
				p["fileData"] = object{
					"mimeType": media.Draw(t, "media"),
					"fileUri":  rapid.SampledFrom([]string{"https://example.com/a", "gs://b/c", "https://generativelanguage.googleapis.com/v1beta/files/x"}).Draw(t, "uri"),
				}
			case "functionCall":
				call := object{"name": word.Draw(t, "name")}
				maybe(t, call, "id", word)
				maybe(t, call, "args", rapid.SampledFrom([]object{{}, {"a": 1.0}}))
				maybe(t, call, "willContinue", either)
				p["functionCall"] = call
			case "functionResponse":
				result := object{"name": word.Draw(t, "name")}
				maybe(t, result, "id", word)
				maybe(t, result, "response", rapid.SampledFrom([]object{{}, {"output": "x"}, {"error": "y"}, {"result": object{"a": 1.0}}, {"a": 1.0, "error": 2.0}}))
				maybe(t, result, "parts", rapid.Just([]any{object{"inlineData": object{"mimeType": "image/png", "data": "AA"}}}))
				maybe(t, result, "scheduling", rapid.Just("SILENT"))
				p["functionResponse"] = result
			default:
				p[kind] = object{"code": "1"}
			}
			maybe(t, p, "thoughtSignature", rapid.SampledFrom([]string{"c2ln", "c2lnbmF0dXJl", wrap("of another")}))
			for _, name := range []string{"videoMetadata", "mediaResolution", "partMetadata", "x_part"} {
				maybe(t, p, name, free)
			}
			return p
		})
	}
	var contents []any
	kinds := map[string][]string{
		"user":  {"text", "inlineData", "fileData", "functionResponse", "toolResponse"},
		"model": {"text", "thought", "functionCall", "executableCode", "codeExecutionResult", "inlineData"},
	}
	role := rapid.SampledFrom([]string{"user", "model"}).Draw(t, "first")
	for range rapid.IntRange(1, 4).Draw(t, "turns") {
		c := object{"role": role, "parts": apart(rapid.SliceOfN(part(kinds[role]...), 1, 3).Draw(t, "parts"))}
		maybe(t, c, "x_content", free)
		contents = append(contents, c)
		role = map[string]string{"user": "model", "model": "user"}[role]
	}
	declaration := rapid.Custom(func(t *rapid.T) object {
		d := object{"name": word.Draw(t, "name")}
		maybe(t, d, "description", rapid.StringMatching(`[a-z]{1,5}`))
		switch rapid.IntRange(0, 2).Draw(t, "schema") {
		case 0:
			d["parameters"] = native.Draw(t, "parameters")
		case 1:
			d["parametersJsonSchema"] = schema.Draw(t, "parameters")
		}
		for _, name := range []string{"response", "responseJsonSchema", "behavior", "x_declaration"} {
			maybe(t, d, name, free)
		}
		return d
	})
	var tools []any
	if rapid.Bool().Draw(t, "functions") {
		tools = append(tools, object{"functionDeclarations": rapid.SliceOfN(declaration, 1, 3).Draw(t, "declarations")})
	}
	if rapid.Bool().Draw(t, "hosted") {
		tools = append(tools, object{"googleSearch": object{"x": 1.0}}, object{"codeExecution": object{}})
	}
	choice := rapid.SampledFrom([]object{
		{"mode": "AUTO"},
		{"mode": "NONE"},
		{"mode": "ANY"},
		{"mode": "ANY", "allowedFunctionNames": []any{"f"}},
		{"mode": "ANY", "allowedFunctionNames": []any{"f", "g"}},
		{"mode": "VALIDATED"},
		{"mode": "AUTO", "streamFunctionCallArguments": true},
	})
	config := object{}
	maybe(t, config, "maxOutputTokens", rapid.IntRange(1, 9999))
	maybe(t, config, "candidateCount", rapid.IntRange(1, 8))
	maybe(t, config, "topK", rapid.IntRange(0, 100))
	maybe(t, config, "seed", rapid.IntRange(-5, 100))
	for _, name := range []string{"temperature", "topP", "presencePenalty", "frequencyPenalty"} {
		maybe(t, config, name, rapid.Float64Range(0, 1))
	}
	maybe(t, config, "stopSequences", rapid.SliceOfN(text, 1, 3))
	if rapid.Bool().Draw(t, "logprobs") {
		config["responseLogprobs"] = true
		maybe(t, config, "logprobs", rapid.IntRange(1, 5))
	}
	switch rapid.IntRange(0, 4).Draw(t, "format") {
	case 0:
		config["responseMimeType"], config["responseSchema"] = "application/json", native.Draw(t, "schema")
	case 1:
		config["responseMimeType"], config["responseJsonSchema"] = "application/json", schema.Draw(t, "schema")
	case 2:
		config["responseMimeType"] = "application/json"
	case 3:
		config["responseMimeType"], config["responseSchema"] = "text/x.enum", object{"type": "STRING", "enum": []any{"a"}}
	}
	thinking := object{}
	maybe(t, thinking, "thinkingBudget", rapid.IntRange(-1, 2000))
	maybe(t, thinking, "thinkingLevel", rapid.SampledFrom([]string{"MINIMAL", "LOW", "HIGH"}))
	maybe(t, thinking, "includeThoughts", either)
	if len(thinking) > 0 {
		config["thinkingConfig"] = thinking
	}
	maybe(t, config, "responseModalities", rapid.SampledFrom([][]string{{"IMAGE"}, {"TEXT", "IMAGE"}, {"AUDIO"}}))
	for _, name := range []string{"mediaResolution", "speechConfig", "imageConfig", "routingConfig", "x_config"} {
		maybe(t, config, name, free)
	}

	r := object{"contents": contents}
	if len(config) > 0 {
		r["generationConfig"] = config
	}
	if len(tools) > 0 {
		r["tools"] = tools
	}
	maybe(t, r, "systemInstruction", rapid.Custom(func(t *rapid.T) object {
		return object{"parts": rapid.SliceOfN(part("text"), 1, 2).Draw(t, "system")}
	}))
	if rapid.Bool().Draw(t, "toolConfig") {
		c := object{"functionCallingConfig": choice.Draw(t, "choice")}
		maybe(t, c, "retrievalConfig", free)
		r["toolConfig"] = c
	}
	for _, name := range []string{"safetySettings", "cachedContent", "labels", "serviceTier", "store", "x_vendor"} {
		maybe(t, r, name, free)
	}
	return r
}

// apart takes the signature of another maker from a thought that follows an unsigned
// one: with it the two are pieces of one, and come back as one (TestPieces).
func apart(parts []any) []any {
	for i := 1; i < len(parts); i++ {
		before, p := parts[i-1].(object), parts[i].(object)
		_, others := unwrap(fmt.Sprint(p["thoughtSignature"]))
		if before["thought"] == true && before["thoughtSignature"] == nil && p["thought"] == true && others {
			delete(p, "thoughtSignature")
		}
	}
	return parts
}

// TestPieces: what Gemini's clients collect of a stream is many pieces of a thought
// with a signature behind the last. One of another maker is for the whole; one of
// Gemini's own stays where it was.
func TestPieces(t *testing.T) {
	for signature, want := range map[string][]inference.Part{
		wrap("of Claude"): {{Kind: inference.Thinking, Text: "ab", Signature: "of Claude"}},
		"c2ln": {
			{Kind: inference.Thinking, Text: "a"},
			{Kind: inference.Thinking, Text: "b", Private: []inference.Private{{Path: "parts.", Key: "thoughtSignature", Raw: []byte(`"c2ln"`)}}},
		},
	} {
		var d scan.Doc
		if err := d.Scan([]byte(`{"contents":[{"role":"model","parts":[{"text":"a","thought":true},{"text":"b","thought":true,"thoughtSignature":"`+signature+`"}]}]}`), Shape()); err != nil {
			t.Fatal(err)
		}
		c, _, err := Decode(&d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Messages[0].Parts); diff != "" {
			t.Errorf("%s: -want +got\n%s", signature, diff)
		}
	}
}

// TestThereAndBack: a request that goes through the words of inference and comes
// back to this dialect has lost nothing that the dialect knows, and nothing that it
// does not know.
func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(request(t))
		if err != nil {
			t.Fatal(err)
		}
		var d scan.Doc
		if err := d.Scan(body, Shape()); err != nil {
			t.Fatal(err)
		}
		c, _, err := Decode(&d)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		back, dropped := Encode(c, "m", false)
		if diff := cmp.Diff(parsed(t, body), parsed(t, back)); diff != "" || len(dropped) > 0 {
			t.Fatalf("lost %q, -want +got\n%s", dropped, diff)
		}
	})
}

// TestForeignIsNamed: what only this dialect has is named on the way to another one,
// all of it.
func TestForeignIsNamed(t *testing.T) {
	const body = `{"contents":[{"role":"user","parts":[{"text":"a","videoMetadata":{"fps":1}},{"fileData":{"fileUri":"gs://b/c","mimeType":"image/png"}}]},
			{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"},{"executableCode":{"code":"1"}}]}],
		"tools":[{"google_search":{}},{"functionDeclarations":[{"name":"f","behavior":"BLOCKING"}]}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]}},
		"generationConfig":{"thinkingConfig":{"includeThoughts":true},"speechConfig":{"a":1},"responseModalities":["AUDIO"]},
		"safetySettings":[{"category":"a"}],"cachedContent":"cachedContents/x"}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	_, dropped, err := Decode(&d)
	want := []string{
		"cachedContent", "content.executableCode", "content.fileData", "generationConfig.responseModalities", "generationConfig.speechConfig",
		"generationConfig.thinkingConfig.includeThoughts", "parts.thoughtSignature", "parts.videoMetadata", "safetySettings",
		"toolConfig.functionCallingConfig.allowedFunctionNames", "tools.functionDeclarations.behavior", "tools.googleSearch",
	}
	slices.Sort(dropped)
	if diff := cmp.Diff(want, dropped); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
}

func parsed(t *rapid.T, b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}
