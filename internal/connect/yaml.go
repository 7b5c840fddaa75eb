package connect

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Entry is one element of a list in a YAML file.
type Entry struct {
	List string // the name of the list at the top of the file; empty where the file is the list
	Name string // the member that tells elements apart
	Is   string // what it is in ours
	Text string // a template that gives the element's members in YAML, not indented
}

// lines are those of a file, each with what ends it.
type lines []string

func (l lines) indent(i int) int { return len(l[i]) - len(strings.TrimLeft(l[i], " ")) }

// says reports whether a line is more than space or a comment.
func (l lines) says(i int) bool {
	text := strings.TrimSpace(l[i])
	return text != "" && text[0] != '#'
}

var (
	emptyList = regexp.MustCompile(`^(\s*(?:\[\s*\])?)\s*(#.*)?\r?\n?$`)
	dash      = regexp.MustCompile(`^-(\s|$)`)
)

// enter returns src with one element in a list, and all else as it was: an element
// of that name is replaced, a new one comes last.
func enter(src []byte, e Entry, text string) ([]byte, error) {
	var was any
	if err := yaml.Unmarshal(src, &was); err != nil {
		return nil, &unreadable{words: "no YAML: " + yamlWords(err)}
	}
	var item map[string]any
	if err := yaml.Unmarshal([]byte(text), &item); err != nil || item[e.Name] != e.Is {
		return nil, fmt.Errorf("the entry is no YAML with %s: %s", e.Name, e.Is)
	}
	want, err := entered(was, e, item)
	if err != nil {
		return nil, err
	}
	out, err := splice(src, e, text, was)
	if err != nil {
		return nil, err
	}
	var is any
	if err := yaml.Unmarshal(out, &is); err != nil || !reflect.DeepEqual(is, want) {
		return nil, errNotSame
	}
	if top := (map[string]any{}); e.List != "" && yaml.Unmarshal(out, &top) != nil {
		return nil, errNotSame // a tag at the top, which another reader may take for something else
	}
	return out, nil
}

// yamlWords returns the first line of what a parser says; the rest quotes the file.
func yamlWords(err error) string {
	words, _, _ := strings.Cut(err.Error(), "\n")
	return words
}

// entered returns what a file means once the element is in it.
func entered(was any, e Entry, item map[string]any) (any, error) {
	if e.List == "" {
		list, ok := was.([]any)
		if was != nil && !ok {
			return nil, &unreadable{words: "a list is expected at the top"}
		}
		return in(list, e, item), nil
	}
	top, ok := was.(map[string]any)
	if was != nil && !ok {
		return nil, &unreadable{words: "a map is expected at the top"}
	}
	list, ok := top[e.List].([]any)
	if top[e.List] != nil && !ok {
		return nil, &unreadable{words: "a list is expected in " + e.List}
	}
	o := map[string]any{e.List: in(list, e, item)}
	for k, v := range top {
		if k != e.List {
			o[k] = v
		}
	}
	return o, nil
}

func in(list []any, e Entry, item map[string]any) []any {
	if i := place(list, e); i >= 0 {
		list = slices.Clone(list)
		list[i] = any(item)
		return list
	}
	return append(slices.Clone(list), any(item))
}

// place returns which element of a list is ours, or -1.
func place(list []any, e Entry) int {
	return slices.IndexFunc(list, func(v any) bool {
		o, ok := v.(map[string]any)
		return ok && o[e.Name] == e.Is
	})
}

func splice(src []byte, e Entry, text string, was any) ([]byte, error) {
	end := "\n"
	if strings.Contains(string(src), "\r\n") {
		end = "\r\n"
	}
	all := lines(slices.Collect(strings.Lines(string(src))))
	if n := len(all); n > 0 && !strings.HasSuffix(all[n-1], "\n") {
		all[n-1] += end
	}
	block := func(indent int) lines {
		var b lines
		for line := range strings.Lines(strings.TrimSpace(text)) {
			lead := "  "
			if len(b) == 0 {
				lead = "- "
			}
			b = append(b, strings.Repeat(" ", indent)+lead+strings.TrimRight(line, "\r\n")+end)
		}
		return b
	}
	if was == nil {
		for i := range all {
			if all.says(i) && strings.TrimSpace(all[i]) != "---" {
				return nil, &unreadable{line: i + 1, column: 1, words: "a map or a list is expected here"}
			}
		}
	}
	join := func(parts ...lines) []byte { return []byte(strings.Join(slices.Concat(parts...), "")) }

	from, least := 0, 0 // where the list's elements begin, and the least they are indented by
	var list []any
	if e.List == "" {
		list, _ = was.([]any)
	} else {
		top, _ := was.(map[string]any)
		list, _ = top[e.List].([]any)
		key := slices.IndexFunc(all, func(line string) bool { return strings.HasPrefix(line, e.List+":") })
		switch _, has := top[e.List]; {
		case key < 0 && has:
			return nil, &unreadable{words: "the list " + e.List + " is not written as a line of its own"}
		case key < 0:
			return join(all, lines{e.List + ":" + end}, block(2)), nil
		case len(list) == 0:
			rest := all[key][len(e.List)+1:]
			m := emptyList.FindStringSubmatch(rest)
			if m == nil {
				return nil, &unreadable{line: key + 1, column: 1, words: "the list " + e.List + " is not written in lines"}
			}
			head := e.List + ":"
			if m[2] != "" {
				head += " " + m[2]
			}
			return join(all[:key], lines{strings.TrimRight(head, "\r\n") + end}, block(2), all[key+1:]), nil
		}
		from = key + 1
	}
	if len(list) == 0 {
		return join(all, block(0)), nil
	}
	// The elements begin with a dash at one indentation; what follows one, up to the
	// next or to a line that is indented less, belongs to it.
	first := from
	for first < len(all) && (!all.says(first) || strings.HasPrefix(all[first], "---")) {
		first++
	}
	if first == len(all) || !dash.MatchString(all[first][all.indent(first):]) {
		return nil, &unreadable{line: first + 1, column: 1, words: "the list is not written in lines that begin with a dash"}
	}
	least = all.indent(first)
	var starts []int
	stop := first
	for i := first; i < len(all); i++ {
		if !all.says(i) {
			continue
		}
		if all.indent(i) < least || all.indent(i) == least && !dash.MatchString(all[i][least:]) {
			break
		}
		if all.indent(i) == least {
			starts = append(starts, i)
		}
		stop = i + 1
	}
	at, to := stop, stop
	if i := place(list, e); i >= 0 {
		if len(starts) != len(list) {
			return nil, errNotSame
		}
		at, to = starts[i], stop
		if i+1 < len(starts) {
			for to = starts[i+1]; !all.says(to - 1); to-- {
				// comments above the next element are its own
			}
		}
	}
	return join(all[:at], block(least), all[to:]), nil
}
