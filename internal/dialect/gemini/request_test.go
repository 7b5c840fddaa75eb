package gemini

import (
	"encoding/json"
	"strings"
	"testing"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

func read(t testing.TB, body string) (inference.Request, error) {
	t.Helper()
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		return inference.Request{}, err
	}
	var r inference.Request
	return r, ReadRequest(&d, &r)
}

func TestReadRequest(t *testing.T) {
	for _, tt := range []struct {
		body         string
		limit, n     int
		tools, input int
	}{
		{`{"contents":[{"parts":[{"text":"hello there"}]}]}`, 0, 1, 0, 2},
		{`{"contents":{"parts":{"text":"hello there"}}}`, 0, 1, 0, 2}, // one in the place of an array
		{`{"contents":[{"role":"function","parts":[{"functionResponse":{"name":"f","response":{"a":"12345678"}}}]}]}`, 0, 1, 0, 4},
		{`{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"AA"}}]}]}`, 0, 1, 0, dialect.ImageTokens},
		{`{"contents":[{"parts":[{"inline_data":{"mime_type":"audio/wav","data":"AA"}}]}]}`, 0, 1, 0, dialect.AudioTokens},
		{`{"contents":[{"parts":[{"fileData":{"fileUri":"gs://a/b"}}]}]}`, 0, 1, 0, dialect.DocumentTokens},
		{`{"contents":[{"parts":[]}],"generationConfig":{"maxOutputTokens":9,"candidateCount":3}}`, 9, 3, 0, 1},
		{`{"contents":[{"parts":[]}],"generation_config":{"max_output_tokens":"9","candidate_count":null}}`, 9, 1, 0, 1},
		{`{"contents":[{"parts":[]}],"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]},{"google_search":{}}]}`, 0, 1, 3, 18},
		{`{"contents":[{"parts":[]}],"tools":{"function_declarations":{"name":"f"}},"system_instruction":{"parts":[{"text":"12345678"}]}}`, 0, 1, 1, 11},
	} {
		r, err := read(t, tt.body)
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		if r.MaxTokens != tt.limit || r.N != tt.n || r.Tools != tt.tools || r.Input != tt.input || r.Dialect != inference.Gemini || r.Stream {
			t.Errorf("%s: %+v", tt.body, r)
		}
	}
}

// TestNeeds: what a model has to be able to do.
func TestNeeds(t *testing.T) {
	for body, want := range map[string]inference.Abilities{
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}`:                                               0,
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}}`:                                              inference.AbilitiesOf(inference.Reasoning),
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"response_schema":{"type":"OBJECT"}}}`:                                                 inference.AbilitiesOf(inference.JSONSchema),
		`{"contents":[{"parts":[{"inlineData":{"mimeType":"application/pdf"}},{"inlineData":{"mimeType":"image/png"}}]}]}`:                                 inference.AbilitiesOf(inference.Documents, inference.Vision),
		`{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}]}`:                                                        inference.AbilitiesOf(inference.Tools),
		`{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"NONE"}}}`: 0,
	} {
		if r, err := read(t, body); err != nil || r.Needs != want {
			t.Errorf("%s: %v, want %v (%v)", body, r.Needs.Names(), want.Names(), err)
		}
	}
	r, err := read(t, `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"thinkingConfig":{"thinkingLevel":"HIGH"}}}`)
	if err != nil || r.Effort != inference.MuchEffort {
		t.Errorf("effort %v (%v)", r.Effort, err)
	}
}

func TestReadRequestRefuses(t *testing.T) {
	const ok = `"contents":[{"parts":[{"text":"x"}]}]`
	for body, param := range map[string]string{
		`[]`:                           "",
		`{}`:                           "contents",
		`{"contents":[]}`:              "contents",
		`{"contents":"x"}`:             "contents",
		`{"contents":[1]}`:             "contents[0]",
		`{"contents":[{"parts":"x"}]}`: "contents[0].parts",
		`{"contents":[{"parts":[1]}]}`: "contents[0].parts[0]",
		`{"contents":[{"role":"assistant","parts":[]}]}`:                                                                       "contents[0].role",
		`{"contents":[{"parts":[{"text":1}]}]}`:                                                                                "contents[0].parts[0].text",
		`{"contents":[{"parts":[{"inlineData":"AA"}]}]}`:                                                                       "contents[0].parts[0].inlineData",
		`{"contents":[{"parts":[{"functionCall":{}}]}]}`:                                                                       "contents[0].parts[0].functionCall.name",
		`{"contents":[{"parts":[{"text":"x"},{"functionResponse":{"name":1}}]}]}`:                                              "contents[0].parts[1].functionResponse.name",
		`{` + ok + `,"generationConfig":1}`:                                                                                    "generationConfig",
		`{` + ok + `,"generationConfig":{"maxOutputTokens":1.5}}`:                                                              "generationConfig.maxOutputTokens",
		`{` + ok + `,"generationConfig":{"maxOutputTokens":"x"}}`:                                                              "generationConfig.maxOutputTokens",
		`{` + ok + `,"generationConfig":{"candidateCount":9}}`:                                                                 "generationConfig.candidateCount",
		`{` + ok + `,"generationConfig":{"candidateCount":0}}`:                                                                 "generationConfig.candidateCount",
		`{` + ok + `,"tools":1}`:                                                                                               "tools",
		`{` + ok + `,"tools":[1]}`:                                                                                             "tools[0]",
		`{` + ok + `,"tools":[{"functionDeclarations":[{}]}]}`:                                                                 "tools[0].functionDeclarations",
		`{` + ok + `,"toolConfig":[]}`:                                                                                         "toolConfig",
		`{` + ok + `,"cachedContent":{}}`:                                                                                      "cachedContent",
		`{` + ok + `,"generationConfig":{},"generation_config":{}}`:                                                            "generationConfig",
		`{` + ok + `,"generationConfig":{"topP":1,"top_p":1}}`:                                                                 "generationConfig.topP",
		`{"contents":[{"parts":[{"inlineData":{"mimeType":"a/b","mime_type":"c/d","data":""}}]}]}`:                             "contents[0].parts[0].inlineData.mimeType",
		`{"contents":[{"parts":[{"thoughtSignature":"a","thought_signature":"b","text":"x"}]}]}`:                               "contents[0].parts[0].thoughtSignature",
		`{"generateContentRequest":{},` + ok + `,"generate_content_request":{}}`:                                               "generateContentRequest",
		`{` + ok + `,"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{},"parameters_json_schema":{}}]}]}`: "tools[0].functionDeclarations.parametersJsonSchema",
	} {
		_, err := read(t, body)
		f := fault.Of(err)
		if err == nil || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: %v, param %q, want %q", body, err, f.Param, param)
		}
	}
	for _, body := range []string{`{"Contents":[]}`, `{"contents":[{"Parts":[]}]}`, `{"contents":[{"parts":[{"inlinedata":{}}]}]}`, `{"generationConfig":{"maxoutputtokens":1}}`, `{"a":1,"a":2}`} {
		if _, err := read(t, body); err == nil {
			t.Errorf("%s has one reading", body)
		}
	}
}

// TestCount: a count is asked of contents, or of a whole request.
func TestCount(t *testing.T) {
	for body, want := range map[string]int{
		`{"contents":[{"parts":[{"text":"12345678"}]}]}`: 2,
		`{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"12345678"}]}],"systemInstruction":{"parts":[{"text":"1234"}]}}}`: 3,
		`{"generate_content_request":{"contents":[{"parts":[{"text":"12345678"}]}]}}`:                                                                  2,
	} {
		var d scan.Doc
		var r inference.Request
		if err := d.Scan([]byte(body), Shape()); err != nil {
			t.Fatal(err)
		}
		if err := ReadCountRequest(&d, &r); err != nil || r.Input != want || r.Dialect != inference.GeminiCount {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
		out := string(scan.Splice(nil, []byte(body), CountEdits(nil, &d, "gemini-2.5-pro")))
		if changed := strings.Contains(body, "models/m"); changed != strings.Contains(out, `"models/gemini-2.5-pro"`) || !changed && out != body {
			t.Errorf("%s became %s", body, out)
		}
	}
	if got := string(AppendCount(&inference.Answer{Usage: inference.Usage{Input: 7}})); got != `{"totalTokens":7}` {
		t.Error(got)
	}
}

// TestForeignSignatures: what another maker signed does not reach Gemini, and nothing
// else is changed.
func TestForeignSignatures(t *testing.T) {
	body := `{"contents":[{"role":"model","parts":[{"text":"a","thought":true, "thoughtSignature":"` + wrap("of Claude") + `"},{"thought_signature" : "` + wrap(redacted+"x") +
		`","thought":true},{"text":"b","thoughtSignature":"c2ln"}]},{"parts":{"text":"aGVhZHdvcmtz"}}]}`
	const want = `{"contents":[{"role":"model","parts":[{"text":"a","thought":true},{"thought":true},{"text":"b","thoughtSignature":"c2ln"}]},{"parts":{"text":"aGVhZHdvcmtz"}}]}`
	var d scan.Doc
	if err := d.Scan([]byte(body), Shape()); err != nil {
		t.Fatal(err)
	}
	if got := string(scan.Splice(nil, []byte(body), Edits(nil, &d, "m"))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !strings.HasPrefix(wrap(""), wrapping) {
		t.Errorf("%s begins otherwise", wrap(""))
	}
}

// TestSchemas: what this dialect writes as a subset of OpenAPI is JSON Schema for the
// others.
func TestSchemas(t *testing.T) {
	for native, want := range map[string]string{
		`{"type":"STRING"}`:                  `{"type":"string"}`,
		`{"type":"string","nullable":false}`: `{"type":"string"}`,
		`{"type":"OBJECT","nullable":true,"properties":{"nullable":{"type":"INTEGER"},"type":{"type":"STRING","enum":["OBJECT"]}}}`: `{"type":["object","null"],"properties":{"nullable":{"type":"integer"},"type":{"type":"string","enum":["OBJECT"]}}}`,
		`{"type":"ARRAY","min_items":"1","maxItems":2,"items":{"anyOf":[{"type":"NUMBER"},{"type":"NULL"}]}}`:                       `{"type":"array","minItems":1,"maxItems":2,"items":{"anyOf":[{"type":"number"},{"type":"null"}]}}`,
		`{"type":"STRING","minLength":"x","propertyOrdering":["b","a"],"default":"TYPE"}`:                                           `{"type":"string","minLength":"x","propertyOrdering":["b","a"],"default":"TYPE"}`,
	} {
		var d scan.Doc
		if err := d.Scan([]byte(native), nil); err != nil {
			t.Fatal(err)
		}
		if got := string(appendJSONSchema(nil, d.Root())); got != want {
			t.Errorf("%s\n is %s\nwant %s", native, got, want)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"contents":{"parts":{"text":"hi"}},"generation_config":{"top_k":1.0,"thinkingConfig":{"thinkingBudget":-1}}}`))
	f.Add([]byte(`{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"c2ln"}]},{"parts":[{"functionResponse":{"name":"f","response":{"output":1},"parts":[{}]}}]}]}`))
	f.Add([]byte(`{"contents":[{"parts":[{"thought":true},{"text":"a","inlineData":{}},{"fileData":{"fileUri":"https://a/b.png","mimeType":"image/png"}}]}],"tools":{"googleSearch":{}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		var r inference.Request
		if d.Scan(body, Shape()) != nil || ReadRequest(&d, &r) != nil {
			return
		}
		c, _, err := Decode(&d)
		if err != nil {
			if fault.Of(err).Kind == fault.Internal {
				t.Fatal(err)
			}
			return
		}
		for _, encode := range []func(*inference.Conversation, string, bool) ([]byte, []string){Encode, EncodeVertex, EncodeCount, EncodeCountVertex} {
			if out, _ := encode(c, "m", true); !json.Valid(out) {
				t.Fatalf("%s became %s", body, out)
			}
			c.From = inference.OpenAI // of another dialect it is written as well
		}
	})
}
