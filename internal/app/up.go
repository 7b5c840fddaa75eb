package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"headworks/internal/config"
	"headworks/internal/discover/local"
	"headworks/internal/latency"
)

// Place is where a process without a configuration listens and keeps its data.
type Place struct{ Listen, Admin, Data string }

// Found is what is at hand on this machine.
type Found struct {
	Engines   []local.Engine
	Providers []local.Provider
	Default   string // the model that assistant stands for; empty if none is real
}

// assistant is the name under which the first real model is found by programs
// that want any.
const assistant = "assistant"

// Discover looks for local engines, once, and for provider keys, and returns the
// configuration of a process that serves them beside the built-in models. To a
// provider nothing is sent.
func Discover(ctx context.Context, at Place, from config.Lookup) (*config.Config, Found, error) {
	found := Found{Engines: local.Search{}.Find(ctx), Providers: local.Keys(from.Env)}
	upstreams, models := builtIns()
	for _, e := range found.Engines {
		if e.State != local.Ready {
			continue
		}
		name := free(upstreams, upstreamName(e.Name))
		upstreams[name] = section{"kind": e.Kind, "urls": []string{e.URL}, "metrics": config.MetricsOff} // nobody named it
		for _, m := range e.Models {
			add(models, m, name, m)
			if found.Default == "" && answers(m) {
				found.Default = m
				add(models, assistant, name, m)
			}
		}
	}
	for _, p := range found.Providers {
		upstreams[free(upstreams, p.Name)] = section{"kind": p.Kind, "urls": []string{p.URL}, "key": "${" + p.Env + "}"}
	}
	src, err := yaml.Marshal(section{
		"listen": at.Listen, "admin": section{"listen": at.Admin}, "data": at.Data,
		"upstreams": upstreams, "models": models, "drain_delay": "0s",
	})
	if err != nil {
		return nil, found, fmt.Errorf("writing down what was found: %w", err)
	}
	c, report := config.Parse("headworks up", src, from)
	if err := report.Err(); err != nil {
		return nil, found, fmt.Errorf("what was found cannot be served: %w", err)
	}
	return c, found, nil
}

type section map[string]any

// builtIns are always there, and are what they are called.
func builtIns() (upstreams, models section) {
	upstreams, models = section{}, section{}
	for _, name := range []string{latency.DemoSmall, latency.DemoLarge} {
		upstreams[name] = section{"kind": config.Simulated, "engine": section{"profile": name}}
		add(models, name, name, name)
	}
	upstreams[config.LocalExtract] = section{"kind": config.LocalExtract}
	add(models, config.LocalExtract, config.LocalExtract, "docs")
	upstreams[config.LocalEmbed] = section{"kind": config.LocalEmbed}
	add(models, config.LocalEmbed, config.LocalEmbed, "lexical-1")
	return upstreams, models
}

// add gives a model one more target: a model of one name on two engines is served
// by either.
func add(models section, name, upstream, model string) {
	m, ok := models[name].(section)
	if !ok {
		m = section{"targets": []section{}}
		models[name] = m
	}
	m["targets"] = append(m["targets"].([]section), section{"upstream": upstream, "model": model})
}

// answers reports whether a model seems to be one that talks.
func answers(model string) bool {
	lower := strings.ToLower(model)
	for _, word := range []string{"embed", "rerank", "whisper", "bge-", "minilm"} {
		if strings.Contains(lower, word) {
			return false
		}
	}
	return true
}

// upstreamName makes a name for the file of what people call an engine.
func upstreamName(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == ' ' || r == '-':
			b.WriteByte('-')
		}
	}
	return b.String()
}

// free returns the name, or with a number behind it if it is taken.
func free(taken section, name string) string {
	if _, ok := taken[name]; !ok {
		return name
	}
	for i := 2; ; i++ {
		if next := name + "-" + strconv.Itoa(i); taken[next] == nil {
			return next
		}
	}
}
