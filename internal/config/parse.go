package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxFile  = 4 << 20
	maxDepth = 100     // of nesting; the shape of a Config is 6 deep
	maxMerge = 8       // merges inside merges
	maxNodes = 1 << 18 // read in all, a thing once for each alias of it
)

// Load reads and checks the file at path, with references looked up in this
// process. The Config is nil if the report is not OK.
func Load(path string) (*Config, *Report) {
	src, err := readBounded(path, maxFile+1)
	if err != nil {
		r := &Report{File: path}
		r.add(span{}, "", Unreadable, "cannot read the file: "+cause(err), false)
		return nil, r
	}
	return Parse(path, src, System())
}

// Parse reads and checks src, the content of a file of that name. The Config is nil
// if the report is not OK. An empty file is one with every default.
func Parse(name string, src []byte, from Lookup) (*Config, *Report) {
	r := &reader{
		report:  &Report{File: name},
		from:    from,
		cfg:     Default(),
		anchors: map[string]ast.Node{},
		given:   map[string]bool{},
		left:    maxNodes,
	}
	r.cfg.name = name
	if body := r.document(src); body != nil {
		r.root(body)
	}
	r.report.finish()
	if !r.report.OK() {
		return nil, r.report
	}
	return r.cfg, r.report
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// cause is an error without the path, which stands beside it already.
func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// document returns the tree of the one document of a file, or nil.
func (r *reader) document(src []byte) ast.Node {
	refuse := func(at span, code Code, words string) ast.Node {
		r.report.add(at, "", code, words, false)
		return nil
	}
	if len(src) > maxFile {
		return refuse(span{}, Unreadable, "the file is larger than 4 MiB")
	}
	text := strings.TrimPrefix(string(src), "\ufeff")
	if !utf8.ValidString(text) {
		line, column := 1, 1
		for i, c := range text {
			if _, size := utf8.DecodeRuneInString(text[i:]); c == utf8.RuneError && size == 1 {
				break
			}
			column++
			if c == '\n' {
				line, column = line+1, 1
			}
		}
		return refuse(span{line: line, column: column, width: 1}, Unreadable, "the file is no UTF-8 text")
	}
	if shielded(text) {
		return refuse(span{}, Unreadable, "the file holds private characters (U+100000 to U+10007F) that no configuration needs")
	}
	// All are line ends to YAML; the parser miscounts but one.
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	r.report.src = text
	if at := tooDeep(text); at.line > 0 {
		return refuse(at, Syntax, "nested deeper than any configuration is")
	}
	file, err := parser.ParseBytes([]byte(shield(text)), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, words := span{}, "no YAML"
		if e, ok := errors.AsType[*yaml.SyntaxError](err); ok {
			words = syntax(e.Message, text, e.Token)
			if e.Token != nil && e.Token.Position != nil {
				at = spanOfToken(e.Token)
			}
		}
		return refuse(at, Syntax, words)
	}
	var body ast.Node
	for _, d := range file.Docs {
		switch {
		case d.Body == nil:
		case body == nil:
			body = d.Body
		default:
			at := r.spanOf(d.Body)
			if d.Start != nil {
				at = spanOfToken(d.Start)
			}
			return refuse(at, Syntax, "a second document; a configuration is one document, so remove the --- or move what follows to a file of its own")
		}
	}
	return body
}

// tooDeep returns where a file nests deeper than the parser can be trusted with: its
// memory grows with the square of the depth.
func tooDeep(text string) span {
	open := 0
	for i, line := range strings.Split(text, "\n") {
		lead := strings.TrimLeft(line, " \t-?:!&*|>")
		if n := len(line) - len(lead); n > maxDepth && strings.TrimRight(lead, "\r") != "" && lead[0] != '#' {
			return span{line: i + 1, column: maxDepth, width: 1}
		}
		for j := range len(line) {
			switch line[j] {
			case '{', '[':
				open++
			case '}', ']':
				open = max(0, open-1)
			}
			if open > maxDepth {
				return span{line: i + 1, column: len([]rune(line[:j])) + 1, width: 1}
			}
		}
	}
	return span{}
}

// syntax says in our words what the parser says in its own, which may quote the
// file.
func syntax(message, text string, at *token.Token) string {
	line := ""
	if at != nil && at.Position != nil {
		if lines := strings.Split(text, "\n"); at.Position.Line <= len(lines) && at.Position.Line > 0 {
			line = lines[at.Position.Line-1]
		}
	}
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"), strings.Contains(message, "'\t'"):
		return "a tab indents this line; YAML is indented with spaces"
	case strings.Contains(message, "'}'"):
		return "a { without its }, or a comma is missing"
	case strings.Contains(message, "']'"):
		return "a [ without its ], or a comma is missing"
	case strings.Contains(message, "end character of double-quoted"), strings.Contains(message, "end character of single-quoted"), strings.Contains(message, "could not find end character"):
		return "a quote that is never closed"
	case strings.Contains(message, "mapping value is not allowed"), strings.Contains(message, "map key-value is pre-defined"):
		return "a second colon, or a line that is indented differently from its neighbours; a text that holds a colon and a space needs quotes"
	case strings.Contains(message, "unexpected key name"), strings.Contains(message, "non-map value"), strings.Contains(message, "value is not allowed in this context"):
		return "neither `name: value` nor `- value`; is a colon missing, or the indentation off?"
	case strings.Contains(message, "block sequence entries"), strings.Contains(message, "sequence entries are not allowed"):
		return "a list cannot start here; put its - on the next line"
	case strings.Contains(message, "anchor"), strings.Contains(message, "alias"):
		return "an anchor (&name) or alias (*name) that cannot stand here; a text that starts with & or * needs quotes"
	case strings.Contains(message, "tag"), strings.Contains(message, "directive"):
		return "a tag (!name) or directive (%NAME) that cannot stand here; a text that starts with ! or % needs quotes"
	case strings.Contains(message, "invalid character"), strings.Contains(message, "reserved"), strings.Contains(message, "cannot start any token"):
		return "a character that cannot stand here; a text that starts with @ or ` needs quotes"
	default:
		return "no YAML: what stands here does not fit what stands before it"
	}
}
