package config

import (
	"strconv"
	"strings"
)

// arms checks the names of a model's targets, and whom they are drawn for.
func (r *reader) arms(path string, m Model) {
	names := map[string]int{}
	for i, t := range m.Targets {
		at := join(path, "targets") + "[" + strconv.Itoa(i) + "].name"
		if t.Name == "" {
			continue
		}
		if !entryName.MatchString(t.Name) || strings.ContainsAny(t.Name, "/:@") {
			r.at(at, BadValue, "a target's name is made of letters, digits and . _ + -, starts with a letter or digit, and has 128 characters at most")
		}
		if first, twice := names[t.Name]; twice {
			r.at(at, Duplicate, "the name of targets["+strconv.Itoa(first)+"] too; each target has a name of its own")
		} else {
			names[t.Name] = i
		}
	}
	if m.Policy != ByWeight {
		for _, name := range []string{"sticky", "salt"} {
			if r.given[join(path, name)] {
				r.warn(join(path, name), Pointless, name+" counts where targets are drawn, under policy: weight, and the policy here is "+m.Policy)
			}
		}
	}
}
