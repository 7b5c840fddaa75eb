package config

import (
	"errors"
	"strconv"
	"strings"
)

// ErrNotWritten means that a setting cannot be put into a file without changing more
// of it.
var ErrNotWritten = errors.New("the setting cannot be put into the file without changing more of it; write it by hand")

// SetQuality returns a file of that name with the quality of a target in it, and all
// else as it was, to the byte.
func SetQuality(name string, src []byte, model string, target int, quality float64, from Lookup) ([]byte, error) {
	was, report := Parse(name, src, from)
	if was == nil {
		return nil, report.Err()
	}
	path := join("models", model) + ".targets[" + strconv.Itoa(target) + "]"
	value := strconv.FormatFloat(quality, 'f', -1, 64)
	lines := strings.SplitAfter(string(src), "\n")
	// splice replaces width characters at a place by text.
	splice := func(line, column, width int, text string) string {
		if line < 1 || line > len(lines) {
			return ""
		}
		row := []rune(lines[line-1])
		from := min(max(column-1, 0), len(row))
		to := min(from+width, len(row))
		return strings.Join(lines[:line-1], "") + string(row[:from]) + text + string(row[to:]) + strings.Join(lines[line:], "")
	}
	var tries []string
	if o, given := was.origins[path+".quality"]; given {
		if was.Models[model].Targets[target].Quality == quality {
			return src, nil // it says so already
		}
		tries = append(tries, splice(o.value.line, o.value.column, o.value.width, value))
	} else if o, given := was.origins[path+".model"]; given {
		end := "\n"
		if strings.HasSuffix(lines[min(o.value.line, len(lines))-1], "\r\n") {
			end = "\r\n"
		}
		// Within braces behind the model, or else on a line of its own before it.
		tries = append(tries,
			splice(o.value.line, o.value.column+o.value.width, 0, ", quality: "+value),
			splice(o.key.line, o.key.column, 0, "quality: "+value+end+strings.Repeat(" ", max(o.key.column-1, 0))),
		)
	}
	for _, text := range tries {
		if now, _ := Parse(name, []byte(text), from); now != nil && only(Diff(was, now), path+".quality", value) {
			return []byte(text), nil
		}
	}
	return nil, ErrNotWritten
}

// only reports whether one setting differs and no other, and is what it should be.
func only(changes []Change, path, value string) bool {
	return len(changes) == 1 && changes[0].Path == path && changes[0].Now == value
}
