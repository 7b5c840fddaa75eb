package dialect_test

import (
	"math"
	"strings"
	"testing"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/scan"
)

func TestFields(t *testing.T) {
	tests := []struct {
		json string
		read func(f *dialect.Fields, v scan.Value)
		want string // the words; empty: none
	}{
		{`null`, func(f *dialect.Fields, v scan.Value) { f.Int(v, "x", 1, 2) }, ""},
		{`2`, func(f *dialect.Fields, v scan.Value) { f.Int(v, "x", 1, 2) }, ""},
		{`3`, func(f *dialect.Fields, v scan.Value) { f.Int(v, "x", 1, 2) }, "x must be from 1 to 2"},
		{`"3"`, func(f *dialect.Fields, v scan.Value) { f.Int(v, "x", 1, 2) }, "x must be a number"},
		{`-9223372036854775808`, func(f *dialect.Fields, v scan.Value) { f.Int(v, "x", math.MinInt64, math.MaxInt64) }, ""},
		{`2.0`, func(f *dialect.Fields, v scan.Value) { f.Int(v, "x", 1, 2) }, "x must be a whole number of at most 64 bits, written without fraction or exponent"},
		{`1`, func(f *dialect.Fields, v scan.Value) { f.Bool(v, "x") }, "x must be a boolean"},
		{`{}`, func(f *dialect.Fields, v scan.Value) { f.Texts(v, "x") }, "x must be an array"},
		{`["a",1]`, func(f *dialect.Fields, v scan.Value) { f.Texts(v, "x") }, "x must hold strings"},
		{`[]`, func(f *dialect.Fields, v scan.Value) { f.Float(v, "x") }, "x must be a number"},
		{`[]`, func(f *dialect.Fields, v scan.Value) { f.Bool(v, "x"); f.Text(v, "y") }, "x must be a boolean"},
	}
	for _, tt := range tests {
		var d scan.Doc
		if err := d.Scan([]byte(tt.json), nil); err != nil {
			t.Fatal(err)
		}
		var f dialect.Fields
		tt.read(&f, d.Root())
		err := f.Failed()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || f.Err.Words != tt.want || f.Err.Kind != fault.InvalidRequest) {
			t.Errorf("%s: got %v, want %q", tt.json, err, tt.want)
		}
	}
}

func TestSession(t *testing.T) {
	if got := dialect.Session(nil); got != 0 {
		t.Errorf("no hint: got %d", got)
	}
	// The test vector of FNV-1a for "foobar".
	if got := dialect.Session([]byte("foobar")); got != 0x85944171f73967e8 {
		t.Errorf("got %x", got)
	}
}

func TestDataURI(t *testing.T) {
	for _, tt := range []struct {
		uri, media, data string // no media: it is none, or wrong
		wrong            bool
	}{
		{"data:image/png;base64,AAAA", "image/png", "AAAA", false},
		{"DATA:Image/PNG;Base64,AAAA", "image/png", "AAAA", false},
		{"data:image/png;charset=utf-8;base64,AA==", "image/png", "AA==", false},
		{"data:image/png; name=a.png; base64,AAAA", "image/png", "AAAA", false},
		{"data:image/png;base64,%2BAA%3D%3d", "image/png", "+AA==", false},
		{"data:image/png;base64,AA\r\n AA", "image/png", "AAAA", false},
		{"data:text/plain,hello%20you", "text/plain", "aGVsbG8geW91", false},
		{"data:,hi", "text/plain", "aGk=", false},
		{"data:image/svg+xml,<svg/>", "image/svg+xml", "PHN2Zy8+", false},
		{"https://example.com/data:x;base64,y", "", "", false},
		{"", "", "", false},
		{"data:image/png;base64", "", "", true},
		{"data:image/png;base64,", "", "", true},
		{"data:image/png;base64,%zz", "", "", true},
		{"data:image/png;base64,A_-A", "", "", true},
		{"data:png;base64,AAAA", "", "", true},
	} {
		var f dialect.Fields
		media, data, ok := f.DataURI(tt.uri, "content.image_url.url")
		if ok != (tt.media != "") || media != tt.media || data != tt.data {
			t.Errorf("%s: got %q, %q, %v", tt.uri, media, data, ok)
		}
		if tt.wrong != (f.Err != nil) || f.Err != nil && (f.Err.Param != "content.image_url.url" || f.Err.Kind != fault.InvalidRequest) {
			t.Errorf("%s: %v", tt.uri, f.Err)
		}
	}
}

// FuzzDataURI: what is read is a media type and base64.
func FuzzDataURI(f *testing.F) {
	f.Add("data:image/png;charset=utf-8;base64,AA%3D%3D")
	f.Add("data:,hi")
	f.Fuzz(func(t *testing.T, uri string) {
		var f dialect.Fields
		media, data, ok := f.DataURI(uri, "x")
		if !ok {
			return
		}
		if f.Err != nil || !strings.Contains(media, "/") || strings.ContainsAny(media, ";,") || strings.Trim(data, "+/=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Fatalf("%q is read as %q and %q, %v", uri, media, data, f.Err)
		}
	})
}

// TestSaidKeepsNothing: whatever an upstream says, none of it is in the error.
func TestSaidKeepsNothing(t *testing.T) {
	const secret = "sk-canary"
	for status := range 600 {
		f := dialect.Said{Status: status, Type: []byte(secret), Code: []byte(secret), Message: []byte("key " + secret)}.Fault()
		if f.Words == "" || strings.Contains(f.Error()+f.Words+f.Param+f.Code, secret) {
			t.Errorf("status %d: %v", status, f)
		}
		if got := f.Kind.Info(); status >= 500 && status != 529 && got.Status != 502 {
			t.Errorf("status %d becomes %v", status, f.Kind)
		}
	}
}
