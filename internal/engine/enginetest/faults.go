package enginetest

import (
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/fault"
)

// testEndings checks how a stream ends: what is whole, and what is not.
func testEndings(t *testing.T, k Kind) {
	if !k.streams() {
		return
	}
	own := k.own()
	begun := own.open + own.word
	silent := func(r *request) bool { return r.untilGone() }
	cut := func(r *request) bool { return false }
	endings := map[string]ending{
		"terminal":                         {begun + own.finish + own.terminal, nil, fault.None},
		"terminal, then silence":           {begun + own.finish + own.terminal, silent, fault.None},
		"finish alone":                     {begun + own.finish, nil, fault.None},
		"finish, then a cut":               {begun + own.finish, cut, fault.None},
		"finish, then silence":             {begun + own.finish, silent, fault.None},
		"finish, then comments for ever":   {begun + own.finish, own.comments, fault.None},
		"finish, then half a terminal":     {begun + own.finish + own.terminal[:max(0, len(own.terminal)-1)], nil, fault.None},
		"empty answer":                     {own.open + own.finish + own.terminal, nil, fault.None},
		"clean end":                        {begun, nil, fault.Interrupted},
		"cut":                              {begun, cut, fault.Interrupted},
		"cut before content":               {own.open, cut, fault.Interrupted},
		"nothing at all":                   {"", nil, fault.Malformed},
		"comments alone":                   {own.comment() + own.comment(), nil, fault.Interrupted},
		"no last blank line":               {begun + strings.TrimSuffix(own.finish, "\n"), nil, fault.Interrupted},
		"no last line end":                 {begun + strings.TrimRight(own.finish, "\n"), nil, fault.Interrupted},
		"terminal without finish":          {begun + own.terminal, nil, fault.Incomplete},
		"error":                            {begun + own.failure, nil, fault.UpstreamError},
		"error, then terminal":             {begun + own.failure + own.terminal, nil, fault.UpstreamError},
		"error before content":             {own.failure + own.terminal, nil, fault.UpstreamError},
		"finish, then error":               {begun + own.finish + own.failure + own.terminal, nil, fault.UpstreamError},
		"malformed":                        {begun + own.malformed, nil, fault.Malformed},
		"malformed, then whole":            {begun + own.malformed + own.finish + own.terminal, nil, fault.Malformed},
		"not an object":                    {begun + own.number() + own.finish + own.terminal, nil, fault.Malformed},
		"another answer":                   {begun + own.mixed + own.finish + own.terminal, nil, fault.Mismatch},
		"too large an event":               {begun, flood, fault.Oversized},
		"chunks that are none":             {begun, func(r *request) bool { return r.send("zz\r\n") && r.untilGone() }, fault.Malformed},
		"name and data without blank line": {begun + "event: message_stop\n", nil, fault.Interrupted},
	}
	if own.terminal == "" {
		delete(endings, "terminal without finish")
	}
	if own.lines { // nothing is read behind what ends the answer
		delete(endings, "finish, then error")
		delete(endings, "name and data without blank line")
	}
	for name, e := range k.quirks(begun) {
		endings[name] = ending{e.body, nil, e.want}
	}
	// All at once: some take as long as an engine waits for a terminal.
	var running sync.WaitGroup
	defer running.Wait()
	for name, e := range endings {
		for _, d := range k.callers() {
			u := k.play(t, func(r *request) bool {
				if !r.send(own.head() + chunked(own.pieces(e.body)...)) {
					return false
				}
				if e.then != nil {
					return e.then(r)
				}
				return r.send(chunksEnd)
			})
			running.Go(func() { k.checkEnding(t, u, d, name, e) })
		}
	}
}

// ending is what an upstream streams, and what that means.
type ending struct {
	body string
	then func(*request) bool // after the body; nil ends it properly
	want fault.Kind          // None: whole
}

func (k Kind) checkEnding(t *testing.T, u *upstream, d *speech, name string, e ending) {
	h, err := u.do(t, u.call(d, true))
	same := d.dialect == k.Dialect
	raw := string(h.raw)
	switch {
	case e.want == fault.None && err != nil:
		t.Errorf("%s, %s: %v", name, d.name, err)
	case e.want == fault.None && (!h.content || same && raw == ""):
		t.Errorf("%s, %s: content %v, %q", name, d.name, h.content, raw)
	case e.want == fault.None:
	case h.last || err == nil || fault.Of(err).Kind != e.want:
		t.Errorf("%s, %s: last %v, fault %v, want %v", name, d.name, h.last, err, e.want)
	case same && !strings.HasPrefix(e.body, raw):
		t.Errorf("%s, %s: got %q of %q", name, d.name, raw, e.body)
	case strings.Contains(raw, "SECRET"), k.own().terminal != "" && strings.Contains(raw, strings.TrimSpace(k.own().terminal)):
		t.Errorf("%s, %s: error or terminal is passed on: %q", name, d.name, raw)
	case strings.Contains(fault.Of(err).Words, "SECRET"):
		t.Errorf("%s, %s: the upstream's own words reach the caller: %v", name, d.name, err)
	}
}

// number is an event whose data is no object.
func (d *speech) number() string {
	if d.lines {
		return "1\n"
	}
	return "data: 1\n\n"
}

// quirk is what only upstreams of one dialect send.
type quirk struct {
	body string
	want fault.Kind
}

func (k Kind) quirks(begun string) map[string]quirk {
	own := k.own()
	whole := own.finish + own.terminal
	if own.name == "anthropic" {
		return map[string]quirk{
			"overloaded in mid-stream": {begun + strings.Replace(own.failure, "api_error", "overloaded_error", 1), fault.UpstreamCapacity},
			"a name that is not the type": {
				begun + strings.Replace(own.word, "event: content_block_delta", "event: ping", 1) + whole, fault.Malformed,
			},
			"no name":                   {begun + strings.Replace(own.word, "event: content_block_delta\n", "", 1) + whole, fault.Malformed},
			"an error of OpenAI's form": {begun + dialects[0].failure + whole, fault.UpstreamError},
			"content before its start":  {own.word + whole, fault.Malformed},
			"it starts twice":           {begun + own.open + whole, fault.Malformed},
			"pings":                     {event("ping", "") + begun + event("ping", "") + whole, fault.None},
			"an event not known yet":    {begun + event("future", `,"x":1`) + whole, fault.None},
			"error null":                {begun + strings.Replace(own.word, `,"index"`, `,"error":null,"index"`, 1) + whole, fault.None},
		}
	}
	if own.name == "responses" {
		failed := func(code string) string {
			return event("response.failed", `,"response":{"id":"resp_1","status":"failed","error":{"code":"`+code+`","message":"SECRET"}}`)
		}
		return map[string]quirk{
			"finish, then error":          {begun + whole + own.failure, fault.None}, // nothing comes after the end
			"failed":                      {begun + failed("server_error"), fault.UpstreamError},
			"failed for its rate":         {begun + failed("rate_limit_exceeded"), fault.UpstreamCapacity},
			"failed for its prompt":       {begun + failed("invalid_prompt"), fault.UpstreamRejected},
			"error, then failed":          {begun + own.failure + failed("server_error"), fault.UpstreamError},
			"cancelled":                   {begun + event("response.cancelled", `,"response":{"id":"resp_1","status":"cancelled"}`), fault.UpstreamError},
			"incomplete":                  {begun + strings.ReplaceAll(whole, "completed", "incomplete"), fault.None},
			"completed in name alone":     {begun + strings.Replace(whole, `"status":"completed"`, `"status":"in_progress"`, 1), fault.Incomplete},
			"[DONE] alone":                {begun + "data: [DONE]\n\n", fault.Incomplete},
			"[DONE] behind the end":       {begun + whole + "data: [DONE]\n\n", fault.None},
			"a name that is not the type": {begun + strings.Replace(own.word, "event: response.output_text.delta", "event: response.in_progress", 1) + whole, fault.Malformed},
			"no names":                    {strings.ReplaceAll(strings.ReplaceAll(begun+whole, "event: response.created\n", ""), "event: response.completed\n", ""), fault.None},
			"content before its start":    {own.word + whole, fault.Malformed},
			"an error of OpenAI's form":   {begun + dialects[0].failure + whole, fault.UpstreamError},
			"an event not known yet":      {begun + event("response.future", `,"x":1`) + whole, fault.None},
			"error null":                  {begun + strings.Replace(own.word, `,"item_id"`, `,"error":null,"item_id"`, 1) + whole, fault.None},
		}
	}
	if own.lines {
		return map[string]quirk{
			"error null":               {begun + strings.Replace(own.word, `{"model"`, `{"error":null,"model"`, 1) + whole, fault.None},
			"no error":                 {begun + strings.Replace(own.word, `{"model"`, `{"error":"","model"`, 1) + whole, fault.None},
			"an error with a status":   {begun + `{"error":"SECRET","status":500}` + "\n", fault.UpstreamError},
			"an error of OpenAI's":     {begun + `{"error":{"message":"SECRET","type":"server_error"}}` + "\n", fault.UpstreamError},
			"an error beside the last": {begun + strings.Replace(own.finish, `{"model"`, `{"error":"SECRET","model"`, 1), fault.UpstreamError},
			"a line that says nothing": {begun + "{}\n" + whole, fault.Malformed},
			"done is no boolean":       {begun + strings.Replace(own.finish, `"done":true`, `"done":"true"`, 1), fault.Malformed},
			"done twice in a line":     {begun + strings.Replace(own.finish, `"done":true`, `"done":true,"done":false`, 1), fault.Malformed},
			"lines that end in CR LF":  {strings.ReplaceAll(begun+whole, "\n", "\r\n"), fault.None},
			"without a reason":         {begun + strings.Replace(own.finish, `"done_reason":"stop",`, "", 1), fault.None},
		}
	}
	if own.name == "gemini" {
		said := func(part, finish string) string { return candidate(part, finish) }
		return map[string]quirk{
			"out of quota in mid-stream": {
				begun + `data: {"error":{"code":429,"message":"SECRET","status":"RESOURCE_EXHAUSTED"}}` + "\n\n", fault.UpstreamCapacity,
			},
			"a status without a code": {begun + `data: {"error":{"message":"SECRET","status":"UNAVAILABLE"}}` + "\n\n", fault.UpstreamError},
			"a key that is not valid": {
				`data: {"error":{"code":400,"message":"API key not valid. SECRET","status":"INVALID_ARGUMENT"}}` + "\n\n", fault.UpstreamAuth,
			},
			"an error of OpenAI's form":    {begun + dialects[0].failure + whole, fault.UpstreamError},
			"error null":                   {begun + strings.Replace(own.word, `{"candidates"`, `{"error":null,"candidates"`, 1) + whole, fault.None},
			"the prompt is blocked":        {`data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":5},"modelVersion":"served"}` + "\n\n", fault.None},
			"no reason to block":           {`data: {"promptFeedback":{"safetyRatings":[]},"modelVersion":"served"}` + "\n\n", fault.Interrupted},
			"a candidate too many":         {begun + strings.Replace(own.word, `"index":0`, `"index":1`, 1) + whole, fault.Mismatch},
			"without candidates":           {begun + `data: {"x":1}` + "\n\n" + whole, fault.Malformed},
			"content after the finish":     {begun + whole + own.word, fault.Malformed},
			"nothing new after the finish": {begun + whole + said(`{"text":""}`, ""), fault.None},
			"a reason not known yet":       {begun + said(`{"text":""}`, `,"finishReason":"FUTURE"`), fault.None},
			"no reason":                    {begun + said(`{"text":""}`, `,"finishReason":"FINISH_REASON_UNSPECIFIED"`), fault.Interrupted},
		}
	}
	return map[string]quirk{
		"vLLM: a code that is a number": {
			begun + `data: {"error":{"message":"SECRET","type":"InternalServerError","param":null,"code":500}}` + "\n\n" + whole, fault.UpstreamError,
		},
		"vLLM: a code 400 that is a number": {
			begun + `data: {"error":{"message":"SECRET","type":"BadRequestError","param":null,"code":400}}` + "\n\n" + whole, fault.UpstreamRejected,
		},
		"vLLM before 0.10: the event is the error": {
			begun + `data: {"object":"error","message":"SECRET","type":"InternalServerError","code":500}` + "\n\n" + whole, fault.UpstreamError,
		},
		"SGLang: rate limit": {
			begun + `data: {"error":{"message":"SECRET","type":"rate_limit_error","code":429}}` + "\n\n" + whole, fault.UpstreamCapacity,
		},
		"llama.cpp: a field of its own": {
			begun + `error: {"code":500,"message":"SECRET","type":"server_error"}` + "\n\n" + own.terminal, fault.UpstreamError,
		},
		"llama.cpp: the field before all": {
			`error: {"code":503,"message":"SECRET Loading model","type":"unavailable_error"}` + "\n\n" + own.terminal, fault.UpstreamError,
		},
		"llama.cpp: the field after the finish": {
			begun + own.finish + `error: {"code":500,"message":"SECRET"}` + "\n\n" + own.terminal, fault.UpstreamError,
		},
		"the event error":     {begun + "event: error\n" + own.failure + whole, fault.UpstreamError},
		"an error in a text":  {begun + `data: {"error":"SECRET"}` + "\n\n" + whole, fault.UpstreamError},
		"error null":          {begun + strings.Replace(own.word, `{"id"`, `{"error":null,"id"`, 1) + whole, fault.None},
		"a choice too many":   {begun + strings.Replace(own.word, `"index":0`, `"index":1`, 1) + whole, fault.Mismatch},
		"without choices":     {begun + `data: {"object":"chat.completion.chunk"}` + "\n\n" + whole, fault.Malformed},
		"Azure: empty frames": {azure + begun + azure + own.finish + azure + own.terminal, fault.None},
		"usage in every event": {
			begun + strings.Replace(own.word, "}\n\n", `,"usage":{"prompt_tokens":5,"completion_tokens":2}}`+"\n\n", 1) + whole, fault.None,
		},
	}
}

// azure is what Azure sends beside an answer.
const azure = `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}` + "\n\n"

// comments sends comments until the engine has had enough.
func (d *speech) comments(r *request) bool {
	for r.send(chunked(d.comment())) {
		time.Sleep(time.Millisecond) // an upstream's pace; nothing is judged by it
	}
	return false
}

// flood sends an event without an end until the engine has had enough.
func flood(r *request) bool {
	for r.send(chunked("data: " + strings.Repeat("x", 60<<10))) {
	}
	return false
}

// zipped returns a body as gzip.
func zipped(body string) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, body) // memory takes all
	_ = z.Close()
	return b.String()
}

// cutGzip returns gzip without its end.
func cutGzip(body string) string {
	z := zipped(body)
	return z[:len(z)-9]
}

// testOtherAnswers sends with status 200 what was not asked for.
func testOtherAnswers(t *testing.T, k Kind) {
	own := k.own()
	wholeStream := "data: {}\n\n"
	if k.streams() {
		wholeStream = load(own.streams[0].file)
	}
	whole := load(own.answers[0].file)
	for name, tt := range map[string]struct {
		stream, whole fault.Kind // for a caller who asked for a stream, or not
		answer        string
	}{
		"HTML":                        {fault.Malformed, fault.Malformed, answer(200, "text/html", "<html>SECRET</html>")},
		"HTML that says it is JSON":   {fault.Malformed, fault.Malformed, answer(200, "application/json", "<html>SECRET</html>")},
		"HTML that says it is events": {fault.Interrupted, fault.Malformed, answer(200, own.media(), "<html>SECRET</html>")},
		"empty":                       {fault.Malformed, fault.Malformed, answer(200, "", "")},
		"empty JSON":                  {fault.Malformed, fault.Malformed, answer(200, "application/json", "")},
		"a JSON value of no meaning":  {fault.Malformed, fault.Malformed, answer(200, "application/json", "{}")},
		"no type":                     {fault.Malformed, fault.Malformed, answer(200, "", whole)},
		"an error in JSON":            {fault.UpstreamError, fault.UpstreamError, answer(200, "application/json", own.failureInBody)},
		"gzip":                        {fault.Malformed, fault.Malformed, answer(200, "application/json", "\x1f\x8b\x08\x00", "Content-Encoding: gzip")},
		"gzip of events":              {fault.Malformed, fault.Malformed, answer(200, own.media(), "\x1f\x8b\x08\x00", "Content-Encoding: gzip")},
		"whole gzip":                  {fault.Malformed, fault.None, answer(200, "application/json", zipped(whole), "Content-Encoding: gzip")},
		"whole gzip of events":        {fault.None, fault.Malformed, answer(200, own.media(), zipped(wholeStream), "Content-Encoding: gzip")},
		"gzip cut":                    {fault.Malformed, fault.Malformed, answer(200, "application/json", cutGzip(whole), "Content-Encoding: gzip")},
		"gzip within gzip":            {fault.Malformed, fault.Malformed, answer(200, "application/json", zipped(zipped(whole)), "Content-Encoding: gzip, gzip")},
		"identity is no coding":       {fault.None, fault.Malformed, answer(200, own.media(), wholeStream, "Content-Encoding: identity")},
		"plain JSON":                  {fault.Malformed, fault.None, answer(200, "application/json", whole)},
		"JSON cut":                    {fault.Malformed, fault.Malformed, answer(200, "application/json", whole[:len(whole)-3])},
		"JSON and more":               {fault.Malformed, fault.Malformed, answer(200, "application/json", whole+"{}")},
		"events":                      {fault.None, fault.Malformed, answer(200, own.media(), wholeStream)},
		"status 204":                  {fault.UpstreamError, fault.UpstreamError, "HTTP/1.1 204 No Content\r\n\r\n"},
		"not HTTP":                    {fault.Malformed, fault.Malformed, "SSH-2.0-OpenSSH_9.7\r\n\r\n"},
		"HTTP/2":                      {fault.Malformed, fault.Malformed, "HTTP/2.0 200 OK\r\n\r\n"},
		"two lengths":                 {fault.Malformed, fault.Malformed, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
	} {
		for _, stream := range []bool{true, false} {
			for _, d := range k.callers() {
				t.Run(fmt.Sprintf("%s %s stream %v", name, d.name, stream), func(t *testing.T) {
					u := k.play(t, func(r *request) bool { return r.send(tt.answer) })
					want := tt.whole
					if u.call(d, stream).Request.Stream {
						want = tt.stream
					}
					if want == fault.None {
						if _, err := u.do(t, u.call(d, stream)); err != nil {
							t.Error(err)
						}
						return
					}
					h, f := u.fails(t, u.call(d, stream))
					if f.Kind != want || len(h.raw) > 0 {
						t.Errorf("fault %v, want %v; got %q", f, want, h.raw)
					}
				})
			}
		}
	}
}

// testStatuses checks what statuses mean, whatever the body of the error is.
func testStatuses(t *testing.T, k Kind) {
	own := k.own()
	for _, tt := range []struct {
		status int
		kind   string // as the vendor names it
		want   fault.Kind
		passed int // the status that the caller sees
	}{
		{400, "invalid_request_error", fault.UpstreamRejected, 400},
		{401, "authentication_error", fault.UpstreamAuth, 502},
		{402, "billing_error", fault.UpstreamAuth, 502},
		{403, "permission_error", fault.UpstreamForbidden, 502},
		{404, "not_found_error", fault.UpstreamRejected, 404},
		{408, "timeout_error", fault.UpstreamTransient, 502},
		{409, "conflict_error", fault.UpstreamTransient, 502},
		{413, "request_too_large", fault.UpstreamRejected, 413},
		{422, "invalid_request_error", fault.UpstreamRejected, 422},
		{429, "rate_limit_error", fault.UpstreamCapacity, 429},
		{500, "api_error", fault.UpstreamError, 502},
		{502, "api_error", fault.UpstreamError, 502},
		{503, "overloaded_error", fault.UpstreamError, 502},
		{504, "timeout_error", fault.UpstreamError, 502},
		{529, "overloaded_error", fault.UpstreamCapacity, 429},
	} {
		for name, whole := range map[string]string{
			"its own body": answer(tt.status, "application/json", own.refusal(tt.kind)),
			"HTML":         answer(tt.status, "text/html", "<h1>SECRET</h1>"),
			"no body":      answer(tt.status, "", ""),
			"a long body":  answer(tt.status, "text/plain", strings.Repeat("SECRET ", 100<<10)),
			"a cut body":   fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Length: 1000\r\n\r\n{\"error\":", tt.status),
		} {
			t.Run(fmt.Sprint(tt.status, " ", name), func(t *testing.T) {
				u := k.play(t, func(r *request) bool { return r.send(whole) && name != "a cut body" })
				for _, d := range k.callers() {
					for _, stream := range []bool{true, false} {
						_, f := u.fails(t, u.call(d, stream))
						if f.Kind != tt.want || f.HTTPStatus() != tt.passed || f.After != 0 {
							t.Errorf("%s stream %v: %v with status %d after %v, want %v with %d",
								d.name, stream, f, f.HTTPStatus(), f.After, tt.want, tt.passed)
						}
					}
				}
			})
		}
	}
	t.Run("the prompt is too long", func(t *testing.T) {
		u := k.play(t, func(r *request) bool { return r.send(answer(400, "application/json", own.tooLong)) })
		if _, f := u.fails(t, u.call(own, true)); f.Kind != fault.ContextTooLong || f.Param != k.Dialect.Prompt() {
			t.Errorf("%v, param %q", f, f.Param)
		}
	})
	t.Run("a status whose body never ends", func(t *testing.T) {
		u := k.play(t, func(r *request) bool {
			return r.send("HTTP/1.1 500 Whatever\r\nContent-Length: 10\r\n\r\n{") && r.untilGone()
		})
		if _, f := u.fails(t, u.call(own, true)); f.Kind != fault.UpstreamError {
			t.Errorf("%v", f)
		}
	})
	testWaits(t, k)
}

// testWaits checks how long an upstream asks to wait.
func testWaits(t *testing.T, k Kind) {
	date := func(in time.Duration) string {
		return "Retry-After: " + time.Now().Add(in).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	}
	for name, tt := range map[string]struct {
		fields      []string
		least, most time.Duration
	}{
		"seconds":               {[]string{"Retry-After: 7"}, 7 * time.Second, 7 * time.Second},
		"milliseconds":          {[]string{"retry-after-ms: 1500.5"}, 1500500 * time.Microsecond, 1500500 * time.Microsecond},
		"milliseconds go first": {[]string{"Retry-After: 7", "Retry-After-Ms: 250"}, 250 * time.Millisecond, 250 * time.Millisecond},
		"a date":                {[]string{date(time.Hour)}, 59 * time.Minute, time.Hour},
		"a date that is over":   {[]string{date(-time.Hour)}, 0, 0},
		"no time":               {[]string{"Retry-After: soon"}, 0, 0},
		"a negative time":       {[]string{"Retry-After: -3", "retry-after-ms: -3"}, 0, 0},
		"no number":             {[]string{"Retry-After: NaN", "retry-after-ms: Inf"}, 0, 0},
	} {
		for _, status := range []int{429, 529, 503} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				u := k.play(t, func(r *request) bool {
					return r.send(answer(status, "application/json", k.own().refusal("rate_limit_error"), tt.fields...))
				})
				if _, f := u.fails(t, u.call(k.own(), true)); f.After < tt.least || f.After > tt.most {
					t.Errorf("after %v, want %v to %v", f.After, tt.least, tt.most)
				}
			})
		}
	}
}

// testRedirect sends the engine elsewhere: it does not go, and the key stays.
func testRedirect(t *testing.T, k Kind) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			elsewhere := &upstream{}
			to := elsewhere.listen(t, func(r *request) bool { return r.send(k.good(r)) })
			u := k.play(t, func(r *request) bool {
				return r.send(answer(status, "text/html", "SECRET", "Location: http://"+to+k.Path))
			})
			for _, stream := range []bool{true, false} {
				if _, f := u.fails(t, u.call(k.own(), stream)); f.Kind != fault.Redirected {
					t.Errorf("fault %v", f)
				}
			}
			if conns, _ := elsewhere.seen(); conns > 0 {
				t.Errorf("%d connections to where the redirect leads", conns)
			}
			if _, all := u.seen(); len(all) != 2 {
				t.Errorf("%d requests for 2 calls", len(all))
			}
		})
	}
}

// testOtherReplica asks for a replica that the engine does not know.
func testOtherReplica(t *testing.T, k Kind) {
	u := k.play(t, func(r *request) bool { return r.send(k.good(r)) })
	c := u.call(k.own(), true)
	other := u.replica
	other.ID++
	c.Replica = &other
	s, err := u.engine.Open(t.Context(), c)
	if err == nil {
		closed(t, s)
		t.Fatal("a call to a replica of another upstream was sent")
	}
	if conns, _ := u.seen(); conns > 0 || fault.Of(err).Kind != fault.Internal {
		t.Errorf("%v, after %d connections", err, conns)
	}
}
