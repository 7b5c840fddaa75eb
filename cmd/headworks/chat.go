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
	"headworks/internal/record"
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
	missed  int  // questions without a whole answer
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
	w := k.look(ctx, r)
	line := struct {
		client.Reply
		way
	}{r, w}
	if err := k.print(line, func(io.Writer) { k.note(r, w) }); err != nil {
		return err
	}
	if r.Error != nil {
		return errors.New(unhappy(r))
	}
	return nil
}

// unhappy says why there is no answer, or that it is not whole.
func unhappy(r client.Reply) string {
	if r.Answer != "" {
		return "the answer is not whole: " + r.Error.Message
	}
	return r.Error.Message
}

const chatHelp = `/model NAME   talk with another model; what was said stays
/models       the models there are
/system TEXT  what the model is told before anything else; without a text, nothing
/clear        begin anew
/quit         leave, as Ctrl-D does
A line that ends with \ goes on in the next, and so does everything between two lines
of """. Ctrl-C stops an answer, and leaves at the prompt.
`

// hold keeps a conversation up with somebody at a terminal.
func (k *talk) hold(ctx context.Context) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	lines := make(chan string)
	var broken error
	go func() { // ends with the process: a read of a terminal cannot be called off
		defer close(lines)
		in := bufio.NewScanner(k.in)
		in.Buffer(nil, mostQuestion)
		for in.Scan() {
			lines <- in.Text()
		}
		broken = in.Err() // read after lines is closed
	}()
	show := func(words string) {
		if k.prompts {
			fmt.Fprint(k.err, words)
		}
	}
	show(k.grey("talking with "+k.model+"; /help says what else there is") + "\n")
	var question []string
	block := false // between two lines of """
	for {
		prompt := "> "
		if block || len(question) > 0 {
			prompt = "… "
		}
		show(prompt)
		var line string
		var ok bool
		select {
		case <-interrupts:
			show("\n")
			if !block && len(question) == 0 {
				return nil
			}
			question, block = nil, false
			continue
		case line, ok = <-lines:
			if !ok {
				show("\n")
				if broken != nil {
					return broken
				}
				return k.shortfall()
			}
		}
		if strings.TrimSpace(line) == `"""` && (block || len(question) == 0) {
			if block = !block; block {
				continue
			}
			line = ""
		} else if block {
			question = append(question, line)
			continue
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
				return k.shortfall()
			}
			continue
		}
		k.answer(ctx, text, interrupts)
	}
}

// shortfall tells a script that some of its questions have no whole answer. Who was
// there to see it knows.
func (k *talk) shortfall() error {
	if k.prompts || k.missed == 0 {
		return nil
	}
	return fmt.Errorf("%d of the questions have no whole answer", k.missed)
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
	k.note(r, k.look(context.WithoutCancel(ctx), r))
	switch {
	case <-stopped:
		fmt.Fprintln(k.err, k.grey("stopped; neither question nor answer is kept"))
	case err != nil:
		k.missed++
		fmt.Fprintln(k.err, "headworks: "+err.Error())
	case r.Error != nil:
		k.missed++
		fmt.Fprintln(k.err, "headworks: "+unhappy(r))
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
	r, err := client.API{BaseURL: k.status.BaseURL, Certificate: k.status.Cert, Key: k.key}.Converse(ctx, k.model, messages, say)
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

// way is what the record of an answer adds to what its client saw.
type way struct {
	Route string `json:"route,omitempty"` // why this target
	Cost  *int64 `json:"cost_micro_usd,omitempty"`

	upstream  string
	simulated bool
	kept      bool // there is a record
	cache     *record.Earlier
}

// earlier says where an answer was that was not made anew.
func earlier(e *record.Earlier) string {
	if e.State == "joined" {
		return "shared with another request"
	}
	return fmt.Sprintf("%s cache, %s old", e.Tier, (time.Duration(e.Age) * time.Microsecond).Round(time.Second))
}

// look reads the record of an answer, which is kept a moment after it has left.
func (k *talk) look(ctx context.Context, r client.Reply) (w way) {
	if r.RequestID == "" {
		return w
	}
	e, err := k.admin.Explain(ctx, r.RequestID)
	for tries := 20; err != nil && tries > 0 && ctx.Err() == nil; tries-- {
		time.Sleep(10 * time.Millisecond)
		e, err = k.admin.Explain(ctx, r.RequestID)
	}
	if err != nil {
		return w // without it there is less to say
	}
	w.kept, w.simulated, w.cache = true, e.Simulated, e.Cache
	if e.Chosen != nil {
		w.upstream, w.Route = e.Chosen.Upstream, e.RouteReason
	}
	if e.Cost >= 0 {
		w.Cost = &e.Cost
	}
	return w
}

// note says who answered, why, how long it took and what it cost.
func (k *talk) note(r client.Reply, w way) {
	if r.RequestID == "" {
		return
	}
	words := []string{r.Model}
	if r.Simulated || w.simulated {
		words = append(words, "simulated")
	}
	if w.upstream != "" {
		words = append(words, "by "+w.upstream+" ("+w.Route+")")
	}
	if w.cache.Given() {
		words = append(words, earlier(w.cache))
	}
	words = append(words, fmt.Sprintf("%d in, %d out", r.Input, r.Output))
	switch {
	case w.Cost != nil:
		words = append(words, dollars(*w.Cost))
	case w.kept:
		words = append(words, dollars(-1))
	}
	words = append(words, fmt.Sprintf("first %.0f ms", r.TTFT), fmt.Sprintf("total %.0f ms", r.Total))
	fmt.Fprintln(k.err, k.grey(strings.Join(words, "  ")))
}
