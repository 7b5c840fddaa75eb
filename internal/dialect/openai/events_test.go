package openai

import (
	"errors"
	"strings"
	"testing"

	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// told are what the events of a stream tell together, and how it ends.
func told(t testing.TB, n int, events string) (all inference.Event, r *Events, err error) {
	t.Helper()
	r = &Events{}
	r.Reset(n)
	var d scan.Doc
	for event := range strings.SplitSeq(strings.TrimSuffix(events, "\n"), "\n") {
		name, data, ok := strings.Cut(event, "|")
		if !ok {
			name, data = "", event
		}
		e, err := r.Read([]byte(name), []byte(data), &d)
		if err != nil {
			return all, r, err
		}
		all.Content = all.Content || e.Content
		all.Finishes += e.Finishes
		if e.Usage.Known {
			all.Usage = e.Usage
		}
	}
	return all, r, r.End()
}

// The events are those of OpenAI's OpenAPI description 2.3.0, and of vLLM 0.11's
// entrypoints/openai/speech_to_text.py.
func TestEvents(t *testing.T) {
	const (
		part  = `image_generation.partial_image|{"type":"image_generation.partial_image","b64_json":"aGk=","partial_image_index":0}` + "\n"
		image = `image_generation.completed|{"type":"image_generation.completed","b64_json":"aGk=","usage":{"total_tokens":8,"input_tokens":3,"output_tokens":5}}` + "\n"
		delta = `{"type":"transcript.text.delta","delta":"he"}` + "\n"
		text  = `{"type":"transcript.text.done","text":"hello","usage":{"type":"tokens","input_tokens":14,"output_tokens":2,"total_tokens":16}}` + "\n"
		timed = `{"type":"transcript.text.done","text":"hello","usage":{"type":"duration","seconds":3}}` + "\n"
		sound = `{"type":"speech.audio.delta","audio":"aGk="}` + "\n"
		heard = `{"type":"speech.audio.done","usage":{"input_tokens":4,"output_tokens":9,"total_tokens":13}}` + "\n"
		piece = `{"id":"trsc-1","object":"transcription.chunk","choices":[{"delta":{"content":"he"},"finish_reason":null}]}` + "\n"
		stop  = `{"id":"trsc-1","object":"transcription.chunk","choices":[{"delta":{"content":"llo"},"finish_reason":"stop"}]}` + "\n"
		usage = `{"id":"trsc-1","object":"transcription.chunk","choices":[],"usage":{"prompt_tokens":14,"completion_tokens":2,"total_tokens":16}}` + "\n"
		done  = "[DONE]\n"
	)
	for name, tt := range map[string]struct {
		n             int
		events        string
		kind          fault.Kind
		input, output int
		scant         bool
	}{
		"a picture":              {1, part + image, fault.None, 3, 5, false},
		"no n":                   {0, image, fault.None, 3, 5, false},
		"two pictures":           {2, part + image + image, fault.None, 3, 5, false},
		"one of two":             {2, image, fault.None, 3, 5, true}, // what a cut makes of it the engine says
		"a part of one":          {1, part, fault.Interrupted, 0, 0, true},
		"[DONE] behind":          {1, image + done, fault.None, 3, 5, false},
		"[DONE] alone":           {1, done, fault.Incomplete, 0, 0, true},
		"a transcript":           {1, delta + delta + text, fault.None, 14, 2, false},
		"by its length":          {1, delta + timed, fault.None, 0, 0, false},
		"half a transcript":      {1, delta, fault.Interrupted, 0, 0, true},
		"sound":                  {1, sound + heard, fault.None, 4, 9, false},
		"half of the sound":      {1, sound, fault.Interrupted, 0, 0, true},
		"vLLM":                   {1, piece + stop + usage + done, fault.None, 14, 2, false},
		"vLLM, in pieces":        {1, piece + stop + piece + stop + done, fault.None, 0, 0, false},
		"vLLM, cut":              {1, piece + stop, fault.Interrupted, 0, 0, false},
		"vLLM, never stopped":    {1, piece + done, fault.Incomplete, 0, 0, false},
		"an error":               {1, part + `error|{"type":"error","error":{"code":"server_error","message":"SECRET"}}`, fault.UpstreamError, 0, 0, true},
		"an error without name":  {1, part + `{"error":{"type":"server_error","message":"SECRET"}}`, fault.UpstreamError, 0, 0, true},
		"no JSON":                {1, "hello", fault.Malformed, 0, 0, true},
		"no type":                {1, `{"delta":"he"}`, fault.Malformed, 0, 0, true},
		"two types":              {1, `{"type":"a.delta","type":"a.done"}`, fault.Malformed, 0, 0, true},
		"something behind it":    {1, image + done + image, fault.Malformed, 3, 5, false},
		"a type of another time": {1, `{"type":"image_generation.thinking"}` + "\n" + image, fault.None, 3, 5, false},
	} {
		all, r, err := told(t, tt.n, tt.events)
		kind := fault.None
		if f, ok := errors.AsType[*fault.Error](err); ok {
			if kind = f.Kind; strings.Contains(f.Words, "SECRET") {
				t.Errorf("%s: it quotes the upstream: %s", name, f.Words)
			}
		}
		if kind != tt.kind || all.Usage.Input != tt.input || all.Usage.Output != tt.output || r.Scant() != tt.scant {
			t.Errorf("%s: %v, %+v, scant %v", name, err, all.Usage, r.Scant())
		}
	}
}

// What can be said of any bytes: an end that is whole has said so by an event.
func FuzzEvents(f *testing.F) {
	f.Add(`{"type":"transcript.text.done"}`, 1)
	f.Add("error|{\"error\":{}}\n[DONE]", 2)
	f.Add(`{"choices":[{"finish_reason":"stop"}]}`+"\n[DONE]", 1)
	f.Fuzz(func(t *testing.T, events string, n int) {
		_, _, err := told(t, n, events)
		if err == nil && !strings.Contains(events, ".completed") && !strings.Contains(events, ".done") && !strings.Contains(events, "DONE") && !strings.Contains(events, "\\u") {
			t.Errorf("%q is whole", events)
		}
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Errorf("%q: %v is no fault", events, err)
			}
		}
	})
}
