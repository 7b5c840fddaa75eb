package sdk

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
)

// sends is a whole answer of a media type.
func sends(media, body string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, body)
	}
}

func TestModerations(t *testing.T) {
	t.Parallel()
	const whole = `{"id":"modr-1","model":"engine-1","results":[{"flagged":true,"categories":{"hate":true},"category_scores":{"hate":0.75}}]}`
	up, seen := play(t, says(whole)), &tap{}
	client := one(t, "openai", up).openai(openaiopt.WithHTTPClient(seen.client()))
	p := openai.ModerationNewParams{Model: "assistant", Input: openai.ModerationNewParamsInputUnion{OfString: openai.String("hello")}}
	got, err := client.Moderations.New(within(t), p)
	if err != nil || got.RawJSON() != whole || !got.Results[0].Flagged {
		t.Fatalf("%v, %v", got, err)
	}
	if r := up.only(t); r.Path != "/v1/moderations" || r.Body != renamed(seen.last(t).Sent) {
		t.Errorf("the upstream got %s %s", r.Path, r.Body)
	}
	p.Model = ""
	var said *openai.Error
	if _, err := client.Moderations.New(within(t), p); !errors.As(err, &said) || said.StatusCode != http.StatusBadRequest || said.Param != "model" {
		t.Errorf("without a model: %v", err)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	const whole = `{"created":1,"data":[{"b64_json":"aGk="}],"usage":{"input_tokens":9,"output_tokens":2,"total_tokens":11,"input_tokens_details":{"image_tokens":0,"text_tokens":9}}}`
	up, seen := play(t, says(whole)), &tap{}
	client := one(t, "openai", up).openai(openaiopt.WithHTTPClient(seen.client()))
	got, err := client.Images.Generate(within(t), openai.ImageGenerateParams{Model: "assistant", Prompt: "a lighthouse"})
	if err != nil || got.RawJSON() != whole {
		t.Fatalf("%v, %v", got, err)
	}
	if cost := seen.last(t).Header.Get("x-headworks-cost"); cost != "0.000015" {
		t.Errorf("it cost %q", cost)
	}
	edited, err := client.Images.Edit(within(t), openai.ImageEditParams{
		Model: "assistant", Prompt: "at night",
		Image: openai.ImageEditParamsImageUnion{OfFile: openai.File(strings.NewReader("png"), "a.png", "image/png")},
	})
	if err != nil || edited.RawJSON() != whole {
		t.Fatalf("%v, %v", edited, err)
	}

	events := `event: image_generation.partial_image` + "\n" + `data: {"type":"image_generation.partial_image","b64_json":"aA==","partial_image_index":0}` + "\n\n"
	last := `event: image_generation.completed` + "\n" + `data: {"type":"image_generation.completed","b64_json":"aGk=","usage":{"input_tokens":9,"output_tokens":2,"total_tokens":11}}` + "\n\n"
	for said, whole := range map[string]bool{events + last: true, events: false} {
		client := one(t, "openai", play(t, sends("text/event-stream", said))).openai(openaiopt.WithMaxRetries(0))
		s := client.Images.GenerateStreaming(within(t), openai.ImageGenerateParams{Model: "assistant", Prompt: "a lighthouse"})
		n := 0
		for s.Next() {
			n++
		}
		if (s.Err() == nil) != whole || n == 0 || s.Close() != nil {
			t.Errorf("%d events, %v, want whole %v", n, s.Err(), whole)
		}
	}
}

func TestSpeech(t *testing.T) {
	t.Parallel()
	sound := strings.Repeat("\x00\xff\r\nID3", 50_000)
	seen := &tap{}
	client := one(t, "openai", play(t, sends("audio/mpeg", sound))).openai(openaiopt.WithHTTPClient(seen.client()))
	p := openai.AudioSpeechNewParams{Model: "assistant", Input: "hello", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")}}
	res, err := client.Audio.Speech.New(within(t), p)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || string(got) != sound || res.Header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("%d bytes of %s, %v", len(got), res.Header.Get("Content-Type"), err)
	}
	if cost, ok := seen.last(t).Header["X-Headworks-Cost"]; ok {
		t.Errorf("what nobody counted cost %q", cost)
	}
	cut := one(t, "openai", play(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = io.WriteString(w, sound)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})).openai(openaiopt.WithMaxRetries(0))
	if res, err := cut.Audio.Speech.New(within(t), p); err == nil {
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("sound that was cut looks whole")
		}
		_ = res.Body.Close()
	}
}

// A transcription arrives whole, be its file behind the model or, as openai-go
// writes it, before.
func TestTranscriptions(t *testing.T) {
	t.Parallel()
	const whole = `{"text":"hello","usage":{"type":"tokens","input_tokens":9,"output_tokens":2,"total_tokens":11}}`
	for _, kind := range []string{"openai", "vllm"} {
		up := play(t, says(whole))
		g := one(t, kind, up)
		client := g.openai(openaiopt.WithMaxRetries(0))
		sound := bytes.Repeat([]byte("RIFF\r\n--"), 300_000)
		got, err := client.Audio.Transcriptions.New(within(t), openai.AudioTranscriptionNewParams{
			Model: "assistant", File: openai.File(bytes.NewReader(sound), "a.wav", "audio/wav"),
		})
		if err != nil || got.RawJSON() != whole {
			t.Fatalf("%s: %v, %v", kind, got, err)
		}
		r := up.only(t)
		if r.Path != "/v1/audio/transcriptions" || !strings.Contains(r.Body, string(sound)) || !strings.Contains(r.Body, "engine-1") || strings.Contains(r.Body, "assistant") {
			t.Errorf("%s: the upstream got %d bytes at %s", kind, len(r.Body), r.Path)
		}
	}
	for said, whole := range map[string]bool{
		`data: {"type":"transcript.text.delta","delta":"hel"}` + "\n\n" + `data: {"type":"transcript.text.done","text":"hello"}` + "\n\n": true,
		`data: {"type":"transcript.text.delta","delta":"hel"}` + "\n\n":                                                                   false,
	} {
		client := one(t, "openai", play(t, sends("text/event-stream", said))).openai(openaiopt.WithMaxRetries(0))
		s := client.Audio.Transcriptions.NewStreaming(within(t), openai.AudioTranscriptionNewParams{
			Model: "assistant", File: openai.File(strings.NewReader("sound"), "a.wav", "audio/wav"),
		})
		n := 0
		for s.Next() {
			n++
		}
		if (s.Err() == nil) != whole || n == 0 || s.Close() != nil {
			t.Errorf("%d events, %v, want whole %v", n, s.Err(), whole)
		}
	}
}
