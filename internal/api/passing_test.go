package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headworks/internal/engine"
	"headworks/internal/engine/openai"
	"headworks/internal/fleet"
	"headworks/internal/flow"
)

// upstream is an engine of OpenAI's dialect behind a front, whose requests h answers.
func upstream(t *testing.T, h http.HandlerFunc) (url string) {
	t.Helper()
	return front(t, behind(t, h))
}

func behind(t *testing.T, h http.HandlerFunc) engine.Engine {
	t.Helper()
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	e, err := openai.New([]fleet.Replica{{ID: 0, URL: up.URL}}, []string{"lent"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// Each operation goes to the path that it came by, byte for byte but for the name of
// the model.
func TestPassing(t *testing.T) {
	answers := map[string]string{
		"/moderations":          `{"id":"modr-1","model":"theirs","results":[{"flagged":false}]}`,
		"/images/generations":   `{"created":1,"data":[{"b64_json":"aGk="}],"usage":{"input_tokens":3,"output_tokens":5,"total_tokens":8}}`,
		"/images/edits":         `{"created":1,"data":[{"b64_json":"aGk="}]}`,
		"/images/variations":    `{"created":1,"data":[{"url":"https://example.com/x"}]}`,
		"/audio/transcriptions": `{"text":"hello","usage":{"type":"duration","seconds":3}}`,
		"/audio/translations":   `{"text":"hello"}`,
	}
	url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/v1")
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer lent" || !strings.Contains(string(body), "theirs") || strings.Contains(string(body), "ours") {
			w.WriteHeader(500)
		}
		_, _ = io.WriteString(w, answers[path])
	})
	for path, want := range answers {
		for _, prefix := range []string{"/v1", "", "/openai/v1"} {
			var res *http.Response
			var got string
			switch path {
			case "/moderations":
				res, got = post(t, url+prefix+path, `{"model":"ours","input":"a","x":1e3}`)
			case "/images/generations":
				res, got = post(t, url+prefix+path, `{"model":"ours","prompt":"a","x":1e3}`)
			default:
				res, got = sendForm(t, url+prefix+path, []string{"model=ours", "prompt=a", "@file=abc"})
			}
			if res.StatusCode != 200 || got != want {
				t.Errorf("%s%s: %d %s", prefix, path, res.StatusCode, got)
			}
		}
	}
}

// sendForm sends fields and, where they begin with @, files.
func sendForm(t *testing.T, url string, fields []string) (*http.Response, string) {
	t.Helper()
	body, media := makeForm(t, fields)
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer any")
	r.Header.Set("Content-Type", media)
	return send(t, r)
}

func makeForm(t *testing.T, fields []string) (body []byte, media string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		var part io.Writer
		var err error
		if file, ok := strings.CutPrefix(name, "@"); ok {
			part, err = w.CreateFormFile(file, "sound.wav")
		} else {
			part, err = w.CreateFormField(name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(part, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

// What a form holds arrives as it was sent, wherever its model stands and however
// long it is, held or passed through, with a length or in chunks.
func TestFormsArrive(t *testing.T) {
	const parts = "file=%s model=%s language=%s"
	url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			t.Error(err)
			return
		}
		var file []byte
		if f, _, err := r.FormFile("file"); err == nil {
			file, _ = io.ReadAll(f)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, parts, sum(file), r.FormValue("model"), r.FormValue("language"))
	})
	for _, size := range []int{0, 10, 1000, 1 << 20, 3 << 20} {
		sound := strings.Repeat("\r\n--\r\nsound\x00", size/12)
		for name, fields := range map[string][]string{
			"before": {"model=ours", "language=de", "@file=" + sound},
			"behind": {"@file=" + sound, "language=de", "model=ours"},
			"around": {"model=ours", "@file=" + sound, "language=de"},
		} {
			for _, chunked := range []bool{false, true} {
				body, media := makeForm(t, fields)
				var from io.Reader = bytes.NewReader(body)
				if chunked {
					from = io.MultiReader(from)
				}
				r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/audio/transcriptions", from)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer any")
				r.Header.Set("Content-Type", media)
				res, got := send(t, r)
				if want := fmt.Sprintf(parts, sum([]byte(sound)), "theirs", "de"); res.StatusCode != 200 || got != want {
					t.Errorf("%s, %d bytes, chunked %v: %d %.200s\nwant %s", name, size, chunked, res.StatusCode, got, want)
				}
				if kind := res.Header.Get("Content-Type"); kind != "text/plain; charset=utf-8" {
					t.Errorf("%s: type %q", name, kind)
				}
			}
		}
	}
}

func sum(b []byte) string {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return fmt.Sprintf("%d:%x", len(b), h)
}

// Sound is relayed as it comes, and one that was cut is a cut connection.
func TestSpeech(t *testing.T) {
	sound := strings.Repeat("\x00\xff sound", 10_000)
	url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "refused"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"error":{"message":"no such voice","type":"invalid_request_error","param":"voice"}}`)
		case strings.Contains(string(body), "html"):
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<p>hello")
		case strings.Contains(string(body), "json"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"error":{"message":"out of memory"}}`)
		case strings.Contains(string(body), `"sse"`):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"type":"speech.audio.delta","audio":"aGk="}`+"\n\n")
			if !strings.Contains(string(body), "cut") {
				_, _ = io.WriteString(w, `data: {"type":"speech.audio.done","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`+"\n\n")
			}
		default:
			w.Header().Set("Content-Type", "audio/mpeg")
			_, _ = io.WriteString(w, sound)
			if strings.Contains(string(body), "cut") {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		}
	})
	say := func(input, format string) (*http.Response, string, error) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/audio/speech",
			strings.NewReader(`{"model":"ours","input":"`+input+`","voice":"alloy","stream_format":"`+format+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer any")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		return res, string(got), err
	}
	if res, got, err := say("hello", "audio"); err != nil || res.StatusCode != 200 || got != sound || res.Header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("speech: %v, %v, %d bytes", res, err, len(got))
	}
	if res, got, err := say("cut", "audio"); err == nil {
		t.Logf("%v %.100s", res, got)
		t.Error("speech that was cut looks whole")
	}
	for input, status := range map[string]int{"refused": 400, "html": 502, "json": 502} {
		if res, got, err := say(input, "audio"); err != nil || res.StatusCode != status || !strings.Contains(got, `{"error":`) {
			t.Errorf("%s: %v, %v, %s", input, res, err, got)
		}
	}
	if res, got, err := say("hello", "sse"); err != nil || res.StatusCode != 200 || !strings.HasSuffix(got, "}}\n\n") || strings.Contains(got, "error") {
		t.Errorf("events: %v, %v, %s", res, err, got)
	}
	if _, got, _ := say("cut", "sse"); !strings.Contains(got, `data: {"error":`) {
		t.Errorf("events that were cut: %s", got)
	}
}

// A client that goes wrong in the middle of a file leaves an upstream that knows that
// it has not got the whole.
func TestFormsCut(t *testing.T) {
	ended := make(chan error, 1)
	url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	body, media := makeForm(t, []string{"model=ours", "@file=" + strings.Repeat("s", 2<<20)})
	for name, tt := range map[string]struct {
		body   []byte
		says   string // empty: the client has left
		status string
	}{
		"left":        {body: body[:3<<19]},
		"no end":      {append(body[:len(body)-10:len(body)-10], bytes.Repeat([]byte("x"), 10)...), "ends before its last boundary", "400"},
		"late stream": {lateField(media, body, "stream", "true"), "comes behind a large file", "400"},
		"model twice": {lateField(media, body, "model", "other"), "stands twice", "400"},
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		length := len(tt.body)
		if tt.says == "" {
			length = len(body)
		}
		_, err = fmt.Fprintf(c, "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer any\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", media, length, tt.body)
		if err != nil {
			t.Fatal(err)
		}
		if tt.says == "" {
			_ = c.Close()
		} else {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, _ := io.ReadAll(res.Body)
			if !strings.HasPrefix(res.Status, tt.status) || !strings.Contains(string(got), tt.says) {
				t.Errorf("%s: %s %s", name, res.Status, got)
			}
			_ = res.Body.Close()
			_ = c.Close()
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: the upstream takes a part for the whole", name)
		}
	}
}

func lateField(media string, body []byte, name, value string) []byte {
	_, boundary, _ := strings.Cut(media, "boundary=")
	end := "--" + boundary + "--\r\n"
	return []byte(strings.TrimSuffix(string(body), end) + "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n" + end)
}

// Of two pictures one may be all that an upstream makes, and says so by a proper end.
// One that was cut behind the first has not made two.
func TestPicturesCut(t *testing.T) {
	const event = "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"aGk=\"}\n\n"
	url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, event)
		switch {
		case bytes.Contains(body, []byte("both")):
			_, _ = io.WriteString(w, event)
		case bytes.Contains(body, []byte("cut")):
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	for prompt, failed := range map[string]bool{"both": false, "one": false, "cut": true} {
		res, got := post(t, url+"/v1/images/generations", `{"model":"ours","prompt":"`+prompt+`","n":2,"stream":true}`)
		if res.StatusCode != 200 || strings.Contains(got, `"error"`) != failed {
			t.Errorf("%s: %s %s", prompt, res.Status, got)
		}
	}
}

// A client that sends slowly is not told that it is served before all is sent: what
// the upstream says then is still said by a status.
func TestFormsFlowSlowly(t *testing.T) {
	g := before(behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":{"message":"no sound","type":"invalid_request_error"}}`)
	}))
	const hold = time.Second
	g.Policy(func(p *flow.Policy) { p.Rules.Hold = hold })
	url, _ := enter(t, g)
	body, media := makeForm(t, []string{"model=ours", "stream=true", "@file=" + strings.Repeat("s", 2<<20)})
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer any\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", media, len(body))
	if err != nil {
		t.Fatal(err)
	}
	for i, piece := range slices.Collect(slices.Chunk(body, len(body)/4*3)) {
		if i > 0 {
			time.Sleep(hold * 3 / 2) // it would be told by now
		}
		if _, err := c.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, _ := io.ReadAll(res.Body); res.StatusCode != 400 {
		t.Errorf("%s: %s", res.Status, got)
	}
}

// An upstream that refuses before it has the whole is heard while the client still
// sends, and what was sent on is not sent again: one try, whatever the error.
func TestFormsRefusedEarly(t *testing.T) {
	var asked atomic.Int32
	url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.CopyN(io.Discard, r.Body, 3<<19) // some of what was not held
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Connection", "close")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, `{"error":{"message":"busy"}}`)
	})
	body, media := makeForm(t, []string{"model=ours", "@file=" + strings.Repeat("s", 4<<20)})
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A part of the body alone, and no more until the answer is there.
	_, err = fmt.Fprintf(c, "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer any\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", media, len(body), body[:2<<20])
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, _ := io.ReadAll(res.Body)
	if res.StatusCode < 500 || !strings.Contains(string(got), `{"error":`) || !res.Close {
		t.Errorf("%s, close %v: %s", res.Status, res.Close, got)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the upstream was asked %d times", n)
	}
}
