package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"headworks/internal/api/admin"
	"headworks/internal/app"
	"headworks/internal/client"
	"headworks/internal/identity"
)

func newAskCommand(t *terminal) *cobra.Command {
	var model, key string
	var stream bool
	c := &cobra.Command{
		Use:   "ask QUESTION",
		Short: "Print an answer from a running instance, or start one for the question",
		Long: "Asks the running instance as any client would. Without one, an instance is started\n" +
			"for the question alone. Without --model it asks assistant, if there is a real model,\n" +
			"and otherwise local-extract, which answers from the documentation word for word.",
		Example: "  headworks ask \"how do I add a real model?\"\n  headworks ask --model demo-small hello",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := t.instance()
			var s admin.Status
			if err == nil {
				s, err = a.Status(c.Context())
			}
			switch {
			case errors.Is(err, client.ErrAbsent) && t.admin == "":
				return t.askAlone(c.Context(), model, strings.Join(args, " "))
			case err != nil:
				return err
			}
			if key == "" {
				if key, err = t.ownKey(c.Context(), a); err != nil {
					return err
				}
			}
			return t.ask(c.Context(), s, key, model, strings.Join(args, " "))
		},
	}
	f := c.Flags()
	f.StringVar(&model, "model", "", "the model to ask")
	f.StringVar(&key, "key", os.Getenv("HEADWORKS_KEY"), "the key to ask with (HEADWORKS_KEY)")
	f.BoolVar(&stream, "stream", true, "print the answer as it comes")
	_ = f.MarkHidden("stream") // every answer is printed as it comes
	return c
}

// askFile keeps the key that ask made for itself on an instance that has no
// local one.
const askFile = "ask.key"

// kept returns the secret that a file holds, and the id of its key; nothing where
// there is no file. A text that somebody chose has no id.
func kept(file string) (secret, id string) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", ""
	}
	secret = strings.TrimSpace(string(b))
	id, err = identity.ParseKey(secret)
	if err != nil {
		return secret, ""
	}
	return secret, id
}

// ownKey returns a key in the data folder that the instance knows, or makes one
// there: the files may be older than what it runs on.
func (t *terminal) ownKey(ctx context.Context, a *client.Admin) (string, error) {
	keys, err := a.Keys(ctx)
	if err != nil {
		return "", err
	}
	live := map[string]bool{}
	for _, k := range keys {
		live[k.ID] = keyState(k) == "live" || keyState(k) == "pinned"
	}
	for _, name := range []string{identity.LocalKeyFile, askFile} {
		key, id := kept(filepath.Join(t.folder(), name))
		if key != "" && id == "" && name == identity.LocalKeyFile {
			id = "local" // an operator chose the text
		}
		if live[id] {
			return key, nil
		}
	}
	made, err := a.CreateKey(ctx, admin.NewKey{Name: fmt.Sprintf("ask-%d", os.Getpid())})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(t.folder(), askFile), []byte(made.Secret+"\n"), 0o600); err != nil {
		fmt.Fprintf(t.err, "the next question needs another key, since this one cannot be kept: %v; headworks keys revoke %s ends it\n", err, made.ID)
	}
	return made.Secret, nil
}

// askAlone starts an instance for the question and ends it after the answer.
func (t *terminal) askAlone(ctx context.Context, model, question string) error {
	fmt.Fprintln(t.err, "no instance is running with its data in "+t.folder()+"; starting one for this question")
	p, err := app.Up(ctx, app.Place{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: t.folder()}, io.Discard)
	if err != nil {
		return err
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Run(ctx, func() { close(ready) }) }()
	select {
	case err := <-ended:
		return err
	case <-ready:
	}
	err = t.ask(ctx, p.Status(), p.LocalKey(), model, question)
	p.Drain()
	return errors.Join(err, <-ended)
}

func (t *terminal) ask(ctx context.Context, s admin.Status, key, model, question string) error {
	if model == "" {
		model = usual(s.Models)
	}
	say := func(text string) { fmt.Fprint(t.out, text) }
	if t.json {
		say = func(string) {}
	}
	r, err := client.API{BaseURL: s.BaseURL, Certificate: s.Cert, Key: key}.Ask(ctx, model, question, say)
	if err != nil && r.Error == nil {
		r.Error = &client.ReplyFail{Type: "client_error", Message: err.Error()}
	}
	err = t.print(r, func(w io.Writer) {
		if r.Answer == "" && r.Error != nil {
			return
		}
		if r.Answer != "" && !strings.HasSuffix(r.Answer, "\n") {
			fmt.Fprintln(w)
		}
		note := ""
		if r.Simulated {
			note = "  simulated"
		}
		if strings.HasPrefix(r.Cache, "hit; tier=exact") {
			note += "  exact cache"
		}
		fmt.Fprintln(t.err, t.grey(fmt.Sprintf("%s%s  %d tokens  first %.0f ms  total %.0f ms  %s", r.Model, note, r.Output, r.TTFT, r.Total, r.RequestID)))
	})
	if err == nil && r.Error != nil {
		return r.Error
	}
	return err
}

// usual returns the model that is asked where none is named.
func usual(models []admin.Model) string {
	for _, want := range []string{"assistant", "local-extract"} {
		if slices.ContainsFunc(models, func(m admin.Model) bool { return m.Name == want }) {
			return want
		}
	}
	if len(models) > 0 {
		return models[0].Name
	}
	return "assistant"
}
