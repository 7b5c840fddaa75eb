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
	used := map[*upstream]bool{}
	for _, mo := range m.models {
		for _, t := range mo.targets {
			used[t.upstream] = true
		}
	}
	for _, u := range m.upstreams {
		fields := []string{"kind: " + u.kind}
		if u.key != "" {
			fields = append(fields, "key: "+quoted(u.key))
		}
		if u.urls[0] != "" {
			fields = append(fields, "urls: ["+quoted(u.urls[0])+"]")
		}
		if u.region != "" {
			fields = append(fields, "region: "+quoted(u.region))
		}
		b.WriteString("  " + u.name + ": {" + strings.Join(fields, ", ") + "}\n")
	}
	b.WriteString("models:\n")
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
	if len(targets) > 1 && !ordered && len(mo.aside) > 0 {
		m.notes = append(m.notes, Note{mo.line, "model_list", mo.name + " has several deployments and something to fall back to: they stand in order here, the first serves as long as it can; several credentials or replicas of one upstream share the load"})
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
	plain := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && r != '/' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	})
	if plain && strings.ContainsFunc(s, func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }) && s[0] != '-' && s != "null" && s != "true" && s != "false" {
		return s
	}
	return strconv.Quote(s)
}
