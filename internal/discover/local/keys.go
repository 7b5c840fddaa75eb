package local

import (
	"strings"

	"headworks/internal/catalog"
)

// Provider is a service that answers for money, known by the variable that
// usually holds its key.
type Provider struct {
	Name string // of the upstream
	Env  string // variable with the key
	Kind string // of upstream, as the configuration names it
	URL  string // base of its API
}

// Providers returns every provider of the catalog that is known by its variable; one
// that is known by several stands there once for each.
func Providers() []Provider {
	var all []Provider
	for _, k := range catalog.Kinds() {
		if k.Env == "" || k.URL == "" {
			continue
		}
		all = append(all, Provider{Name: k.Name, Env: k.Env, Kind: k.Name, URL: k.URL})
		if k.Env == "GEMINI_API_KEY" {
			all = append(all, Provider{Name: k.Name, Env: "GOOGLE_API_KEY", Kind: k.Name, URL: k.URL})
		}
	}
	return all
}

// Keys returns the providers whose variable is set to more than white space, each
// once. The key itself is looked at and left where it is.
func Keys(lookup func(variable string) (string, bool)) []Provider {
	var set []Provider
	for _, p := range Providers() {
		twice := len(set) > 0 && set[len(set)-1].Name == p.Name
		if value, ok := lookup(p.Env); ok && strings.TrimSpace(value) != "" && !twice {
			set = append(set, p)
		}
	}
	return set
}
