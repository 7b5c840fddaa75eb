package form

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const media = "multipart/form-data; boundary=b"

func part(disposition, rest, content string) string {
	return "--b\r\nContent-Disposition: " + disposition + rest + "\r\n\r\n" + content + "\r\n"
}

func read(t testing.TB, media, body string) (*Reader, error) {
	t.Helper()
	r, err := New(media, "model", "stream")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write([]byte(body)); err != nil {
		return r, err
	}
	return r, r.End()
}

func TestReads(t *testing.T) {
	model := part(`form-data; name="model"`, "", "whisper-1")
	for name, body := range map[string]string{
		"alone":         model + "--b--\r\n",
		"no last line":  model + "--b--",
		"padding":       strings.Replace(model, "--b", "--b \t", 1) + "--b--\r\n",
		"file before":   part(`form-data; name="file"; filename="a;b.wav"`, "\r\nContent-Type: audio/wav", "\r\n--c\r\n\r--b\r\n--") + model + "--b--\r\n",
		"quoted name":   part(`form-data; name=model; x="a\"b\\"`, "", "whisper-1") + "--b--\r\n",
		"Windows path":  part(`form-data; name="file"; filename="C:\dir\a.wav"`, "", "x") + model + "--b--\r\n",
		"binary":        part(`form-data; name="model"`, "\r\nContent-Transfer-Encoding: binary", "whisper-1") + "--b--\r\n",
		"empty part":    "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n" + model + "--b--\r\n",
		"upper case":    strings.Replace(model, "Content-Disposition", "CONTENT-DISPOSITION", 1) + "--b--\r\n",
		"encoded names": part(`form-data; name="file"; filename="a"; filename*=UTF-8''b`, "", "x") + model + "--b--\r\n",
	} {
		r, err := read(t, media, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f, ok := r.Get("model")
		if !ok || string(f.Value) != "whisper-1" || body[f.Start:int(f.Start)+len(f.Value)] != "whisper-1" {
			t.Errorf("%s: %q at %d", name, f.Value, f.Start)
		}
	}
}

func TestRefuses(t *testing.T) {
	model := part(`form-data; name="model"`, "", "whisper-1")
	for name, tt := range map[string]struct{ body, field string }{
		"nothing":              {"", ""},
		"a preamble":           {"hello\r\n" + model + "--b--", ""},
		"a line before":        {"\r\n" + model + "--b--", ""},
		"an epilogue":          {model + "--b--\r\nhello", ""},
		"no end":               {model, ""},
		"half an end":          {model + "--b-", ""},
		"bare line feeds":      {strings.ReplaceAll(model+"--b--", "\r\n", "\n"), ""},
		"a longer boundary":    {model + "--bc\r\n--b--", ""},
		"no disposition":       {"--b\r\n\r\nx\r\n--b--", ""},
		"another field alone":  {"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", ""},
		"two dispositions":     {part(`form-data; name="a"`, "\r\ncontent-disposition: form-data; name=\"model\"", "x") + "--b--", ""},
		"two names":            {part(`form-data; name="a"; name="model"`, "", "x") + "--b--", ""},
		"two file names":       {part(`form-data; name="a"; filename="b"; filename="c"`, "", "x") + "--b--", ""},
		"an encoded name":      {part(`form-data; name*=UTF-8''model`, "", "x") + "--b--", ""},
		"no name":              {part(`form-data; filename="a"`, "", "x") + "--b--", ""},
		"an attachment":        {part(`attachment; name="a"`, "", "x") + "--b--", ""},
		"an open quote":        {part(`form-data; name="a`, "", "x") + "--b--", ""},
		"a folded line":        {part(`form-data;`, "\r\n name=\"a\"", "x") + "--b--", ""},
		"a bare CR":            {part(`form-data; name="a"`, "\rX: y", "x") + "--b--", ""},
		"a NUL":                {part("form-data; name=\"a\x00\"", "", "x") + "--b--", ""},
		"base64":               {part(`form-data; name="a"`, "\r\nContent-Transfer-Encoding: base64", "x") + "--b--", ""},
		"a long head":          {part(`form-data; name="a"`, "\r\nX: "+strings.Repeat("x", maxHead), "x") + "--b--", ""},
		"many fields":          {part(`form-data; name="a"`, strings.Repeat("\r\nX: y", 20), "x") + "--b--", ""},
		"many parts":           {strings.Repeat(part(`form-data; name="a"`, "", "x"), maxParts+1) + "--b--", ""},
		"a model twice":        {model + model + "--b--", "model"},
		"a model that is long": {part(`form-data; name="model"`, "", strings.Repeat("x", maxValue+1)) + "--b--", "model"},
		"a model as a file":    {part(`form-data; name="model"; filename="a"`, "", "x") + "--b--", "model"},
	} {
		_, err := read(t, media, tt.body)
		var said *Error
		if !errors.As(err, &said) || said.Field != tt.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBoundaries(t *testing.T) {
	for media, ok := range map[string]bool{
		media:                                 true,
		`multipart/form-data; boundary="a b"`: true,
		`Multipart/Form-Data;charset=utf-8;BOUNDARY=----WebKitFormBoundaryX1`: true,
		"multipart/form-data; boundary=" + strings.Repeat("b", 70):            true,
		"multipart/form-data; boundary=" + strings.Repeat("b", 71):            false,
		"multipart/form-data":                              false,
		"multipart/form-data; boundary=":                   false,
		`multipart/form-data; boundary=""`:                 false,
		`multipart/form-data; boundary="a "`:               false,
		`multipart/form-data; boundary="a\r"`:              false,
		"multipart/form-data; boundary=a; boundary=b":      false,
		"multipart/form-data; boundary=a, multipart/mixed": false,
		"multipart/mixed; boundary=a":                      false,
	} {
		if _, err := New(media); (err == nil) != ok {
			t.Errorf("%s: %v", media, err)
		}
	}
}

// A form reads the same in whatever pieces it comes.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOfN(rapid.SampledFrom([]string{"\r", "\n", "-", "--", "b", "\r\n--", "\r\n-", "x"}), 0, 20)
		var b bytes.Buffer
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			text := strings.Join(content.Draw(t, "content"), "")
			if strings.Contains("\r\n"+text+"\r\n", "\r\n--b") {
				continue
			}
			b.WriteString(part(`form-data; name="file"; filename="f"`, "", text))
		}
		b.WriteString(part(`form-data; name="model"`, "", "m"))
		b.WriteString("--b--\r\n")
		r, err := New(media, "model")
		if err != nil {
			t.Fatal(err)
		}
		for rest := b.Bytes(); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if _, err := r.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		f, ok := r.Get("model")
		if r.End() != nil || !ok || string(f.Value) != "m" || b.Bytes()[f.Start] != 'm' {
			t.Fatalf("%q: %+v", b.Bytes(), f)
		}
	})
}

// What is read here mime/multipart reads in the same way.
func FuzzForm(f *testing.F) {
	f.Add(part(`form-data; name="model"`, "", "whisper-1")+"--b--\r\n", 3)
	f.Add(part(`form-data; name="file"; filename="a"`, "\r\nContent-Type: audio/wav", "\r\n--")+part(`form-data; name=model`, "", "m")+"--b--", 1)
	f.Add("--b\r\n\r\n", 1)
	f.Fuzz(func(t *testing.T, body string, size int) {
		r, err := New(media, "model", "stream")
		if err != nil {
			t.Fatal(err)
		}
		size = max(1, size)
		for piece := range slices.Chunk([]byte(body), size) {
			if _, err = r.Write(piece); err != nil {
				return
			}
		}
		if r.End() != nil {
			return
		}
		var got []Field
		for parts := multipart.NewReader(strings.NewReader(body), "b"); ; {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return // stricter than we are
			}
			_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
			value, readErr := io.ReadAll(p)
			if err != nil || readErr != nil {
				return
			}
			if name := params["name"]; name == "model" || name == "stream" {
				got = append(got, Field{Name: name, Value: value})
			}
		}
		if len(got) != len(r.Fields()) {
			t.Fatalf("%q: %+v, others read %+v", body, r.Fields(), got)
		}
		for i, f := range r.Fields() {
			if f.Name != got[i].Name || !bytes.Equal(f.Value, got[i].Value) || !strings.HasPrefix(body[f.Start:], string(f.Value)) {
				t.Fatalf("%q: %+v, others read %+v", body, f, got[i])
			}
		}
	})
}
