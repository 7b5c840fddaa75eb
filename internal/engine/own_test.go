package engine_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headworks/internal/engine"
	"headworks/internal/engine/sglang"
	"headworks/internal/engine/vllm"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/tenant"
)

// owners are the kinds whose engines speak to hosts that a request names.
var owners = map[string]func([]fleet.Replica, []string, bool) (*engine.HTTP, error){"vllm": vllm.New, "sglang": sglang.New}

// sent opens a call and returns what the upstream gets, and what it was not told.
type sent func(d inference.Dialect, body string, whole bool) (string, []string, error)

func sender(t *testing.T, kind string, salt bool) sent {
	t.Helper()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the test sees what is missing
		got <- string(body)
	}))
	t.Cleanup(server.Close)
	replicas := []fleet.Replica{{URL: server.URL}}
	e, err := owners[kind](replicas, nil, salt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return func(d inference.Dialect, body string, whole bool) (string, []string, error) {
		c := &engine.Call{
			Request: &inference.Request{Dialect: d}, Replica: &replicas[0], Model: "m",
			Doc: &scan.Doc{}, Body: []byte(body), Caller: &tenant.Caller{}, Whole: whole,
		}
		if err := c.Doc.Scan(c.Body, nil); err != nil {
			return "", nil, err
		}
		s, err := e.Open(t.Context(), c)
		if err != nil {
			return "", nil, err
		}
		defer s.Close()
		return <-got, s.Dropped(), nil
	}
}

// TestOwn: a caller names no host that an engine would speak to, wherever the engine
// reads it and whatever is asked; everything else is sent byte for byte.
func TestOwn(t *testing.T) {
	dialects := []inference.Dialect{
		inference.OpenAI, inference.Completions, inference.Embeddings, inference.Rerank,
		inference.Moderations, inference.Images, inference.Speech, inference.Transcriptions,
	}
	for _, tt := range []struct {
		kind, body, want string
		dropped          []string
	}{
		{"vllm", `{"model":"m","kv_transfer_params":{"remote_host":"10.6.6.6"},"x":1.0}`, `{"model":"m","x":1.0}`, []string{"kv_transfer_params"}},
		{"vllm", `{"model":"m","kv\u005ftransfer_params":null}`, `{"model":"m"}`, []string{"kv_transfer_params"}},
		{"vllm", `{"ec_transfer_params":{"peer":"10.6.6.6"},"model":"m"}`, `{"model":"m"}`, []string{"ec_transfer_params"}},
		{"vllm", `{"model":"m","vllm_xargs":{"kv_transfer_params":"x"}}`, `{"model":"m","vllm_xargs":{}}`, []string{"vllm_xargs.kv_transfer_params"}},
		{
			"vllm", `{"model":"m", "vllm_xargs" : { "a":1.0, "kv_transfer_params":{"remote_host":"10.6.6.6"}, "ec_\u0074ransfer_params":0 , "b" : [1e3] }, "y":2}`,
			`{"model":"m", "vllm_xargs" : { "a":1.0, "b" : [1e3] }, "y":2}`,
			[]string{"vllm_xargs.kv_transfer_params", "vllm_xargs.ec_transfer_params"},
		},
		{
			"vllm", `{"vllm_\u0078args":{"kv_transfer_params":1,"z":0},"kv_transfer_params":2,"model":"m","ec_transfer_params":3}`,
			`{"vllm_\u0078args":{"z":0},"model":"m"}`,
			[]string{"vllm_xargs.kv_transfer_params", "kv_transfer_params", "ec_transfer_params"},
		},
		{"vllm", `{"model":"m","vllm_xargs":{"a":{"kv_transfer_params":1}},"vllm":0,"":1}`, `{"model":"m","vllm_xargs":{"a":{"kv_transfer_params":1}},"vllm":0,"":1}`, nil},
		{"vllm", `{"model":"m","vllm_xargs":["kv_transfer_params"],"bootstrap_host":"h"}`, `{"model":"m","vllm_xargs":["kv_transfer_params"],"bootstrap_host":"h"}`, nil},
		{"sglang", `{"bootstrap_host":"10.6.6.6","model":"m","bootstrap_port":[1],"x":1.0,"bootstrap_room":2}`, `{"model":"m","x":1.0}`, []string{"bootstrap_host", "bootstrap_port", "bootstrap_room"}},
		{"sglang", `{"model":"m","kv_transfer_params":{"a":1}}`, `{"model":"m","kv_transfer_params":{"a":1}}`, nil},
	} {
		send := sender(t, tt.kind, false)
		for _, d := range dialects {
			got, dropped, err := send(d, tt.body, false)
			if err != nil || got != tt.want || !slices.Equal(dropped, tt.dropped) {
				t.Errorf("%s, %v, %s:\ngot  %s, dropped %q, %v\nwant %s, dropped %q", tt.kind, d, tt.body, got, dropped, err, tt.want, tt.dropped)
			}
			_, _, err = send(d, tt.body, true)
			if refused := err != nil && fault.Of(err).Kind == fault.Unsupported; refused != (tt.dropped != nil) {
				t.Errorf("%s, %v, %s, whole or not at all: %v", tt.kind, d, tt.body, err)
			}
		}
	}
}

// TestOwnAnywhere: whatever else a request holds and in whatever order, with a salt or
// without, none of the fields is left, and all others are.
func TestOwnAnywhere(t *testing.T) {
	var sends [2]sent
	sends[0], sends[1] = sender(t, "vllm", false), sender(t, "vllm", true)
	const model = `"model":"m"` // every request has one
	members := []string{model, `"messages":[]`, `"kv_transfer_params":{"a":1}`, `"ec_transfer_params":0`, `"a":"kv_transfer_params"`, `"vllm_xargs":XARGS`}
	inner := []string{`"kv_transfer_params":"x"`, `"ec_transfer_params":null`, `"a":1`, `"b":{"kv_transfer_params":1}`}
	object := func(t *rapid.T, of []string, label string) string {
		some := rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), rapid.ID[string]).Draw(t, label)
		return "{" + strings.Join(some, ",") + "}"
	}
	rapid.Check(t, func(t *rapid.T) {
		body := strings.Replace(object(t, members, "members"), "XARGS", object(t, inner, "inner"), 1)
		if !strings.Contains(body, model) {
			body = strings.Replace("{"+model+","+body[1:], ",}", "}", 1)
		}
		var want, got map[string]any
		if err := json.Unmarshal([]byte(body), &want); err != nil {
			t.Fatal(err)
		}
		names := 0
		strip := func(of map[string]any) {
			for _, name := range []string{"kv_transfer_params", "ec_transfer_params"} {
				if _, ok := of[name]; ok {
					names++
					delete(of, name)
				}
			}
		}
		strip(want)
		if x, ok := want["vllm_xargs"].(map[string]any); ok {
			strip(x)
		}
		text, dropped, err := sends[rapid.IntRange(0, 1).Draw(t, "salt")](inference.OpenAI, body, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s became %s: %v", body, text, err)
		}
		delete(got, "cache_salt")
		left, _ := json.Marshal(got)   // maps of what was read:
		right, _ := json.Marshal(want) // they can be written
		if string(left) != string(right) || len(dropped) != names {
			t.Fatalf("%s became %s, dropped %q", body, text, dropped)
		}
	})
}
