package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/app"
	"headworks/internal/catalog"
	"headworks/internal/litellm"
)

func newImportCommand(t *terminal) *cobra.Command {
	c := &cobra.Command{
		Use: "import", Short: "Make a configuration of what another program has",
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newImportLiteLLMCommand(t))
	return c
}

func newImportLiteLLMCommand(t *terminal) *cobra.Command {
	var out string
	var force bool
	c := &cobra.Command{
		Use: "litellm FILE", Short: "Make a configuration of LiteLLM's config.yaml",
		Long: "Reads the configuration of LiteLLM's proxy, writes one of Headworks, and says line by\n" +
			"line what it could not carry and why. References to the environment stay references;\n" +
			"no variable is read, and no secret is copied.",
		Example: "  headworks import litellm config.yaml\n  headworks import litellm config.yaml -o - | less",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return t.importLiteLLM(args[0], out, force)
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", app.ConfigFile, "the file to write; - is stdout")
	f.BoolVar(&force, "force", false, "overwrite a file that is there")
	return c
}

// mostConfig bounds a configuration that is read.
const mostConfig = 4 << 20

// imported is what became of a configuration.
type imported struct {
	Written   string         `json:"written"`
	Upstreams int            `json:"upstreams"`
	Models    int            `json:"models"`
	Skipped   int            `json:"skipped"`
	Notes     []litellm.Note `json:"notes"`
	Variables []string       `json:"variables"` // that the file refers to
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func (t *terminal) importLiteLLM(from, to string, force bool) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, mostConfig+1))
	switch {
	case err != nil:
		return err
	case len(src) > mostConfig:
		return fmt.Errorf("%s has more than %d MiB", from, mostConfig>>20)
	case to == "-" && t.json:
		return &exit{exitUsage, errors.New("with --json the configuration needs a file: -o FILE")}
	}
	known := func(kind string) bool { _, ok := catalog.Find(kind); return ok }
	made, c, err := litellm.Import(src, known)
	tell := func() {
		for _, n := range c.Notes {
			fmt.Fprintf(t.err, "%s:%d  %s: %s\n", from, n.Line, n.Path, n.Words)
		}
	}
	if err != nil {
		tell()
		return fmt.Errorf("%s: %w", from, err)
	}
	if to == "-" {
		tell()
		_, err := t.out.Write(made)
		return err
	}
	if err := writeNew(to, made, force); err != nil {
		return err
	}
	r := imported{Written: to, Upstreams: c.Upstreams, Models: c.Models, Skipped: c.Skipped, Notes: c.Notes, Variables: []string{}}
	if r.Notes == nil {
		r.Notes = []litellm.Note{}
	}
	for _, v := range variable.FindAllStringSubmatch(string(made), -1) {
		if !slices.Contains(r.Variables, v[1]) {
			r.Variables = append(r.Variables, v[1])
		}
	}
	return t.print(r, func(w io.Writer) {
		tell()
		fmt.Fprintf(w, "%s: %s, %s; %s left out\n", to, count(r.Upstreams, "upstream"), count(r.Models, "model"), count(r.Skipped, "deployment"))
		if len(r.Variables) > 0 {
			fmt.Fprintf(t.err, "it refers to %s\n", strings.Join(r.Variables, ", "))
		}
		fmt.Fprintf(t.err, "next: headworks config validate %s\n", to)
	})
}

// writeNew writes a file that is not there yet.
func writeNew(path string, b []byte, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !force {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if os.IsExist(err) {
		return fmt.Errorf("%s is there already; --force overwrites it, -o names another", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
