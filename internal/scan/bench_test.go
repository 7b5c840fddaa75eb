package scan

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

var benchShape = Keys("model", "stream", "max_tokens", "temperature", "top_p", "n", "stop", "user", "tools",
	"tool_choice", "response_format", "logprobs", "seed", "store", "metadata").
	With("messages", Each(Keys("role", "content", "name", "tool_calls", "tool_call_id"))).
	With("stream_options", Keys("include_usage"))

func request(bytes int) []byte {
	head := `{"model":"assistant","messages":[{"role":"system","content":"You are terse.\nAnswer in one line."},` +
		`{"role":"user","content":"`
	tail := `"}],"stream":true,"stream_options":{"include_usage":true},"temperature":0.2,"max_tokens":256,` +
		`"user":"u-123","tools":[{"type":"function","function":{"name":"lookup","parameters":{"type":"object","properties":` +
		`{"q":{"type":"string"}}}}}]}`
	return []byte(head + strings.Repeat("word ", (bytes-len(head)-len(tail))/5) + tail)
}

var chunk = []byte(`{"id":"chatcmpl-9f2c7d1e5b8a4f60","object":"chat.completion.chunk","created":1764057600,` +
	`"model":"qwen3-32b","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" canal"},` +
	`"logprobs":null,"finish_reason":null}]}`)

func BenchmarkScanRequest1K(b *testing.B) {
	body := request(1024)
	var d Doc
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := d.Scan(body, benchShape); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanRequest32K(b *testing.B) {
	body := request(32 << 10)
	var d Doc
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := d.Scan(body, benchShape); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanLaxEvent240B(b *testing.B) {
	var d Doc
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if err := d.ScanLax(chunk); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNavigate(b *testing.B) {
	var d Doc
	if err := d.Scan(request(1024), benchShape); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n := 0
		for m := range d.Root().Get("messages").All() {
			n += m.Get("content").TextLen()
		}
		if n == 0 || !d.Root().Get("model").Is("assistant") {
			b.Fatal("lost")
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10, 32 << 10} {
		for name, body := range map[string][]byte{"plain": request(size), "escaped": bytes.ReplaceAll(request(size), []byte("word w"), []byte(`word\n`))} {
			b.Run(fmt.Sprintf("%s/%dK", name, size>>10), func(b *testing.B) {
				var d Doc
				if err := d.Scan(body, benchShape); err != nil {
					b.Fatal(err)
				}
				var room []byte
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					room = d.Root().AppendCanonical(room[:0], nil)
				}
			})
		}
	}
}
