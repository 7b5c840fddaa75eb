package format

import (
	"bytes"
	"mime"
	"path"
	"strings"
	"unicode/utf8"
)

// Format is what a file is.
type Format uint8

// The formats that are read.
const (
	Unknown Format = iota
	Text
	Markdown
)

const known = "text, Markdown"

var names = [...]string{Unknown: "unknown", Text: "text", Markdown: "Markdown"}

func (f Format) String() string {
	if int(f) < len(names) {
		return names[f]
	}
	return names[Unknown]
}

// endings tell formats by the ends of names, in lower case.
var endings = map[string]Format{
	".md": Markdown, ".markdown": Markdown, ".mdown": Markdown, ".mkd": Markdown, ".mdx": Markdown,
	".txt": Text, ".text": Text, ".log": Text,
}

var medias = map[string]Format{
	"text/markdown": Markdown, "text/x-markdown": Markdown,
}

// Detect finds out what a file is: by signs in its beginning that no other format
// has, then by its name, then by the media type that somebody says, else it is text,
// if its bytes can be.
func Detect(name, media string, source []byte) Format {
	if f, ok := endings[strings.ToLower(path.Ext(name))]; ok {
		return f
	}
	if m, _, err := mime.ParseMediaType(media); err == nil {
		if f, ok := medias[m]; ok {
			return f
		}
	}
	if isText(source) {
		return Text
	}
	return Unknown
}

// beginning is so much of a file as is looked at to find out what it is.
const beginning = 8 << 10

// isText reports whether bytes can be text: UTF-16 with its mark, or no zero bytes
// and few control characters.
func isText(source []byte) bool {
	head := source[:min(len(source), beginning)]
	if bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}) {
		return true
	}
	odd := 0
	for _, c := range head {
		switch {
		case c == 0:
			return false
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\b' && c != 0x1b:
			odd++
		}
	}
	return odd*20 <= len(head) && (utf8.Valid(head) || odd == 0)
}
