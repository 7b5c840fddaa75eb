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
	HTML
	PDF
	DOCX
	CSV
	JSONL
	Code
)

var names = [...]string{
	Unknown: "unknown", Text: "text", Markdown: "Markdown", HTML: "HTML", PDF: "PDF", DOCX: "DOCX",
	CSV: "CSV", JSONL: "JSONL", Code: "source code",
}

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
	".html": HTML, ".htm": HTML, ".xhtml": HTML,
	".pdf": PDF, ".docx": DOCX, ".docm": DOCX,
	".csv": CSV, ".tsv": CSV,
	".jsonl": JSONL, ".ndjson": JSONL,
}

// languages are the ends of names of source code.
const languages = " .asm .awk .bash .bat .bzl .c .cc .clj .cmake .cpp .cs .css .cu .cuh .cue .cxx .dart .el .erl .ex .exs" +
	" .f90 .fish .fs .go .gradle .graphql .groovy .h .hcl .hh .hpp .hs .ini .java .jl .js .json .jsx .kt .kts .lisp .lua .m" +
	" .mjs .ml .mm .mod .nim .nix .php .pl .pm .proto .ps1 .py .pyi .r .rb .rs .s .sass .scala .scm .scss .sh .sol .sql" +
	" .star .sv .swift .tcl .tf .toml .ts .tsx .v .vb .vhd .vim .vue .xml .yaml .yml .zig .zsh "

// files are names of source code that have no such end.
const files = " BUILD CMakeLists.txt Containerfile Dockerfile Jenkinsfile Justfile Makefile Rakefile Vagrantfile WORKSPACE "

var medias = map[string]Format{
	"text/markdown": Markdown, "text/x-markdown": Markdown,
	"text/html": HTML, "application/xhtml+xml": HTML,
	"application/pdf": PDF,
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document": DOCX,
	"text/csv": CSV, "text/tab-separated-values": CSV,
	"application/jsonl": JSONL, "application/x-ndjson": JSONL, "application/x-jsonlines": JSONL,
}

// beginning is so much of a file as is looked at to find out what it is.
const beginning = 8 << 10

// Detect finds out what a file is: by signs in its beginning that no other format
// has, then by its name, then by the media type that somebody says, else it is HTML if
// it says so, and text if its bytes can be. The beginning may be any part from the
// first byte on.
func Detect(name, media string, source []byte) Format {
	head := source[:min(len(source), beginning)]
	if bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")) {
		return PDF
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		if endings[ending(name)] == DOCX || mediaOf(media) == DOCX || bytes.Contains(head, []byte("word/")) {
			return DOCX
		}
		return Unknown
	}
	end := ending(name)
	if f, ok := endings[end]; ok {
		if (f == PDF || f == DOCX) || isText(head) {
			return f
		}
		return Unknown
	}
	if !isText(head) {
		return Unknown
	}
	if end != "" && strings.Contains(languages, " "+end+" ") || strings.Contains(files, " "+path.Base(name)+" ") {
		return Code
	}
	if f := mediaOf(media); f != Unknown {
		return f
	}
	page := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"))
	if bytes.HasPrefix(page, []byte("<!doctype html")) || bytes.HasPrefix(page, []byte("<html")) {
		return HTML
	}
	return Text
}

func ending(name string) string { return strings.ToLower(path.Ext(name)) }

func mediaOf(media string) Format {
	m, _, err := mime.ParseMediaType(media)
	if err != nil {
		return Unknown
	}
	return medias[m]
}

// unread returns what to say of a file in no format that is read.
func unread(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return " is an archive or in an office format that is not read: save it as .docx, .csv or .pdf, or unpack it"
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")):
		return " is in an old office format: save it as .docx, .csv or .pdf"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return " is compressed: unpack it"
	}
	return " is in no format that is read: text, Markdown, HTML, PDF, DOCX, CSV, JSONL and source code are"
}

// isText reports whether bytes can be text: UTF-16 with its mark, or no zero bytes
// and few control characters.
func isText(head []byte) bool {
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
	return odd*20 <= len(head)+20 && (utf8.Valid(head) || odd == 0 || len(head) >= beginning)
}
