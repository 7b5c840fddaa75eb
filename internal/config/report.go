package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Code names a sort of problem; it is printed as HW-nnnn and never reused.
type Code int

// The sorts of problem.
const (
	Unreadable   Code = 1001 + iota // no file, or no text
	Syntax                          // no YAML
	UnknownField                    // a field that does not exist
	WrongType                       // a list where a text is meant
	Duplicate                       // the same name twice
	Missing                         // a required field
	BadValue                        // of the right type, and still not accepted
	UnknownName                     // what it refers to is not there
	Unresolved                      // a reference to the environment or a file leads nowhere
	BadSecret                       // too short, or the same as another
	NotYet                          // known, and not in this release
	NotEnforced                     // read and kept, and without effect in this release
	Suspicious                      // beside the running configuration it looks like an accident
	Pointless                       // accepted, and hardly meant so

	lastCode
)

// codes says of each code what is wrong and how to mend it.
func (c Code) page() (title, mend string) {
	switch c {
	case Unreadable:
		return "the file cannot be read", "A configuration is one file of UTF-8 text, at most 4 MiB. Check the path and who may read it."
	case Syntax:
		return "the file is no YAML", "Indent with spaces, close every quote and bracket, and write one document per file. Text that holds a colon and a space, or starts with one of @ ` % & * ! | > [ {, needs quotes."
	case UnknownField:
		return "a field does not exist", "Unknown fields are refused, so a typing error never hides a setting. `headworks config schema` lists the fields; an editor completes them where the first line names the schema."
	case WrongType:
		return "a value is of another type", "A list starts with - or [, a section has fields below it, a text that looks like a number needs quotes, and a number must not have them."
	case Duplicate:
		return "a name stands twice", "Only one of the two can hold. Remove one."
	case Missing:
		return "a required field is missing", "Required are an upstream's kind and urls (a provider has a default), a model's targets, a target's upstream and model, and a key's name and secret."
	case BadValue:
		return "a value is not accepted", "Durations carry a unit (30s, 10m), rates a time (60/m), budgets a day or a month (10/day), sizes a unit or none (32MiB)."
	case UnknownName:
		return "something refers to a name that is not there", "A target names an upstream of the same file, a key names a tier of the same file."
	case Unresolved:
		return "a reference leads nowhere", "${NAME} takes a variable of the environment of the process, ${NAME:-text} has text where that is not set or empty, ${file:/run/secrets/name} takes a file's content. $${ is a plain ${."
	case BadSecret:
		return "a secret cannot be used", "A key's secret has 16 characters or more, all of them printable, and belongs to one key alone. `headworks keys create` makes keys that are kept in the store instead."
	case NotYet:
		return "not in this release", "The name is reserved for what is coming. The message says what to use until then."
	case NotEnforced:
		return "read, and without effect in this release", "The setting is accepted so that the file is ready for it, and nothing enforces it yet. Do not rely on it."
	case Suspicious:
		return "a reload that looks like an accident", "A file that lost all its upstreams or more than doubled is not taken over a running one. If it is meant so, restart."
	case Pointless:
		return "accepted, and hardly meant so", "Nothing is wrong, but the setting cannot have the effect it seems to ask for."
	default:
		return "", ""
	}
}

func (c Code) String() string { return fmt.Sprintf("HW-%04d", int(c)) }

// MarshalText writes the code as it is printed.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Page returns what a code means and how to mend it, by its printed name.
func Page(code string) (title, mend string, ok bool) {
	for _, c := range Codes() {
		if strings.EqualFold(c.String(), code) {
			title, mend = c.page()
			return title, mend, true
		}
	}
	return "", "", false
}

// Codes returns every code.
func Codes() []Code {
	var all []Code
	for c := Unreadable; c < lastCode; c++ {
		all = append(all, c)
	}
	return all
}

// Problem is one thing that is wrong with a file, or, as a warning, hardly meant so.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // 0: the file as a whole
	Column  int    `json:"column,omitempty"` // in characters, from 1
	Path    string `json:"path,omitempty"`   // as models.assistant.timeouts
	Code    Code   `json:"code"`
	Words   string `json:"words"` // no secrets
	Warning bool   `json:"warning,omitempty"`

	excerpt string
}

// Place returns file:line:column.
func (p *Problem) Place() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error tells the problem in one line.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s  %s  %s", p.Place(), p.Words, p.Code)
}

// text renders p with its excerpt; last stands before the code.
func (p *Problem) text(last string) string {
	warning := ""
	if p.Warning {
		warning = "warning: "
	}
	if last != "" {
		last += "   "
	}
	return fmt.Sprintf("%s  %s%s\n%s%s%s   headworks docs %s\n", p.Place(), warning, p.Words, p.excerpt, last, p.Code, p.Code)
}

// Report is what is to be said of a file.
type Report struct {
	File     string    `json:"file"`
	Problems []Problem `json:"problems"` // by place, warnings among them

	errors, warnings int

	src   string
	lines []string // of src for excerpts, made when the first is needed
}

// OK reports whether the file can be used; warnings do not keep it from that.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool { return !p.Warning })
}

// Errors returns how many problems keep the file from being used, and how many
// warnings there are.
func (r *Report) Errors() (errors, warnings int) {
	for _, p := range r.Problems {
		if p.Warning {
			warnings++
		} else {
			errors++
		}
	}
	return errors, warnings
}

// Err returns r as an error, or nil if the file can be used.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	return r
}

// Error tells the first problem in one line, and how many more there are.
func (r *Report) Error() string {
	n, _ := r.Errors()
	for i := range r.Problems {
		if p := &r.Problems[i]; !p.Warning {
			if n > 1 {
				return fmt.Sprintf("%s (and %d more)", p.Error(), n-1)
			}
			return p.Error()
		}
	}
	return r.File + "  valid"
}

// Text renders every problem with its excerpt. What the process does about them
// (still serving generation 4) stands in the last line.
func (r *Report) Text(last string) string {
	var b strings.Builder
	for i := range r.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i < len(r.Problems)-1 {
			b.WriteString(r.Problems[i].text(""))
		} else {
			b.WriteString(r.Problems[i].text(last))
		}
	}
	return b.String()
}

// A report ends after so many errors, and so many warnings: a file that is wrong in
// more places is wrong in one that the first of them show. More are noted than told,
// since they are found in another order than they stand.
const (
	told  = 100
	noted = 10 * told
)

// add notes a problem at a place; a zero span is the file as a whole.
func (r *Report) add(at span, path string, code Code, words string, warning bool) {
	if !warning && r.errors == noted || warning && r.warnings == told {
		return
	}
	if warning {
		r.warnings++
	} else {
		r.errors++
	}
	p := Problem{File: r.File, Line: at.line, Column: at.column, Path: path, Code: code, Words: words, Warning: warning}
	if at.line > 0 {
		p.excerpt = r.excerpt(at)
	}
	r.Problems = append(r.Problems, p)
}

// finish puts the problems in the order of their places.
func (r *Report) finish() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errors := 0
	r.Problems = slices.DeleteFunc(r.Problems, func(p Problem) bool {
		if !p.Warning {
			errors++
		}
		return !p.Warning && errors > told
	})
}

const wide = 100 // characters of a line that an excerpt shows

// excerpt shows the line of a place, the one above it, and a caret under every
// character of the place.
func (r *Report) excerpt(at span) string {
	if r.lines == nil {
		r.lines = hide(r.src)
	}
	if at.line > len(r.lines) {
		return ""
	}
	digits := len(strconv.Itoa(at.line))
	line := []rune(r.lines[at.line-1])
	from := 0
	if at.column > wide*2/3 {
		from = min(at.column-wide*2/3, len(line))
	}
	var b strings.Builder
	if at.line > 1 {
		fmt.Fprintf(&b, "  %*d | %s\n", digits, at.line-1, clip([]rune(r.lines[at.line-2]), from))
	}
	fmt.Fprintf(&b, "> %*d | %s\n", digits, at.line, clip(line, from))
	carets := max(1, min(at.width, len(line)-at.column+1, from+wide-at.column+1))
	fmt.Fprintf(&b, "  %*s | %s%s\n", digits, "", strings.Repeat(" ", max(0, at.column-1-from)), strings.Repeat("^", carets))
	return b.String()
}

// clip cuts a line to what an excerpt shows of it, and makes every character of it
// one column wide.
func clip(line []rune, from int) string {
	line = line[min(from, len(line)):]
	line = line[:min(wide, len(line))]
	out := make([]rune, len(line))
	for i, c := range line {
		switch {
		case c == '\t':
			out[i] = ' '
		case !unicode.IsPrint(c):
			out[i] = '?'
		default:
			out[i] = c
		}
	}
	return strings.TrimRight(string(out), " ")
}

func wordsf(format string, args ...any) string { return fmt.Sprintf(format, args...) }
