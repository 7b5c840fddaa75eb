package connect

import (
	"fmt"
	"slices"
	"strings"
)

// context is how many lines a diff shows around a change.
const context = 3

// Diff returns what differs between two texts, in unified form; empty if nothing
// does. A line that two long texts do not share may be shown as changed though a
// shorter diff exists.
func Diff(name, was, is string) string {
	if was == is {
		return ""
	}
	a, b := slices.Collect(strings.Lines(was)), slices.Collect(strings.Lines(is))
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var ops []op
	for _, line := range a[:head] {
		ops = append(ops, op{' ', line})
	}
	ops = append(ops, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, line := range a[len(a)-tail:] {
		ops = append(ops, op{' ', line})
	}
	var out strings.Builder
	from := "a/" + name
	if was == "" {
		from = "/dev/null"
	}
	to := "b/" + name
	if is == "" {
		to = "/dev/null"
	}
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, to)
	hunks(&out, ops)
	return out.String()
}

// op is a line that stays, goes or comes.
type op struct {
	sign byte
	line string
}

// mostCells bounds the table of middle; larger ones are shown as replaced whole.
const mostCells = 4 << 20

// middle aligns two texts along their longest common subsequence of lines.
func middle(a, b []string) (ops []op) {
	if len(a)*len(b) > mostCells {
		for _, line := range a {
			ops = append(ops, op{'-', line})
		}
		for _, line := range b {
			ops = append(ops, op{'+', line})
		}
		return ops
	}
	width := len(b) + 1
	common := make([]int32, (len(a)+1)*width)
	for i, old := range slices.Backward(a) {
		for j, line := range slices.Backward(b) {
			if old == line {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			ops = append(ops, op{' ', a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[(i+1)*width+j] >= common[i*width+j+1]:
			ops = append(ops, op{'-', a[i]})
			i++
		default:
			ops = append(ops, op{'+', b[j]})
			j++
		}
	}
	return ops
}

// hunks writes the changes, each with what stands around it.
func hunks(out *strings.Builder, ops []op) {
	changed := func(i int) bool { return ops[i].sign != ' ' }
	oldLine, newLine := 1, 1
	for i := 0; i < len(ops); {
		// near is the next change, if it is close enough to be shown with this one.
		near := i
		for near < len(ops) && !changed(near) {
			near++
		}
		if near == len(ops) {
			return
		}
		for ; i < near-context; i++ {
			oldLine, newLine = oldLine+1, newLine+1
		}
		end, quiet := near, 0
		for end < len(ops) && quiet <= 2*context {
			if quiet++; changed(end) {
				quiet = 0
			}
			end++
		}
		end -= max(0, quiet-context)
		var gone, come int
		for _, o := range ops[i:end] {
			if o.sign != '+' {
				gone++
			}
			if o.sign != '-' {
				come++
			}
		}
		fmt.Fprintf(out, "@@ -%s +%s @@\n", span(oldLine, gone), span(newLine, come))
		for _, o := range ops[i:end] {
			out.WriteByte(o.sign)
			out.WriteString(strings.TrimRight(o.line, "\r\n"))
			out.WriteByte('\n')
			if !strings.HasSuffix(o.line, "\n") {
				out.WriteString("\\ No newline at end of file\n")
			}
		}
		oldLine, newLine, i = oldLine+gone, newLine+come, end
	}
}

func span(from, n int) string {
	if n == 0 {
		from--
	}
	return fmt.Sprintf("%d,%d", from, n)
}
