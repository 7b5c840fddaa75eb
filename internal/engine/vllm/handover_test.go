package vllm

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"headworks/internal/dialect/openai"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// bodies are requests whose fields stand in every place that matters.
var bodies = []string{
	`{"model":"m","messages":[]}`,
	`{"kv_transfer_params":{"remote_host":"10.6.6.6"},"model":"m","messages":[]}`,
	`{"model":"m","messages":[],"kv_transfer_params":null}`,
	`{"stream":true,"stream_options":{"include_usage":true},"max_tokens":9,"model":"m","min_tokens":3,"messages":[{"role":"user","content":"kv_transfer_params"}],"n":1,"response_format":{"type":"json_object"},"max_completion_tokens":7}`,
	`{ "max_tokens" : 9 , "model" : "m" , "messages" : [ ] , "kv_transfer_params" : { } , "stream" : true }`,
}

func fields(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var strict scan.Doc
	if err := strict.Scan(body, openai.Shape()); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t *testing.T, body string) *scan.Doc {
	t.Helper()
	d := new(scan.Doc)
	if err := d.ScanLax([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestPrefillBody: one token, no stream, what it kept is asked for, and the prompt stays
// as it is.
func TestPrefillBody(t *testing.T) {
	for _, body := range bodies {
		before, got := fields(t, []byte(body)), fields(t, handover().Prefill(nil, read(t, body)))
		how, _ := got["kv_transfer_params"].(map[string]any)
		if got["stream"] != false || got["max_tokens"] != 1.0 || how["do_remote_decode"] != true || how["do_remote_prefill"] != false || how["remote_host"] != nil {
			t.Errorf("%s: %v", body, got)
		}
		if _, ok := before["max_completion_tokens"]; ok != (got["max_completion_tokens"] == 1.0) {
			t.Errorf("%s: %v", body, got)
		}
		for _, gone := range []string{"stream_options", "min_tokens", "response_format", "n"} {
			if _, ok := got[gone]; ok {
				t.Errorf("%s: %s is left", body, gone)
			}
		}
		if !reflect.DeepEqual(got["messages"], before["messages"]) || got["model"] != "m" {
			t.Errorf("%s: %v", body, got)
		}
	}
	if got := handover().Prefill(nil, read(t, `{"model":"m","messages":[],"tool_choice":"required"}`)); got != nil {
		t.Errorf("a call that is required: %s", got)
	}
}

// TestTakeBody: the caller's body, but for where the prompt was read.
func TestTakeBody(t *testing.T) {
	for _, handed := range []string{"", `{"remote_block_ids":[1,2],"remote_host":"10.0.0.1"}`} {
		for _, body := range bodies {
			want := fields(t, []byte(body))
			delete(want, "kv_transfer_params")
			var given []byte
			if handed != "" {
				given = []byte(handed)
				want["kv_transfer_params"] = fields(t, given)
			}
			if got := fields(t, handover().Take(nil, read(t, body), given)); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, handed %q: %v", body, handed, got)
			}
		}
	}
}

// TestHanded: what an answer says of where the prompt is kept, if it does.
func TestHanded(t *testing.T) {
	for answer, want := range map[string]string{
		`{"choices":[],"kv_transfer_params":{"remote_port":5600}}`: `{"remote_port":5600}`,
		`{"choices":[],"kv_transfer_params":{}}`:                   "",
		`{"choices":[],"kv_transfer_params":null}`:                 "",
		`{"choices":[]}`: "",
	} {
		if got := string(handover().Handed(read(t, answer))); got != want {
			t.Errorf("%s: %q", answer, got)
		}
	}
}

// FuzzHandover: whatever the body, what is sent has one reading, and says what it must.
func FuzzHandover(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body))
		f.Add([]byte(strings.Replace(body, `"messages":[]`, `"messages":[{"role":"user","content":"hi"}]`, 1)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d scan.Doc
		var r inference.Request
		if d.Scan(body, openai.Shape()) != nil || openai.ReadRequest(&d, &r) != nil {
			return
		}
		prefill := handover().Prefill(nil, &d)
		if prefill == nil {
			return
		}
		take := handover().Take(nil, &d, []byte(`{"a":1}`))
		for _, sent := range [][]byte{prefill, take} {
			var again scan.Doc
			if err := again.Scan(sent, openai.Shape()); err != nil {
				t.Fatalf("%q became %q: %v", body, sent, err)
			}
			if !again.Root().Get("kv_transfer_params").Exists() {
				t.Fatalf("%q", sent)
			}
		}
	})
}
