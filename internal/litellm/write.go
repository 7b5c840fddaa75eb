package litellm

import (
	"slices"
	"strconv"
	"strings"
)

// write returns our file.
func (m *move) write() []byte {
	var b strings.Builder
	b.WriteString("# yaml-language-server: $schema=./headworks.schema.json\n# Made from a configuration of LiteLLM's proxy.\n")
	b.WriteString("upstreams:\n")
	for _, u := range m.upstreams {
		fields := []string{"kind: " + u.kind}
		switch len(u.keys) {
		case 0:
		case 1:
			fields = append(fields, "key: "+quoted(u.keys[0]))
		default:
			fields = append(fields, "keys: "+list(u.keys))
		}
		if len(u.urls) > 0 {
			fields = append(fields, "urls: "+list(u.urls))
		}
		for _, f := range u.more {
			fields = append(fields, f[0]+": "+quoted(f[1]))
		}
		b.WriteString("  " + u.name + ": {" + strings.Join(fields, ", ") + "}\n")
	}
	if len(m.models) > 0 {
		b.WriteString("models:\n")
	}
	for _, mo := range m.models {
		m.writeModel(&b, mo)
	}
	if m.key != "" {
		b.WriteString("keys:\n  - {name: master, secret: " + quoted(m.key) + "}\n")
	}
	return []byte(b.String())
}

func (m *move) writeModel(b *strings.Builder, mo *model) {
	targets := slices.Clone(mo.targets)
	ordered := slices.ContainsFunc(targets, func(t target) bool { return t.order > 0 })
	if ordered {
		slices.SortStableFunc(targets, func(x, y target) int { return x.order - y.order })
	}
	drawn := len(targets) > 1 && !ordered && len(mo.aside) == 0
	weighed := slices.ContainsFunc(targets, func(t target) bool { return t.weighed })
	switch {
	case len(targets) > 1 && !ordered && len(mo.aside) > 0:
		words := mo.name + " has several deployments and something to fall back to: they stand in order here, and the first serves as long as it can"
		if weighed {
			words += "; their weights are left out"
		}
		m.notes = append(m.notes, Note{mo.line, "model_list", words})
	case ordered && weighed:
		m.notes = append(m.notes, Note{mo.line, "model_list", mo.name + " has an order and weights: its targets stand in order here, and the weights are left out"})
	}
	for _, t := range mo.aside {
		targets = append(targets, *t)
	}
	const most = 16
	if len(targets) > most {
		m.notes = append(m.notes, Note{mo.line, "model_list", mo.name + " has more than 16 deployments; the others are left out: write engines that serve the same as urls of one upstream"})
		targets = targets[:most]
	}
	b.WriteString("  " + quoted(mo.name) + ":\n")
	if drawn {
		b.WriteString("    policy: weight\n")
	}
	if m.reject {
		b.WriteString("    dropped: reject\n")
	}
	if m.tries > 0 {
		b.WriteString("    tries: " + strconv.Itoa(m.tries) + "\n")
	}
	var times []string
	if mo.first != "" {
		times = append(times, "first_token: "+mo.first)
	}
	if total := first(mo.total, m.total); total != "" {
		times = append(times, "total: "+total)
	}
	if len(times) > 0 {
		b.WriteString("    timeouts: {" + strings.Join(times, ", ") + "}\n")
	}
	b.WriteString("    targets:\n")
	for _, t := range targets {
		fields := []string{"upstream: " + t.upstream.name, "model: " + quoted(t.model)}
		if drawn && t.weight > 0 {
			fields = append(fields, "weight: "+strconv.Itoa(min(t.weight, 1_000_000)))
		}
		if t.in != "" && t.out != "" {
			fields = append(fields, "price: {input: "+t.in+", output: "+t.out+"}")
		}
		if t.window > 0 {
			fields = append(fields, "window: "+strconv.Itoa(t.window))
		}
		b.WriteString("      - {" + strings.Join(fields, ", ") + "}")
		if t.fallsBack {
			b.WriteString(" # answers where those before it cannot")
		}
		b.WriteByte('\n')
	}
}

// list writes texts in one line.
func list(texts []string) string {
	var all []string
	for _, t := range texts {
		all = append(all, quoted(t))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// quoted writes a text as YAML takes it anywhere.
func quoted(s string) string {
	letter := func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }
	plain := s != "" && letter(rune(s[0])) && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && r != '/' && (r < '0' || r > '9') && !letter(r)
	})
	if plain && !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}
