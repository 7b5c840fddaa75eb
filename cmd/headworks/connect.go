package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"headworks/internal/api/admin"
	"headworks/internal/client"
	"headworks/internal/connect"
)

// aKey stands where a key will be, as long as there is none.
const aKey = "hw_..."

func newConnectCommand(t *terminal) *cobra.Command {
	var o connection
	c := &cobra.Command{
		Use: "connect [CLIENT]", Short: "Point an application at the running instance; without a name, list those that are known",
		Long: "Shows what changes in the application's settings, asks, makes a key of its own for it,\n" +
			"and writes. Only files in your home are changed, and --undo brings back what was there.\n" +
			"Where an application has no file to write, the lines to paste are shown.",
		Example: "  headworks connect\n  headworks connect claude-code\n  headworks connect codex --print\n  headworks connect codex --undo\n  eval \"$(headworks connect env --yes)\"",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			home, err := connect.NewHome()
			if err != nil {
				return err
			}
			if len(args) == 0 && o != (connection{}) {
				return &exit{exitUsage, errors.New("which client? headworks connect lists them")}
			}
			if len(args) == 0 {
				return t.listClients(home)
			}
			known, ok := connect.Find(args[0])
			if !ok {
				var names []string
				for _, k := range connect.Clients() {
					names = append(names, k.Name)
				}
				return &exit{exitUsage, fmt.Errorf("no client is called %q%s; headworks connect lists them", args[0], meant("", args[0], names))}
			}
			if o.undo {
				return t.disconnect(c.Context(), home, known, o)
			}
			return t.connect(c.Context(), home, known, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.model, "model", "", "the model the application asks for")
	f.StringVar(&o.url, "url", "", "where the application reaches the instance, such as https://llm.example.com")
	f.BoolVar(&o.print, "print", false, "show what would change, and change nothing")
	f.BoolVar(&o.undo, "undo", false, "bring back the files as they were, and revoke the key")
	f.BoolVar(&o.rotate, "rotate", false, "replace the application's key by a new one")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	return c
}

// connection is what the flags of connect say.
type connection struct {
	model, url               string
	print, undo, rotate, yes bool
}

// listedClient is a client in the list.
type listedClient struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Installed bool   `json:"installed"`
	Connected bool   `json:"connected"`
	Changes   string `json:"changes"` // a file in the home, or what is pasted
	Checked   string `json:"checked"`
}

func (t *terminal) listClients(home connect.Home) error {
	var list []listedClient
	for _, k := range connect.Clients() {
		l := listedClient{Name: k.Name, Title: k.Title, Installed: home.Installed(&k), Connected: home.Connected(k.Name), Changes: "lines to paste", Checked: k.Checked}
		if path := home.File(&k); path != "" {
			l.Changes = home.Show(path)
		}
		list = append(list, l)
	}
	return t.print(map[string][]listedClient{"clients": list}, func(w io.Writer) {
		var rows [][]string
		for _, l := range list {
			note := ""
			switch {
			case l.Connected:
				note = "connected"
			case l.Installed:
				note = "installed"
			}
			rows = append(rows, []string{l.Name, l.Title, l.Changes, note})
		}
		table(w, append([][]string{{"CLIENT", "NAME", "CHANGES", "NOTE"}}, rows...)...)
		fmt.Fprintln(t.err, "\nheadworks connect CLIENT shows what it would change, and asks")
	})
}

// connected is what connecting came to.
type connected struct {
	Client   string          `json:"client"`
	URL      string          `json:"url"`
	Model    string          `json:"model,omitempty"`
	Files    []connectedFile `json:"files"`
	Lines    string          `json:"lines,omitempty"` // to run or to paste; with the key, once there is one
	Check    string          `json:"check,omitempty"`
	Mind     []string        `json:"mind"`
	Refused  []string        `json:"refused,omitempty"`
	Key      string          `json:"key_name,omitempty"`
	KeyState string          `json:"key_state,omitempty"` // made, kept, rotated
	Written  bool            `json:"written"`
	Why      string          `json:"why_not,omitempty"`
}

type connectedFile struct {
	Path string `json:"path"`
	Diff string `json:"diff"`
}

// secrets are our keys, which are shown when they are made and not again.
var secrets = regexp.MustCompile(`hw_[a-z0-9]+_[a-z2-7]+_[0-9a-f]+`)

func shownFile(home connect.Home, c *connect.Change) connectedFile {
	name := home.Show(c.Path)
	return connectedFile{name, connect.Diff(name, secrets.ReplaceAllString(c.Was, aKey), secrets.ReplaceAllString(c.Is, aKey))}
}

func (t *terminal) connect(ctx context.Context, home connect.Home, known connect.Client, o connection) error {
	a, err := t.instance()
	if err != nil {
		return err
	}
	s, err := a.Status(ctx)
	if err != nil {
		return err
	}
	with, err := o.with(s, known)
	if err != nil {
		return err
	}
	plan, err := home.Plan(known, with)
	if err != nil {
		return err
	}
	r := connected{Client: known.Name, URL: with.URL, Model: with.Model, Mind: append([]string{}, plan.Mind...), Refused: plan.Refused, Check: plan.Check, Lines: plan.Lines, Files: []connectedFile{}}
	for _, ch := range plan.Changes {
		r.Files = append(r.Files, shownFile(home, &ch))
	}
	files := len(plan.Changes) > 0
	if !t.json && files {
		for _, f := range r.Files {
			fmt.Fprint(t.out, t.tint(f.Diff))
		}
	}
	for _, why := range plan.Refused {
		fmt.Fprintln(t.err, "not edited: "+why+"; paste the lines below")
	}
	for _, m := range plan.Mind {
		fmt.Fprintln(t.err, "mind: "+m)
	}
	switch {
	case o.print:
		r.Why = "--print"
	case !o.yes && !t.asks():
		r.Why = "nobody to ask; --yes goes ahead"
	case !o.yes:
		question := "make the key " + known.Key() + "?"
		if files {
			question = "write this, with the key " + known.Key() + " in place of " + aKey + "?"
		}
		if !t.agreed(question) {
			r.Why = "you said no"
		}
	}
	if r.Why == "" {
		secret, state, err := t.clientKey(ctx, a, known.Key(), o)
		if err != nil {
			return err
		}
		with.Key, r.Key, r.KeyState = secret, known.Key(), state
		if plan, err = home.Plan(known, with); err != nil {
			return err
		}
		if err := home.Apply(&plan, time.Now()); err != nil {
			return err
		}
		r.Lines, r.Check, r.Written = plan.Lines, plan.Check, true
	}
	return t.print(r, func(w io.Writer) {
		fmt.Fprint(w, r.Lines)
		switch {
		case r.Written && files:
			fmt.Fprintf(t.err, "written: %s; key %s %s; headworks connect %s --undo brings the old file back\n", paths(r.Files), r.Key, r.KeyState, r.Client)
		case r.Written:
			fmt.Fprintf(t.err, "key %s %s; headworks keys revoke %s ends it\n", r.Key, r.KeyState, r.Key)
		default:
			fmt.Fprintf(t.err, "nothing was written (%s); %s stands for the key\n", r.Why, aKey)
		}
		if r.Check != "" {
			fmt.Fprintln(t.err, "check: "+r.Check)
		}
	})
}

func paths(files []connectedFile) string {
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	return strings.Join(names, ", ")
}

// with returns what a client is told of an instance.
func (o *connection) with(s admin.Status, known connect.Client) (connect.With, error) {
	base := strings.TrimSuffix(strings.TrimRight(cmp.Or(o.url, s.BaseURL), "/"), "/v1")
	if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
		return connect.With{}, &exit{exitUsage, fmt.Errorf("--url %s is no URL such as https://llm.example.com", o.url)}
	}
	w := connect.With{URL: base, Key: aKey, Model: o.model}
	if o.model == "" {
		if known.Messages && slices.ContainsFunc(s.Models, func(m admin.Model) bool { return strings.HasPrefix(m.Name, "claude") }) {
			return w, nil // it asks by names that exist
		}
		w.Model = reallyServed(s)
	}
	i := slices.IndexFunc(s.Models, func(m admin.Model) bool { return m.Name == w.Model })
	upstream, _, direct := strings.Cut(w.Model, "/")
	direct = direct && slices.ContainsFunc(s.Upstreams, func(u admin.Upstream) bool { return u.Name == upstream })
	switch {
	case i >= 0:
		w.Window, w.Simulated = s.Models[i].Window, s.Models[i].Simulated
	case !direct:
		var names []string
		for _, m := range s.Models {
			names = append(names, m.Name)
		}
		return w, &exit{exitUsage, fmt.Errorf("no model is called %q%s; headworks models lists them", w.Model, meant("", w.Model, names))}
	}
	return w, nil
}

// reallyServed returns the model that an application asks for where none is named: one
// that an engine serves, if there is any.
func reallyServed(s admin.Status) string {
	builtIn := map[string]bool{}
	for _, u := range s.Upstreams {
		builtIn[u.Name] = u.Simulated || u.Kind == "local-extract" || u.Kind == "local-embed"
	}
	chats := func(m admin.Model) bool { return slices.Contains(m.Does, "chat") }
	served := func(m admin.Model) bool {
		return chats(m) && slices.ContainsFunc(m.Targets, func(target string) bool {
			upstream, _, _ := strings.Cut(target, "/")
			return !builtIn[upstream]
		})
	}
	for _, want := range []func(admin.Model) bool{
		func(m admin.Model) bool { return m.Name == "assistant" && chats(m) },
		served,
		func(m admin.Model) bool { return m.Simulated },
	} {
		if i := slices.IndexFunc(s.Models, want); i >= 0 {
			return s.Models[i].Name
		}
	}
	return usual(s.Models)
}

// clientKey returns the key of an application: the one that is kept, if the
// instance still takes it, else a new one. Secrets are shown once, so a live key
// whose secret is not kept here can only be replaced.
func (t *terminal) clientKey(ctx context.Context, a *client.Admin, name string, o connection) (secret, state string, err error) {
	keys, err := a.Keys(ctx)
	if err != nil {
		return "", "", err
	}
	file := filepath.Join(t.folder(), "connect", name+".key")
	state = "made"
	if i := slices.IndexFunc(keys, func(k admin.Key) bool { return k.Name == name && k.Revoked.IsZero() }); i >= 0 {
		live := keyState(keys[i]) == "live"
		if secret, id := kept(file); id == keys[i].ID && live && !o.rotate {
			return secret, "kept", nil
		}
		if live && !o.rotate && (o.yes || !t.agreed("there is a key "+name+" whose secret is not kept here; replace it?")) {
			return "", "", fmt.Errorf("there is a key %s already, and its secret is not kept in %s; --rotate replaces it, and what uses it stops working", name, t.folder())
		}
		if _, err := a.RevokeKey(ctx, keys[i].ID); err != nil {
			return "", "", err
		}
		state = "rotated"
	}
	made, err := a.CreateKey(ctx, admin.NewKey{Name: name})
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", "", err
	}
	return made.Secret, state, os.WriteFile(file, []byte(made.Secret+"\n"), 0o600)
}

func (t *terminal) disconnect(ctx context.Context, home connect.Home, known connect.Client, o connection) error {
	r, err := home.Undo(known.Name)
	if err != nil && !errors.Is(err, connect.ErrNothing) {
		return err
	}
	nothing := err
	files := []connectedFile{}
	for _, c := range r.Changes {
		f := shownFile(home, &c)
		files = append(files, f)
		if !t.json {
			fmt.Fprint(t.out, t.tint(f.Diff))
		}
	}
	for _, path := range r.Edited {
		fmt.Fprintf(t.err, "mind: %s was changed since it was connected; what was changed goes too, as shown above\n", home.Show(path))
	}
	why := ""
	switch {
	case o.print:
		why = "--print"
	case nothing != nil || o.yes || len(r.Edited) == 0 && !t.asks():
	case !t.asks():
		return fmt.Errorf("%s was changed since it was connected; --yes brings the old file back all the same", home.Show(r.Edited[0]))
	case !t.agreed("bring the old file back?"):
		why = "you said no"
	}
	key := ""
	if why == "" {
		if nothing == nil {
			if err := home.Restore(&r); err != nil {
				return err
			}
		}
		if key, err = t.endKey(ctx, known.Key()); err != nil {
			return err
		}
		if nothing != nil && key == "" {
			return nothing
		}
	}
	return t.print(map[string]any{"client": known.Name, "files": files, "restored": why == "" && nothing == nil, "why_not": why, "key": key}, func(io.Writer) {
		switch {
		case why != "":
			fmt.Fprintf(t.err, "nothing was written (%s)\n", why)
		case nothing == nil:
			fmt.Fprintf(t.err, "restored: %s\n", paths(files))
		}
		if key != "" {
			fmt.Fprintln(t.err, key)
		}
	})
}

// endKey revokes the key of an application that no longer uses it, and says what
// came of it; nothing if there was none.
func (t *terminal) endKey(ctx context.Context, name string) (string, error) {
	file := filepath.Join(t.folder(), "connect", name+".key")
	a, err := t.instance()
	if err == nil {
		_, err = a.RevokeKey(ctx, name)
	}
	refused, answered := errors.AsType[*client.Error](err)
	switch {
	case err == nil:
		return "key " + name + " revoked", os.Remove(file)
	case answered && refused.Status == 404:
		_ = os.Remove(file) // it may not be there
		return "", nil
	case errors.Is(err, client.ErrAbsent):
		if _, id := kept(file); id == "" {
			return "", nil
		}
		return "no instance is running, so its key stays valid: headworks keys revoke " + name, nil
	default:
		return "", err
	}
}

// asks reports whether somebody is there to answer a question.
func (t *terminal) asks() bool {
	in, ok := t.in.(*os.File)
	errs, alsoOK := t.err.(*os.File)
	return ok && alsoOK && !t.json && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(errs.Fd()))
}

// agreed asks a question that is answered by yes or no. Nobody there is a no.
func (t *terminal) agreed(question string) bool {
	if !t.asks() {
		return false
	}
	fmt.Fprint(t.err, question+" [y/N] ")
	line, _ := bufio.NewReader(t.in).ReadString('\n') // no line is a no
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line)))
}

// tint colours a diff, on terminals that have colours. Its signs say the same.
func (t *terminal) tint(diff string) string {
	if !t.colors() {
		return diff
	}
	var b strings.Builder
	for line := range strings.Lines(diff) {
		color := map[byte]string{'+': "\x1b[32m", '-': "\x1b[31m", '@': "\x1b[36m"}[line[0]]
		if color == "" {
			b.WriteString(line)
			continue
		}
		b.WriteString(color + strings.TrimSuffix(line, "\n") + "\x1b[0m\n")
	}
	return b.String()
}
