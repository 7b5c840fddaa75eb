package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"headworks/internal/app"
)

// The exit codes, as docs/reference/cli.md lists them.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitUnhealthy = 3
	exitConfig    = 4
)

// exit is an error with an exit code of its own.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// terminal is what commands read from, write to, and are told on every line.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	json     bool   // exactly one line of JSON on out
	told     bool   // and it was written
	admin    string // URL of the admin API; empty for the one the data folder names
	data     string // data folder; empty for the usual one
}

// run is the program: it returns the exit code. A first SIGINT or SIGTERM ends
// the command's context, a second one the process.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from now on signals have their usual effect
	t := &terminal{in: in, out: out, err: errs}
	root := newRootCommand(t)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	if e, ok := errors.AsType[*exit](err); ok {
		code = e.code
	}
	if t.json && !t.told {
		// The promise is one line, also of a failure; on stderr stands the same for people.
		_ = t.print(map[string]map[string]string{"error": {"message": err.Error()}}, nil)
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(errs, "headworks: "+strings.TrimSuffix(text, "\n"))
	}
	return code
}

func newRootCommand(t *terminal) *cobra.Command {
	c := &cobra.Command{
		Use:           "headworks",
		Short:         "One program between your applications and the engines that run models",
		Long:          "Headworks routes requests to models, never passes a cut answer off as a whole one,\nand simulates your load with the code that serves it.",
		Example:       "  headworks up\n  headworks ask \"how do I add a real model?\"",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
			err = fmt.Errorf("%w%s", err, meant("--", e.GetSpecifiedName(), names))
		}
		return &exit{exitUsage, fmt.Errorf("%w; %s --help shows the flags", err, c.CommandPath())}
	})
	p := c.PersistentFlags()
	p.BoolVar(&t.json, "json", false, "write exactly one line of JSON to stdout")
	p.StringVar(&t.admin, "admin", os.Getenv("HEADWORKS_ADMIN"), "URL of a running instance's admin API (HEADWORKS_ADMIN)")
	p.StringVar(&t.data, "data", os.Getenv("HEADWORKS_DATA"), "data folder (HEADWORKS_DATA)")
	c.AddCommand(
		newUpCommand(t),
		newServeCommand(t),
		newAskCommand(t),
		newChatCommand(t),
		newConnectCommand(t),
		newExplainCommand(t),
		newKeysCommand(t),
		newModelsCommand(t),
		newStatusCommand(t),
		newTopCommand(t),
		newRequestsCommand(t),
		newReloadCommand(t),
		newDoctorCommand(t),
		newAlertsCommand(t),
		newIncidentCommand(t),
		newCanaryCommand(t),
		newDrainCommand(t),
		newUndrainCommand(t),
		newCacheCommand(t),
		newConfigCommand(t),
		newImportCommand(t),
		newSimCommand(t),
		newEvalCommand(t),
		newKnowledgeCommand(t),
		newDocsCommand(t),
		newVersionCommand(t),
	)
	for _, each := range c.Commands() {
		wrap(each)
	}
	return c
}

// wrap makes wrong arguments a usage error, in all commands below c.
func wrap(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if _, known := errors.AsType[*exit](err); err != nil && !known {
				return &exit{exitUsage, fmt.Errorf("%w; %s --help shows how", err, c.CommandPath())}
			}
			return err
		}
	}
	for _, each := range c.Commands() {
		wrap(each)
	}
}

// group returns a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noCommand, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(below...)
	return c
}

// noCommand refuses what stands where the name of a command should: whatever is
// left at a command that only has others below it is no name of them.
func noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, each := range c.Commands() {
		names = append(names, each.Name())
	}
	return &exit{exitUsage, fmt.Errorf("unknown command %q%s; %s --help lists the commands", args[0], meant("", args[0], names), c.CommandPath())}
}

// meant asks whether a word was meant to be one of the names.
func meant(before, word string, names []string) string {
	if n := app.Nearest(word, names); n != "" {
		return fmt.Sprintf(", did you mean %q?", before+n)
	}
	return ""
}

// print writes v as one line of JSON, if that is asked for, and otherwise what
// text writes.
func (t *terminal) print(v any, text func(w io.Writer)) error {
	if !t.json {
		var b strings.Builder
		text(&b)
		_, err := io.WriteString(t.out, b.String())
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	t.told = true
	_, err = fmt.Fprintf(t.out, "%s\n", b)
	return err
}

// folder returns the data folder of up: the one that was named, or the user's.
func (t *terminal) folder() string {
	if t.data != "" {
		return t.data
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "headworks")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "data"
	}
	return filepath.Join(home, ".local", "share", "headworks")
}

// colors reports whether out is a terminal that wants colours.
func (t *terminal) colors() bool {
	f, ok := t.out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

func (t *terminal) grey(s string) string {
	if !t.colors() {
		return s
	}
	return "\x1b[90m" + s + "\x1b[0m"
}

func newVersionCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return t.print(map[string]string{"version": app.Version}, func(w io.Writer) { fmt.Fprintln(w, "headworks", app.Version) })
		},
	}
}
