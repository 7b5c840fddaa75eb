package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/app"
)

func newConfigCommand(t *terminal) *cobra.Command {
	return group("config", "Write, check and explain a configuration",
		newConfigInitCommand(t), newConfigValidateCommand(t), newConfigExplainCommand(t),
		newConfigSchemaCommand(t), newConfigDiffCommand(t))
}

// fileOr returns the file that the arguments name, or the usual one.
func fileOr(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return app.ConfigFile
}

func newConfigInitCommand(t *terminal) *cobra.Command {
	var force, dry bool
	c := &cobra.Command{
		Use: "init [FILE]", Short: "Write a commented file to begin with, and its schema", Args: cobra.MaximumNArgs(1),
		Long:    "Writes a file that is valid as it stands, and headworks.schema.json beside it, which\neditors complete it from. A file that is there is left alone.",
		Example: "  headworks config init\n  headworks config init --dry-run",
		RunE: func(_ *cobra.Command, args []string) error {
			if dry {
				return t.print(map[string]string{"file": fileOr(args), "content": string(app.FirstConfig())}, func(w io.Writer) { _, _ = w.Write(app.FirstConfig()) })
			}
			wrote, err := app.WriteConfig(fileOr(args), force)
			if err != nil {
				return err
			}
			return t.print(map[string][]string{"wrote": wrote}, func(w io.Writer) {
				fmt.Fprintln(w, "wrote "+strings.Join(wrote, " and "))
				fmt.Fprintf(w, "next  headworks config validate %s\n      headworks serve --config %s\n", wrote[0], wrote[0])
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "overwrite a file that is there")
	c.Flags().BoolVar(&dry, "dry-run", false, "print the file and write nothing")
	return c
}

func newConfigValidateCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "validate [FILE]", Short: "Check a file, and list everything that is wrong with it", Args: cobra.MaximumNArgs(1),
		Long:    "Reads the file as serve does, references to the environment and to files included,\nand lists all problems at once. Nothing is started and nobody is called.",
		Example: "  headworks config validate headworks.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			c, report := app.CheckConfig(fileOr(args))
			failed, warned := report.Errors()
			verdict := map[string]any{"valid": report.OK(), "file": report.File, "errors": failed, "warnings": warned, "problems": report.Problems}
			if report.Problems == nil {
				verdict["problems"] = []string{}
			}
			if c != nil {
				verdict["config"] = c.Fingerprint()
			}
			fmt.Fprint(t.err, report.Text(""))
			err := t.print(verdict, func(w io.Writer) {
				if c == nil {
					return
				}
				n := c.Counts()
				fmt.Fprintf(w, "%s  valid (%s): %s, %s, %s, %s\n", report.File, c.Fingerprint(),
					count(n.Upstreams, "upstream"), count(n.Models, "model"), count(n.Keys, "key"), count(warned, "warning"))
			})
			if err == nil && !report.OK() {
				return &exit{exitConfig, fmt.Errorf("%s is not valid: %s", report.File, count(failed, "problem"))}
			}
			return err
		},
	}
}

func newConfigExplainCommand(t *terminal) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "explain [PATH]", Short: "Tell what a setting is, and where that comes from", Args: cobra.MaximumNArgs(1),
		Long:    "Lists the settings at a path and below it, with file, line and column, the date of\nthe model card, or default.\nSecrets are told by their reference.",
		Example: "  headworks config explain models.assistant.timeouts\n  headworks config explain 'keys[0]'",
		RunE: func(_ *cobra.Command, args []string) error {
			c, report := app.CheckConfig(file)
			if c == nil {
				return &exit{exitConfig, errors.New(report.Text(""))}
			}
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			values, err := app.ExplainConfig(c, path)
			if err != nil {
				return &exit{exitUsage, err}
			}
			return t.print(map[string]any{"file": file, "path": path, "values": values}, func(w io.Writer) {
				var rows [][]string
				for _, v := range values {
					origin := v.Origin
					if v.From != "" {
						origin += ", from " + v.From
					}
					name := v.Path
					if below, ok := strings.CutPrefix(name, path); ok && below != "" {
						name = strings.TrimPrefix(below, ".")
					}
					rows = append(rows, []string{name, v.Value, origin})
				}
				table(w, rows...)
			})
		},
	}
	c.Flags().StringVar(&file, "config", app.ConfigFile, "the configuration file")
	return c
}

func newConfigSchemaCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of a configuration", Args: cobra.NoArgs,
		Example: "  headworks config schema > headworks.schema.json",
		RunE: func(*cobra.Command, []string) error {
			return t.print(json.RawMessage(app.ConfigSchema()), func(w io.Writer) { _, _ = w.Write(app.ConfigSchema()) })
		},
	}
}

func newConfigDiffCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "diff OLD NEW", Short: "Compare two files: what a reload would change", Args: cobra.ExactArgs(2),
		Long:    "Compares what two files mean, not how they are written: defaults and references count,\ncomments and order do not.",
		Example: "  headworks config diff headworks.yaml next.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			was, report := app.CheckConfig(args[0])
			if was == nil {
				return &exit{exitConfig, errors.New(report.Text(""))}
			}
			now, report := app.CheckConfig(args[1])
			if now == nil {
				return &exit{exitConfig, errors.New(report.Text(""))}
			}
			changes, words, restart := app.CompareConfigs(was, now)
			return t.print(map[string]any{"changes": changes, "summary": words, "restart": restart}, func(w io.Writer) {
				for _, s := range words {
					fmt.Fprintln(w, s)
				}
				var rows [][]string
				for _, c := range changes {
					if c.Was != "" && c.Now != "" { // what came or went is told by its name
						rows = append(rows, []string{"  " + c.Path, c.Was, "->", c.Now})
					}
				}
				table(w, rows...)
				if len(restart) > 0 {
					fmt.Fprintln(w, "needs a restart: "+strings.Join(restart, ", "))
				}
			})
		},
	}
}
