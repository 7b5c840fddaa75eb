package bedrock

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/engine/enginetest"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

//go:embed testdata
var testdata embed.FS

const (
	access  = "AKIDEXAMPLE"
	secret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	session = "session+token/=="
	model   = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
)

func load(t *testing.T, name string) string {
	t.Helper()
	b, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// message returns one message of an event stream.
func message(kind, name, payload string) string {
	key := map[string]string{"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}[kind]
	m := eventstream.Message{Payload: []byte(payload)}
	m.Headers.Set(":message-type", eventstream.StringValue(kind))
	m.Headers.Set(key, eventstream.StringValue(name))
	m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, m); err != nil {
		panic(err)
	}
	return b.String()
}

// messages returns the messages of a file.
func messages(t *testing.T, file string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(load(t, file)) {
		var event map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		for name, payload := range event {
			all = append(all, message("event", name, string(payload)))
		}
	}
	return all
}

// play starts an upstream and an engine for it.
func play(t *testing.T, key string, serve http.HandlerFunc) (*engine.HTTP, *fleet.Replica) {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	replica := &fleet.Replica{ID: 1, URL: server.URL}
	e, err := New([]fleet.Replica{*replica}, []string{key}, "eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, replica
}

func call(t *testing.T, replica *fleet.Replica, dialect inference.Dialect, stream bool) *engine.Call {
	t.Helper()
	body := fmt.Sprintf(`{"model":"m","max_tokens":64,"messages":[{"role":"user","content":"hi"}],"stream":%v}`, stream)
	read, decode, shape := openai.ReadRequest, openai.Decode, openai.Shape()
	if dialect == inference.Anthropic {
		read, decode, shape = anthropic.ReadRequest, anthropic.Decode, anthropic.Shape()
	}
	doc, req := &scan.Doc{}, &inference.Request{}
	if err := doc.Scan([]byte(body), shape); err != nil {
		t.Fatal(err)
	}
	if err := read(doc, req); err != nil {
		t.Fatal(err)
	}
	return &engine.Call{
		Request: req, Replica: replica, Model: model, Body: []byte(body), Doc: doc,
		Conversation: func() (*inference.Conversation, []string, error) { return decode(doc) },
	}
}

func writeEvents(w http.ResponseWriter, parts ...string) {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	for _, p := range parts {
		_, _ = io.WriteString(w, p) // a client that is gone reads nothing
		w.(http.Flusher).Flush()
	}
}

func TestContract(t *testing.T) {
	for _, dialect := range []inference.Dialect{inference.OpenAI, inference.Anthropic} {
		e, replica := play(t, access+":"+secret, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "-stream") {
				writeEvents(w, messages(t, "tools.events")...)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, load(t, "tools.json"))
		})
		enginetest.Contract(t, e, func(stream bool) *engine.Call { return call(t, replica, dialect, stream) })
	}
}

// hear reads an answer to its end.
func hear(t *testing.T, e *engine.HTTP, c *engine.Call) (deltas []inference.Delta, answer *inference.Answer, usage inference.Usage, err error) {
	t.Helper()
	s, err := e.Open(t.Context(), c)
	if err != nil {
		return nil, nil, usage, err
	}
	defer s.Close()
	for {
		chunk, err := s.Next(time.Time{})
		if err != nil {
			return deltas, answer, usage, err
		}
		deltas = append(deltas, chunk.Deltas...)
		if chunk.Answer != nil {
			answer = chunk.Answer
		}
		if chunk.Event.Usage.Known {
			usage = chunk.Event.Usage
		}
		if chunk.Last {
			return deltas, answer, usage, nil
		}
	}
}

func TestStreams(t *testing.T) {
	frames := map[string]func(all []string) []string{
		"message by message": func(all []string) []string { return all },
		"at once":            func(all []string) []string { return []string{strings.Join(all, "")} },
		"in small pieces": func(all []string) []string {
			var pieces []string
			for p := range slices.Chunk([]byte(strings.Join(all, "")), 11) {
				pieces = append(pieces, string(p))
			}
			return pieces
		},
	}
	want := map[string][]inference.Delta{
		"text.events": {
			{Kind: inference.Begin},
			{Kind: inference.TextDelta, Text: "Hello"},
			{Kind: inference.TextDelta, Text: " there"},
			{Kind: inference.End, Finish: inference.Stop, Usage: inference.Usage{Input: 25, Output: 10, Known: true}},
		},
		"tools.events": {
			{Kind: inference.Begin},
			{Kind: inference.ThoughtDelta, Text: "The "},
			{Kind: inference.ThoughtDelta, Text: "weather."},
			{Kind: inference.Signed, Text: "c2lnbmVk"},
			{Kind: inference.ToolBegin, Index: 1, ID: "tooluse_1", Name: "weather"},
			{Kind: inference.ToolDelta, Index: 1, Text: `{"location":`},
			{Kind: inference.ToolDelta, Index: 1, Text: ` "Paris"}`},
			{Kind: inference.ToolBegin, Index: 2, ID: "tooluse_2", Name: "now"},
			{Kind: inference.ToolDelta, Index: 2, Text: `{}`},
			{Kind: inference.End, Finish: inference.ToolCalls, Usage: inference.Usage{Input: 2151, Output: 94, CacheRead: 2000, CacheWrite: 100, CacheWriteHour: 60, Known: true}},
		},
	}
	for file, deltas := range want {
		for name, frame := range frames {
			e, replica := play(t, "", func(w http.ResponseWriter, _ *http.Request) {
				writeEvents(w, frame(messages(t, file))...)
			})
			got, _, usage, err := hear(t, e, call(t, replica, inference.OpenAI, true))
			if err != nil {
				t.Errorf("%s %s: %v", file, name, err)
			}
			if diff := cmp.Diff(deltas, got); diff != "" {
				t.Errorf("%s %s (-want +got)\n%s", file, name, diff)
			}
			if usage != deltas[len(deltas)-1].Usage {
				t.Errorf("%s %s: usage %+v", file, name, usage)
			}
		}
	}
}

func TestWhole(t *testing.T) {
	e, replica := play(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, load(t, "tools.json"))
	})
	_, got, _, err := hear(t, e, call(t, replica, inference.OpenAI, false))
	if err != nil {
		t.Fatal(err)
	}
	want := &inference.Answer{
		Finish: inference.ToolCalls, Usage: inference.Usage{Input: 51, Output: 78, Known: true},
		Parts: []inference.Part{
			{Kind: inference.Thinking, Text: "The weather.", Signature: "c2lnbmVk"},
			{Kind: inference.Text, Text: "I'll look it up."},
			{Kind: inference.ToolUse, ID: "tooluse_1", Name: "weather", Data: `{"location":"Paris"}`},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestEndings: an answer is whole with messageStop, whatever comes or does not come
// after it, and never without.
func TestEndings(t *testing.T) {
	all := messages(t, "text.events")
	begun, stop, metadata := strings.Join(all[:3], ""), all[4], all[5]
	corrupt := []byte(all[2])
	corrupt[len(corrupt)-6] ^= 1
	throttled := message("exception", "throttlingException", `{"message":"SECRET"}`)
	for name, tt := range map[string]struct {
		body string
		want fault.Kind
	}{
		"whole":                         {begun + stop + metadata, fault.None},
		"without metadata":              {begun + stop, fault.None},
		"metadata first":                {begun + metadata + stop, fault.None},
		"an event of a later version":   {begun + message("event", "newThing", `{"a":1}`) + stop, fault.None},
		"without messageStop":           {begun, fault.Interrupted},
		"metadata without messageStop":  {begun + metadata, fault.Interrupted},
		"half a message":                {begun + stop[:len(stop)-3], fault.Interrupted},
		"nothing":                       {"", fault.Malformed},
		"a wrong sum":                   {string(corrupt) + stop, fault.Malformed},
		"no message":                    {"data: {}\n\ndata: [DONE]\n\n", fault.Oversized},
		"a length that is none":         {"\x00\x00\x00\x01" + strings.Repeat("x", 20), fault.Malformed},
		"no JSON":                       {begun + message("event", "contentBlockDelta", `{"delta":`), fault.Malformed},
		"no object":                     {begun + message("event", "contentBlockDelta", `1`) + stop, fault.Malformed},
		"messageStop without a reason":  {begun + message("event", "messageStop", `{}`), fault.Incomplete},
		"content after messageStop":     {begun + stop + all[1], fault.Malformed},
		"a second answer":               {begun + all[0] + stop, fault.Mismatch},
		"throttled":                     {throttled, fault.UpstreamCapacity},
		"throttled in the middle":       {begun + throttled, fault.UpstreamCapacity},
		"throttled after the end":       {begun + stop + throttled, fault.UpstreamCapacity},
		"the model failed":              {begun + message("exception", "modelStreamErrorException", `{"message":"SECRET","originalStatusCode":500}`), fault.UpstreamError},
		"the service failed":            {begun + message("exception", "internalServerException", `{"message":"SECRET"}`), fault.UpstreamError},
		"unavailable":                   {message("exception", "serviceUnavailableException", `{"message":"SECRET"}`), fault.UpstreamError},
		"not valid":                     {message("exception", "validationException", `{"message":"SECRET"}`), fault.UpstreamRejected},
		"too long":                      {message("exception", "validationException", `{"message":"Input is too long for requested model."}`), fault.ContextTooLong},
		"an exception without JSON":     {begun + message("exception", "internalServerException", ``), fault.UpstreamError},
		"an error of the protocol":      {begun + message("error", "InternalFailure", ``), fault.UpstreamError},
		"a tool call that was no good":  {begun + message("event", "messageStop", `{"stopReason":"malformed_tool_use"}`), fault.UpstreamTransient},
		"a guardrail":                   {begun + message("event", "messageStop", `{"stopReason":"guardrail_intervened"}`), fault.None},
		"a reason that is not known":    {begun + message("event", "messageStop", `{"stopReason":"novel"}`), fault.None},
		"the window of the model ended": {begun + message("event", "messageStop", `{"stopReason":"model_context_window_exceeded"}`), fault.None},
	} {
		t.Run(name, func(t *testing.T) {
			e, replica := play(t, "", func(w http.ResponseWriter, _ *http.Request) { writeEvents(w, tt.body) })
			_, _, _, err := hear(t, e, call(t, replica, inference.OpenAI, true))
			switch {
			case tt.want == fault.None && err != nil:
				t.Error(err)
			case tt.want != fault.None && err == nil:
				t.Error("it looks whole")
			case err != nil && (fault.Of(err).Kind != tt.want || strings.Contains(fault.Of(err).Words, "SECRET")):
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   fault.Kind
	}{
		{400, `{"message":"The provided model identifier is invalid."}`, fault.UpstreamRejected},
		{400, `{"message":"prompt is too long: 208310 tokens > 200000 maximum"}`, fault.ContextTooLong},
		{401, ``, fault.UpstreamAuth},
		{403, `{"message":"You don't have access to the model with the specified model ID."}`, fault.UpstreamForbidden},
		{403, `{"message":"The security token included in the request is expired"}`, fault.UpstreamAuth},
		{403, `{"Message":"The request signature we calculated does not match the signature you provided."}`, fault.UpstreamAuth},
		{404, `{"message":"Could not resolve the foundation model."}`, fault.UpstreamRejected},
		{408, `{"message":"x"}`, fault.UpstreamTransient},
		{424, `{"message":"x","originalStatusCode":500}`, fault.UpstreamError},
		{429, `{"message":"Too many requests"}`, fault.UpstreamCapacity},
		{500, `<html>`, fault.UpstreamError},
		{503, `{"message":"x"}`, fault.UpstreamError},
	} {
		e, replica := play(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		for _, stream := range []bool{true, false} {
			if _, _, _, err := hear(t, e, call(t, replica, inference.OpenAI, stream)); err == nil || fault.Of(err).Kind != tt.want {
				t.Errorf("%d %s: %v, want %v", tt.status, tt.body, err, tt.want)
			}
		}
	}
}

// TestSigned: the signature is the one that AWS' own signer makes for what arrived.
func TestSigned(t *testing.T) {
	for key, creds := range map[string]aws.Credentials{
		access + ":" + secret:                 {AccessKeyID: access, SecretAccessKey: secret},
		access + ":" + secret + ":" + session: {AccessKeyID: access, SecretAccessKey: secret, SessionToken: session},
	} {
		e, replica := play(t, key, func(w http.ResponseWriter, r *http.Request) {
			if want := "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"; r.RequestURI != want {
				t.Errorf("asked %s, want %s", r.RequestURI, want)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			if err != nil {
				t.Error(err)
			}
			again, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "https://"+r.Host+r.RequestURI, nil)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(body)
			if err := v4.NewSigner().SignHTTP(r.Context(), creds, again, hex.EncodeToString(sum[:]), "bedrock", "eu-central-1", at); err != nil {
				t.Error(err)
			}
			for _, name := range []string{"Authorization", "X-Amz-Security-Token"} {
				if got, want := r.Header.Get(name), again.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			writeEvents(w, messages(t, "text.events")...)
		})
		if _, _, _, err := hear(t, e, call(t, replica, inference.Anthropic, true)); err != nil {
			t.Error(err)
		}
	}
}

func TestKeyOfBedrock(t *testing.T) {
	e, replica := play(t, "ABSKexample=", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer ABSKexample=" || r.Header.Get("X-Amz-Date") != "" {
			t.Errorf("%v", r.Header)
		}
		writeEvents(w, messages(t, "text.events")...)
	})
	if _, _, _, err := hear(t, e, call(t, replica, inference.OpenAI, true)); err != nil {
		t.Error(err)
	}
}

func TestRegions(t *testing.T) {
	for name, want := range map[string]string{
		"bedrock-runtime.us-east-1.amazonaws.com":                     "us-east-1",
		"bedrock-runtime-fips.us-gov-west-1.amazonaws.com":            "us-gov-west-1",
		"vpce-0a1b.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com": "ap-southeast-2",
		"bedrock-runtime.cn-north-1.amazonaws.com.cn":                 "cn-north-1",
		"example.com":         "",
		"bedrock.example.com": "",
		"notbedrock-runtime.us-east-1.example.com": "",
	} {
		if got := regionOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for key, wrong := range map[string]bool{access + ":" + secret: true, "ABSKexample=": false} {
		e, err := New([]fleet.Replica{{URL: "https://example.com"}}, []string{key}, "")
		if (err != nil) != wrong {
			t.Errorf("no region: %v", err)
		}
		if err == nil {
			e.Close()
		}
	}
}

func TestTargets(t *testing.T) {
	for model, want := range map[string]string{
		"amazon.nova-lite-v1:0": "/model/amazon.nova-lite-v1%3A0/converse",
		"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x-v1:0": "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x-v1%3A0/converse",
		"../secret?x": "/model/..%2Fsecret%3Fx/converse",
	} {
		if got := string(target(nil, "", model, false)); got != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
}

// FuzzFrames: however bytes are cut, they hold the same messages or the same fault, and
// nothing grows without bound.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(message("event", "messageStop", `{"stopReason":"end_turn"}`)+message("exception", "throttlingException", `{}`)), 3)
	f.Add([]byte("\x00\x00\x00\x10\x00\x00\x00\x00"), 1)
	f.Add([]byte("\xff\xff\xff\xff12345678901234567890"), 5)
	read := func(data []byte, step int) (out string) {
		var frames Frames
		for p := range slices.Chunk(data, step) {
			frames.Feed(p)
			for {
				e, err := frames.Next()
				if err != nil {
					return out + fault.Of(err).Kind.String()
				}
				if e == nil {
					break
				}
				out += fmt.Sprintf("%q %q\n", e.Name, e.Data)
			}
		}
		return out
	}
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		step = min(max(step, 1), max(len(data), 1))
		if len(data) == 0 {
			return
		}
		if whole, cut := read(data, len(data)), read(data, step); whole != cut {
			t.Errorf("whole %q, cut into %d %q", whole, step, cut)
		}
	})
}
