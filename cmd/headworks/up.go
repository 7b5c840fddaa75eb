package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"headworks/internal/app"
)

func newUpCommand(t *terminal) *cobra.Command {
	var listen, admin string
	c := &cobra.Command{
		Use:   "up",
		Short: "Start without a configuration: local engines, provider keys, built-in models",
		Long: "Listens on loopback, looks once for local engines and for provider keys in the\n" +
			"environment, and serves them beside models that are always there. To a provider\n" +
			"nothing is sent until a request asks for it.",
		Example: "  headworks up\n  headworks up --listen 127.0.0.1:0 --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			began := time.Now()
			p, err := app.Up(c.Context(), app.Place{Listen: listen, Admin: admin, Data: t.folder()}, t.err)
			if err != nil {
				return refused(err)
			}
			return p.Run(c.Context(), func() { t.ready(p, time.Since(began)) })
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:7300", "address of the API")
	c.Flags().StringVar(&admin, "admin-listen", "127.0.0.1:7301", "address of the admin API and /metrics")
	return c
}

// readyLine is what --json prints when requests are answered.
type readyLine struct {
	Ready    bool     `json:"ready"`
	BaseURL  string   `json:"base_url"`
	Key      string   `json:"key,omitempty"`
	Admin    string   `json:"admin"`
	Data     string   `json:"data"`
	Models   []string `json:"models"`
	Version  string   `json:"version"`
	PID      int      `json:"pid"`
	ReadyIn  float64  `json:"ready_ms"`
	Engines  []string `json:"engines"`
	Provided []string `json:"providers"`
}

func (t *terminal) ready(p *app.App, took time.Duration) {
	found := p.Found()
	line := readyLine{
		Ready: true, BaseURL: p.BaseURL(), Key: p.LocalKey(), Admin: p.AdminURL(), Data: p.Config().Data,
		Models: []string{}, Version: app.Version, PID: p.PID(), ReadyIn: float64(took.Microseconds()) / 1e3,
		Engines: []string{}, Provided: []string{},
	}
	for _, m := range p.Status().Models {
		line.Models = append(line.Models, m.Name)
	}
	var engines []string
	for _, e := range found.Engines {
		switch {
		case len(e.Models) > 0:
			engines = append(engines, fmt.Sprintf("%s at %s (%s): %s", e.Name, e.URL, count(len(e.Models), "model"), strings.Join(first(e.Models, 5), ", ")))
			line.Engines = append(line.Engines, e.Name)
		case e.Note != "":
			engines = append(engines, fmt.Sprintf("%s at %s: %s", e.Name, e.URL, e.Note))
		}
	}
	for _, pr := range found.Providers {
		engines = append(engines, fmt.Sprintf("%s: %s/* on request; nothing was sent yet", pr.Env, pr.Name))
		line.Provided = append(line.Provided, pr.Name)
	}
	// A terminal that is gone is no reason not to serve.
	_ = t.print(line, func(w io.Writer) {
		fmt.Fprintf(w, "headworks %s   one process, data in %s   ready in %d ms\n", app.Version, line.Data, took.Milliseconds())
		places, variables := app.LookedFor()
		fmt.Fprintf(w, " looked for  %s\n", strings.Join(places, "  "))
		fmt.Fprintf(w, "             %s\n", strings.Join(first(variables, 5), "  "))
		if len(engines) == 0 {
			engines = []string{"none of them"}
		}
		for _, e := range engines {
			fmt.Fprintf(w, " found       %s\n", e)
		}
		label := "models"
		if found.Default != "" {
			fmt.Fprintf(w, " models      %-24s %s\n", "assistant", found.Default)
			label = "      "
		}
		fmt.Fprintf(w, " %s      %-24s simulated: real timing and load, canned words\n", label, "demo-small, demo-large")
		fmt.Fprintf(w, "             %-24s word for word from documents, with the source named\n", "local-extract")
		fmt.Fprintf(w, "             %-24s vectors and ranks from the words alone: lexical, no neural model\n", "local-embed")
		fmt.Fprintf(w, " api         %s    key %s   (kept in local.key)\n", line.BaseURL, line.Key)
		fmt.Fprintf(w, " admin       %s    token in admin.token\n", line.Admin)
		if found.Default != "" {
			fmt.Fprintf(w, " try         headworks ask hello\n")
			fmt.Fprintf(w, "             headworks ask --model local-extract \"how do I add a real model?\"\n")
		} else {
			fmt.Fprintf(w, " try         headworks ask \"how do I add a real model?\"\n")
		}
		fmt.Fprintf(w, "             curl -N %s/chat/completions -H \"Authorization: Bearer %s\" \\\n", line.BaseURL, line.Key)
		fmt.Fprintf(w, "               --json '{\"model\":\"demo-small\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'\n")
		fmt.Fprintf(w, "             headworks connect              Claude Code, Codex, OpenCode, ...\n")
		fmt.Fprintf(w, "             headworks sim run --requests 100000 --seed 1\n")
	})
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func first(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(names[:n:n], fmt.Sprintf("and %d more", len(names)-n))
}

func newServeCommand(t *terminal) *cobra.Command {
	var file, listen, admin string
	c := &cobra.Command{
		Use:     "serve",
		Short:   "Start with a configuration",
		Long:    "Serves what the file says. SIGHUP, a change of the file and the admin API reload it;\na file with a problem changes nothing.",
		Example: "  headworks serve --config headworks.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			began := time.Now()
			p, warnings, err := app.Serve(file, app.Place{Listen: listen, Admin: admin, Data: t.data}, t.err)
			if err != nil {
				return refused(err)
			}
			if warnings != "" {
				fmt.Fprint(t.err, warnings)
			}
			ctx, stop := context.WithCancel(c.Context())
			defer stop()
			onHangup(ctx, func() { _, _ = p.Reload(ctx) }) // says in the log what is wrong
			return p.Run(c.Context(), func() {
				// As for up: a terminal that is gone is no reason not to serve.
				_ = t.print(readyLine{
					Ready: true, BaseURL: p.BaseURL(), Admin: p.AdminURL(), Data: p.Config().Data, Models: modelNames(p),
					Version: app.Version, PID: p.PID(), ReadyIn: float64(time.Since(began).Microseconds()) / 1e3, Engines: []string{}, Provided: []string{},
				}, func(w io.Writer) {
					data := p.Config().Data
					fmt.Fprintf(w, "headworks %s   serving %s   ready in %d ms\n", app.Version, file, time.Since(began).Milliseconds())
					fmt.Fprintf(w, " models      %s\n", strings.Join(first(modelNames(p), 8), ", "))
					fmt.Fprintf(w, " api         %s\n", p.BaseURL())
					fmt.Fprintf(w, " admin       %s    token in %s/admin.token\n", p.AdminURL(), data)
					fmt.Fprintf(w, " commands    headworks status --data %s\n", data)
					if p.NoKeys() {
						fmt.Fprintf(w, " no keys     nobody can call yet: headworks keys create NAME --data %s\n", data)
					}
				})
			})
		},
	}
	c.Flags().StringVar(&file, "config", "headworks.yaml", "the configuration file")
	c.Flags().StringVar(&listen, "listen", "", "address of the API, in the file's stead")
	c.Flags().StringVar(&admin, "admin-listen", "", "address of the admin API, in the file's stead")
	return c
}

// refused gives what keeps an instance from starting its exit code.
func refused(err error) error {
	switch {
	case errors.Is(err, app.ErrConfig):
		return &exit{exitConfig, err}
	case errors.Is(err, app.ErrAddress):
		return &exit{exitUsage, err}
	default:
		return err
	}
}

func modelNames(p *app.App) []string {
	names := []string{}
	for _, m := range p.Status().Models {
		names = append(names, m.Name)
	}
	return names
}
