package main

import (
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestReferenceIsComplete compares docs/reference/cli.md with the commands, and
// with the flags that each has of its own, in both directions.
func TestReferenceIsComplete(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	commands, flags := map[string]bool{}, map[string]bool{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			visit(below)
		}
		if c.HasSubCommands() || c.Name() == "help" {
			return
		}
		path := strings.TrimPrefix(c.CommandPath(), "headworks ")
		commands[path] = true
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !f.Hidden {
				flags["--"+f.Name+" of "+path] = true
			}
		})
	}
	root := newRootCommand(&terminal{out: io.Discard, err: io.Discard})
	visit(root)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { flags["--"+f.Name+" of all"] = true })
	commands["completion"] = true // cobra adds it when it runs

	toldCommands, toldFlags := map[string]bool{}, map[string]bool{}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			if words, ok := strings.CutPrefix(m[1], "headworks "); ok {
				name := strings.TrimSpace(regexp.MustCompile(`[A-Z\[].*`).ReplaceAllString(words, ""))
				toldCommands[name] = true
			} else if name, ok := strings.CutPrefix(m[1], "--"); ok {
				name, _, _ = strings.Cut(name, " ")
				of := [][]string{{"", "all"}}
				if len(cells) > 4 {
					of = code.FindAllStringSubmatch(cells[2], -1)
				}
				for _, c := range of {
					toldFlags["--"+name+" of "+c[1]] = true
				}
			}
		}
	}
	for what, both := range map[string][2]map[string]bool{"command": {commands, toldCommands}, "flag": {flags, toldFlags}} {
		for _, name := range slices.Sorted(maps.Keys(both[0])) {
			if !both[1][name] {
				t.Errorf("the %s %s is not in the reference", what, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(both[1])) {
			if !both[0][name] {
				t.Errorf("the reference has a %s %s that does not exist", what, name)
			}
		}
	}
}
