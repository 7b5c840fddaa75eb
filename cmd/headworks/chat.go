package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"headworks/internal/api/admin"
	"headworks/internal/client"
)

func newChatCommand(t *terminal) *cobra.Command {
	var model, key, system string
	var lines bool
	c := &cobra.Command{
		Use: "chat", Short: "Talk with a model of the running instance",
		Long: "Each answer comes as it is made, and behind it stands who gave it, why, how long it\n" +
			"took and what it cost. Ctrl-C stops an answer, and leaves at the prompt. What does not\n" +
			"come from a terminal is one question.",
		Example: "  headworks chat\n  headworks chat --model demo-small\n  git diff | headworks chat --system \"Review this.\"",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := t.instance()
			if err != nil {
				return err
			}
			s, err := a.Status(c.Context())
			if err != nil {
				return err
			}
			if key == "" {
				if key, err = t.ownKey(c.Context(), a); err != nil {
					return err
				}
			}
			if model == "" {
				model = reallyServed(s)
			}
			talk := &talk{terminal: t, admin: a, status: s, key: key, model: model, system: system}
			in, ok := t.in.(*os.File)
			talk.prompts = ok && term.IsTerminal(int(in.Fd()))
			switch {
			case t.json && (talk.prompts || lines):
				return &exit{exitUsage, errors.New("--json is for one question, which comes by a pipe")}
			case talk.prompts || lines:
				return talk.hold(context.WithoutCancel(c.Context()))
			}
			return talk.once(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&model, "model", "", "the model to talk with")
	f.StringVar(&key, "key", os.Getenv("HEADWORKS_KEY"), "the key to ask with (HEADWORKS_KEY)")
	f.BoolVar(&lines, "lines", false, "what comes by a pipe is a conversation, a turn or a command a line")
	f.StringVar(&system, "system", "", "what the model is told before anything else")
	return c
}

// talk is a conversation.
type talk struct {
	*terminal
	admin  *client.Admin
	status admin.Status
	key    string
	model  string
	system string
	said   []client.Message

	prompts bool // somebody is there to see them
}

// mostQuestion bounds a question that is read from a pipe.
const mostQuestion = 8 << 20

// once answers the one question that stdin holds.
func (k *talk) once(ctx context.Context) error {
	b, err := io.ReadAll(io.LimitReader(k.in, mostQuestion+1))
	switch {
	case err != nil:
		return err
	case len(b) > mostQuestion:
		return fmt.Errorf("a question of more than %d MiB", mostQuestion>>20)
	case strings.TrimSpace(string(b)) == "":
		return &exit{exitUsage, errors.New("nothing to ask on stdin")}
	}
	r, err := k.ask(ctx, string(b))
	if err != nil {
		return err
	}
	if err := k.print(r, func(io.Writer) { k.note(ctx, r) }); err != nil {
		return err
	}
	if r.Error != nil {
		return r.Error
	}
	return nil
}

const chatHelp = `/model NAME   talk with another model; what was said stays
/models       the models there are
/system TEXT  what the model is told before anything else; without a text, nothing
/clear        begin anew
/quit         leave, as Ctrl-D does
A line that ends with \ goes on in the next. Ctrl-C stops an answer.
`

// hold keeps a conversation up with somebody at a terminal.
func (k *talk) hold(ctx context.Context) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	lines := make(chan string)
	go func() { // ends with the process: a read of a terminal cannot be called off
		defer close(lines)
		in := bufio.NewScanner(k.in)
		in.Buffer(nil, mostQuestion)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	show := func(words string) {
		if k.prompts {
			fmt.Fprint(k.err, words)
		}
	}
	show(k.grey("talking with "+k.model+"; /help says what else there is") + "\n")
	var question []string
	for {
		prompt := "> "
		if len(question) > 0 {
			prompt = "… "
		}
		show(prompt)
		var line string
		var ok bool
		select {
		case <-interrupts:
			show("\n")
			if len(question) == 0 {
				return nil
			}
			question = nil
			continue
		case line, ok = <-lines:
			if !ok {
				show("\n")
				return nil
			}
		}
		if more, goesOn := strings.CutSuffix(line, `\`); goesOn {
			question = append(question, more)
			continue
		}
		text := strings.TrimSpace(strings.Join(append(question, line), "\n"))
		first := len(question) == 0
		question = nil
		switch {
		case text == "":
			continue
		case first && strings.HasPrefix(text, "/"):
			if !k.command(text) {
				return nil
			}
			continue
		}
		k.answer(ctx, text, interrupts)
	}
}

// command does what a line that begins with a slash asks for; false to leave.
func (k *talk) command(line string) bool {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "/quit", "/exit", "/q":
		return false
	case "/help", "/?":
		fmt.Fprint(k.err, chatHelp)
	case "/clear":
		k.said = nil
	case "/system":
		k.system = rest
	case "/models":
		for _, m := range k.status.Models {
			if slices.Contains(m.Does, "chat") {
				note := ""
				if m.Simulated {
					note = "  simulated"
				}
				fmt.Fprintln(k.err, m.Name+k.grey(note))
			}
		}
	case "/model":
		var names []string
		for _, m := range k.status.Models {
			names = append(names, m.Name)
		}
		_, _, direct := strings.Cut(rest, "/")
		if rest == "" || !direct && !slices.Contains(names, rest) && rest != "auto" {
			fmt.Fprintf(k.err, "no model is called %q%s; /models lists them\n", rest, meant("", rest, names))
			return true
		}
		k.model = rest
	default:
		fmt.Fprintf(k.err, "no command is called %s; /help lists them\n", word)
	}
	return true
}

// answer asks, and ends the answer where somebody interrupts it.
func (k *talk) answer(ctx context.Context, question string, interrupts <-chan os.Signal) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stopped := make(chan bool, 1)
	done := make(chan struct{})
	go func() {
		select {
		case <-interrupts:
			stopped <- true
			stop()
		case <-done:
			stopped <- false
		}
	}()
	r, err := k.ask(ctx, question)
	close(done)
	switch {
	case <-stopped:
		fmt.Fprintln(k.err, k.grey("stopped"))
	case err != nil:
		fmt.Fprintln(k.err, "headworks: "+err.Error())
	default:
		k.note(context.WithoutCancel(ctx), r)
		if r.Error != nil {
			cut := ""
			if r.Answer != "" {
				cut = "the answer is not whole: "
			}
			fmt.Fprintln(k.err, "headworks: "+cut+r.Error.Message)
		}
	}
}

// ask asks in the conversation, and keeps what was said if there is an answer.
func (k *talk) ask(ctx context.Context, question string) (client.Reply, error) {
	said := append(slices.Clone(k.said), client.Message{Role: "user", Content: question})
	messages := said
	if k.system != "" {
		messages = append([]client.Message{{Role: "system", Content: k.system}}, said...)
	}
	say := func(text string) { fmt.Fprint(k.out, text) }
	if k.json {
		say = func(string) {}
	}
	r, err := client.Converse(ctx, k.status.BaseURL, k.key, k.model, messages, say)
	if r.Answer != "" && !k.json && !strings.HasSuffix(r.Answer, "\n") {
		fmt.Fprintln(k.out)
	}
	switch {
	case err != nil && ctx.Err() == nil && r.RequestID != "":
		r.Error, err = &client.ReplyFail{Type: "client_error", Message: err.Error()}, nil
	case err == nil && r.Error == nil:
		k.said = append(said, client.Message{Role: "assistant", Content: r.Answer})
	}
	return r, err
}

// note says who answered, why, how long it took and what it cost.
func (k *talk) note(ctx context.Context, r client.Reply) {
	if r.RequestID == "" {
		return
	}
	words := []string{r.Model}
	if r.Simulated {
		words = append(words, "simulated")
	}
	cost := ""
	e, err := k.admin.Explain(ctx, r.RequestID)
	for range 20 { // a record is kept a moment after the answer has left
		if err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
		e, err = k.admin.Explain(ctx, r.RequestID)
	}
	if err == nil { // without it there is less to say
		if e.Chosen != nil {
			words = append(words, "by "+e.Chosen.Upstream+" ("+e.RouteReason+")")
		}
		cost = dollars(e.Cost)
	}
	words = append(words, fmt.Sprintf("%d in, %d out", r.Input, r.Output))
	if cost != "" {
		words = append(words, cost)
	}
	words = append(words, fmt.Sprintf("first %.0f ms", r.TTFT), fmt.Sprintf("total %.0f ms", r.Total))
	fmt.Fprintln(k.err, k.grey(strings.Join(words, "  ")))
}
