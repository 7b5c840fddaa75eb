// Package vertex speaks to Google's Vertex AI: to Gemini in its own dialect, and to
// Claude in Anthropic's. Its calls carry a token of a service account, which is
// fetched from Google when the first call needs one, and ahead of its end from then
// on.
package vertex

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"headworks/internal/dialect/anthropic"
	"headworks/internal/dialect/gemini"
	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Options are what an operator says of an upstream beside its URL and its keys.
type Options struct {
	Project  string // empty: that of the key
	Location string // a region, or "global", which is meant where it is empty
}

// Engine speaks to the models of both publishers.
type Engine struct {
	google, claude *engine.HTTP
	accounts       []*account
}

// New returns the engine of an upstream's replicas. Each key is what the file of a
// service account holds, or of gcloud's application default credentials. The errors
// say what is wrong with a key or a URL.
func New(replicas []fleet.Replica, keys []string, o Options) (*Engine, error) {
	e := &Engine{}
	for _, key := range keys {
		a, err := newAccount(key)
		if err != nil {
			return nil, err
		}
		e.accounts = append(e.accounts, a)
		if o.Project == "" {
			o.Project = a.project
		}
	}
	for _, r := range replicas {
		if o.Project == "" && !strings.Contains(r.URL, "/projects/") {
			return nil, errors.New("no project: neither the upstream nor its key names one; write project: ID")
		}
	}
	sign := func(ctx context.Context, r *engine.Signed) error {
		if r.Key >= len(e.accounts) {
			return nil
		}
		token, err := e.accounts[r.Key].token(ctx)
		if err == nil {
			r.Header.Add("Authorization", "Bearer "+token)
		}
		return err
	}
	if err := e.open(replicas, o, sign); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) open(replicas []fleet.Replica, o Options, sign func(context.Context, *engine.Signed) error) error {
	if o.Location == "" {
		o.Location = "global"
	}
	at := func(publisher string) func(dst []byte, base, model, method string) []byte {
		return func(dst []byte, base, model, method string) []byte {
			dst = append(dst, engine.Versioned(base)...)
			if !strings.Contains(base, "/projects/") {
				dst = append(append(dst, "/projects/"...), url.PathEscape(o.Project)...)
				dst = append(append(dst, "/locations/"...), url.PathEscape(o.Location)...)
			}
			dst = append(append(append(dst, "/publishers/"...), publisher...), "/models/"...)
			dst = append(dst, url.PathEscape(strings.TrimPrefix(model, publisher+"/"))...)
			return append(append(dst, ':'), method...)
		}
	}
	google, claude := at("google"), at("anthropic")
	generate := engine.Generate(func(dst []byte, base, model string, stream bool) []byte {
		if stream {
			return append(google(dst, base, model, "streamGenerateContent"), "?alt=sse"...)
		}
		return google(dst, base, model, "generateContent")
	})
	generate.Encode = gemini.EncodeVertex
	count := engine.GenerateCount(func(dst []byte, base, model string, _ bool) []byte {
		return google(dst, base, model, "countTokens")
	})
	count.Edits, count.Encode = gemini.CountEditsVertex, gemini.EncodeCountVertex
	messages := engine.Messages()
	messages.Target = func(dst []byte, base, model string, stream bool) []byte {
		if stream {
			return claude(dst, base, model, "streamRawPredict")
		}
		return claude(dst, base, model, "rawPredict")
	}
	messages.Edits, messages.Encode = claudeEdits, encodeClaude
	counting := engine.Counting()
	counting.Target = func(dst []byte, base, _ string, _ bool) []byte {
		return claude(dst, base, "count-tokens", "rawPredict")
	}
	options := engine.Options{Sign: sign}
	var err error
	if e.google, err = engine.NewHTTP([]engine.Protocol{generate, count}, replicas, options); err != nil {
		return err
	}
	options.Forwarded = []string{"anthropic-beta"}
	e.claude, err = engine.NewHTTP([]engine.Protocol{messages, counting}, replicas, options)
	return err
}

// Open implements engine.Engine.
func (e *Engine) Open(ctx context.Context, c *engine.Call) (engine.Stream, error) {
	if strings.HasPrefix(c.Model, "anthropic/") || strings.HasPrefix(c.Model, "claude") {
		return e.claude.Open(ctx, c)
	}
	return e.google.Open(ctx, c)
}

// MarkPrompts lets Claude's models know which part of each prompt stays the same; see
// engine.Protocol.
func (e *Engine) MarkPrompts() { e.claude.MarkPrompts() }

// Speaks returns the dialects that are spoken natively, to one publisher's models or
// the other's.
func (e *Engine) Speaks() inference.Set { return e.google.Speaks() | e.claude.Speaks() }

// Close lets go of the connections that no call uses; the others close after their
// call.
func (e *Engine) Close() {
	e.google.Close()
	e.claude.Close()
	for _, a := range e.accounts {
		a.close()
	}
}

// Sweep closes connections that nobody used for a while.
func (e *Engine) Sweep(now time.Time) {
	e.google.Sweep(now)
	e.claude.Sweep(now)
}

// version is that of Anthropic's dialect on Vertex AI; it stands in the body, and
// the model does not.
const version = `"anthropic_version":"vertex-2023-10-16"`

func claudeEdits(dst []scan.Edit, d *scan.Doc, _ string) []scan.Edit {
	root := d.Root()
	if model := root.Get("model"); model.Exists() {
		dst = append(dst, scan.Cut(root, model))
	}
	if !root.Get("anthropic_version").Exists() {
		dst = append(dst, scan.Insert(root, []byte(","+version)))
	}
	dst = anthropic.WithoutForeign(dst, d)
	slices.SortFunc(dst, func(a, b scan.Edit) int { return a.Start - b.Start })
	return dst
}

func encodeClaude(c *inference.Conversation, model string, stream bool) (body []byte, dropped []string) {
	body, dropped = anthropic.Encode(c, model, stream)
	head := scan.AppendString([]byte(`{"model":`), model)
	return append([]byte("{"+version), body[len(head):]...), dropped
}
