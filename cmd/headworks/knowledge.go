package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"headworks/internal/api/admin"
	"headworks/internal/app"
	"headworks/internal/client"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
)

func newKnowledgeCommand(t *terminal) *cobra.Command {
	return group("knowledge", "Keep collections of documents, and search them",
		newKnowledgeCreateCommand(t), newKnowledgeAddCommand(t), newKnowledgeListCommand(t), newKnowledgeSearchCommand(t),
		newKnowledgeDeleteCommand(t), newKnowledgeACLCommand(t), newKnowledgeSyncCommand(t), newKnowledgeMoveCommand(t), newKnowledgeEvalCommand(t), newKnowledgeQualityCommand(t))
}

// library does something with the collections of the data folder: within this process
// where no instance has them, else by asking the instance.
func (t *terminal) library(ctx context.Context, do func(*client.Admin) error) error {
	if t.admin == "" {
		h, folder, err := app.Library(ctx, t.folder(), t.err)
		switch {
		case err == nil:
			return errors.Join(do(client.Within(h)), folder.Close())
		case !errors.Is(err, app.ErrLibraryInUse):
			return err
		}
	}
	a, err := t.instance()
	if err != nil {
		return fmt.Errorf("another command has the collections in %s just now; try again when it has ended: %w", t.folder(), err)
	}
	return do(a)
}

// collectionFlags adds the flags that say how a collection is made.
func collectionFlags(c *cobra.Command, n *knowledge.New) {
	f := c.Flags()
	f.StringVar(&n.Embedder, "embedder", "", "what makes vectors: lexical, none, or upstream/model; lexical unless given")
	f.StringVar(&n.Prefix, "prefix", "", "what the embedder wants before each passage")
	f.StringVar(&n.Asking, "query-prefix", "", "what the embedder wants before each question")
	f.StringVar(&n.Language, "language", "", "of its words: english, french, german, hungarian, norwegian, russian, spanish, swedish, or plain for words as they are; english unless given")
	f.IntVar(&n.Cut.Tokens, "chunk-tokens", 0, "tokens of a passage; 512 unless given")
	f.IntVar(&n.Cut.Overlap, "overlap", 0, "tokens that a passage repeats of the one before; 64 unless given")
}

const readersUsage = "who may read: *, tenant:NAME, project:TENANT/NAME, key:ID; * unless given"

// cutOf completes the limits of passages where one of them is given.
func cutOf(n *knowledge.New) {
	if n.Cut.Tokens == 0 && n.Cut.Overlap != 0 {
		n.Cut.Tokens = 512
	} else if n.Cut.Tokens != 0 && n.Cut.Overlap == 0 {
		n.Cut.Overlap = min(64, n.Cut.Tokens/8)
	}
}

func newKnowledgeCreateCommand(t *terminal) *cobra.Command {
	var n knowledge.New
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a collection", Args: cobra.ExactArgs(1),
		Example: "  headworks knowledge create handbook\n  headworks knowledge create handbook --readers tenant:acme --embedder eu/bge-m3",
		RunE: func(c *cobra.Command, args []string) error {
			n.Name = args[0]
			cutOf(&n)
			return t.library(c.Context(), func(a *client.Admin) error {
				s, err := a.CreateShelf(c.Context(), n)
				if err != nil {
					return err
				}
				return t.print(s, func(w io.Writer) {
					fmt.Fprintf(w, "collection %s (%s), read by %s, vectors by %s\n", s.Name, s.ID, strings.Join(s.Readers, ", "), embedderOf(&s))
				})
			})
		},
	}
	c.Flags().StringSliceVar(&n.Readers, "readers", nil, readersUsage)
	collectionFlags(c, &n)
	return c
}

func embedderOf(s *admin.Shelf) string {
	switch {
	case s.Embedder == (passage.Identity{}):
		return "none"
	case s.Embedder.Provider == knowledge.Lexical:
		return "lexical"
	}
	return s.Embedder.Provider + "/" + s.Embedder.Model
}

// attributes reads NAME=VALUE, with values that are JSON's numbers and truth values as
// such.
func attributes(given []string) (passage.Attributes, error) {
	if len(given) == 0 {
		return nil, nil
	}
	all := passage.Attributes{}
	for _, g := range given {
		name, value, ok := strings.Cut(g, "=")
		if !ok || name == "" {
			return nil, &exit{exitUsage, fmt.Errorf("--attribute %q is not NAME=VALUE", g)}
		}
		var v passage.Value
		if json.Unmarshal([]byte(value), &v) != nil || v.Kind == passage.String {
			v = passage.Text(value)
		}
		all[name] = v
	}
	if err := all.Check(); err != nil {
		return nil, &exit{exitUsage, err}
	}
	return all, nil
}

func newKnowledgeAddCommand(t *terminal) *cobra.Command {
	var n knowledge.New
	var given []string
	var place knowledge.Place
	at := func(from string) knowledge.Place {
		p := place
		p.From = from
		return p
	}
	c := &cobra.Command{
		Use: "add NAME PATH...", Short: "Add files, or folders of them, to a collection; it is made where there is none", Args: cobra.MinimumNArgs(2),
		Long: "Adds files to a collection. What is there already and did not change stays as it is,\n" +
			"so that adding again goes on where something broke off.",
		Example: "  headworks knowledge add handbook ./docs\n  headworks knowledge add handbook faq.jsonl --readers tenant:acme --attribute lang=en",
		RunE: func(c *cobra.Command, args []string) error {
			with, err := attributes(given)
			if err != nil {
				return err
			}
			cutOf(&n)
			return t.library(c.Context(), func(a *client.Admin) error {
				var all knowledge.Added
				for _, path := range args[1:] {
					from := path
					if !strings.Contains(path, "://") {
						if from, err = filepath.Abs(path); err != nil {
							return err
						}
					}
					d := admin.Deposit{Place: at(from), Readers: n.Readers, Attributes: with, Create: &n}
					bar := t.bar(all.Progress)
					added, err := a.Deposit(c.Context(), args[0], d, bar.show)
					bar.end()
					if added != nil {
						all.Collection = added.Collection
						all.Progress = sum(all.Progress, added.Progress)
						all.Failures = append(all.Failures, added.Failures...)
						all.Notes = append(all.Notes, added.Notes...)
					}
					if err != nil {
						return err
					}
				}
				if err := t.print(all, func(w io.Writer) { tellAdded(w, &all) }); err != nil {
					return err
				}
				if all.Failed > 0 && all.Failed == all.Documents+all.Failed {
					return errors.New("nothing could be read")
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringSliceVar(&n.Readers, "readers", nil, readersUsage)
	f.StringArrayVar(&given, "attribute", nil, "NAME=VALUE by which searches can choose; may be given several times")
	collectionFlags(c, &n)
	placeFlags(c, &place)
	return c
}

func sum(a, b knowledge.Progress) knowledge.Progress {
	return knowledge.Progress{
		Files: a.Files + b.Files, Documents: a.Documents + b.Documents, Unchanged: a.Unchanged + b.Unchanged, Added: a.Added + b.Added,
		Removed: a.Removed + b.Removed, Passages: a.Passages + b.Passages, Embedded: a.Embedded + b.Embedded, Failed: a.Failed + b.Failed, Bytes: a.Bytes + b.Bytes,
	}
}

// mostTold bounds the files that are named for what was wrong with them.
const mostTold = 10

func tellAdded(w io.Writer, a *knowledge.Added) {
	fmt.Fprintf(w, "%s: %s read, %d added with %s, %d unchanged", a.Collection, count(a.Documents, "document"), a.Added, count(a.Passages, "passage"), a.Unchanged)
	if a.Removed > 0 {
		fmt.Fprintf(w, ", %d removed", a.Removed)
	}
	if a.Failed > 0 {
		fmt.Fprintf(w, ", %d failed", a.Failed)
	}
	fmt.Fprintln(w)
	for i, f := range a.Failures {
		if i == mostTold {
			fmt.Fprintln(w, "  and more, which --json tells")
			break
		}
		fmt.Fprintf(w, "  %s: %s\n", f.Name, f.Why)
	}
}

// bar shows how far an ingestion is: on a terminal in one line, elsewhere now and then
// in a line of its own.
type bar struct {
	t      *terminal
	before knowledge.Progress
	began  time.Time
	last   time.Time
	tty    bool
	shown  bool
}

func (t *terminal) bar(before knowledge.Progress) *bar {
	f, ok := t.err.(*os.File)
	return &bar{t: t, before: before, began: time.Now(), last: time.Now(), tty: ok && term.IsTerminal(int(f.Fd()))}
}

func (b *bar) show(p knowledge.Progress) {
	every := 10 * time.Second
	if b.tty {
		every = 100 * time.Millisecond
	}
	if time.Since(b.last) < every {
		return
	}
	b.last = time.Now()
	p = sum(b.before, p)
	if !b.tty && b.t.json {
		if line, err := json.Marshal(map[string]knowledge.Progress{"progress": p}); err == nil {
			fmt.Fprintf(b.t.err, "%s\n", line)
		}
		return
	}
	line := fmt.Sprintf("%s, %d unchanged, %d added, %s, %.0f/s", count(p.Documents, "document"), p.Unchanged, p.Added, count(p.Passages, "passage"),
		float64(p.Documents-b.before.Documents)/max(time.Since(b.began).Seconds(), 0.001))
	if b.tty {
		b.shown = true
		fmt.Fprintf(b.t.err, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(b.t.err, line)
}

func (b *bar) end() {
	if b.shown {
		fmt.Fprint(b.t.err, "\r\x1b[K")
	}
}

// placeFlags adds the flags that say how a place is reached.
func placeFlags(c *cobra.Command, p *knowledge.Place) {
	f := c.Flags()
	f.StringSliceVar(&p.Hosts, "host", nil, "hosts that pages may lead to, beside that of the URL")
	f.StringVar(&p.Endpoint, "endpoint", "", "URL of a store that speaks S3 and is not AWS'")
	f.StringVar(&p.Region, "region", "", "region of a store that speaks S3")
	f.StringSliceVar(&p.Ignore, "ignore", nil, "names in a folder that are left out, as *.tmp or build/*")
}

func newKnowledgeSyncCommand(t *terminal) *cobra.Command {
	var s admin.Following
	var every time.Duration
	c := &cobra.Command{
		Use: "sync NAME", Short: "Let a collection follow a folder, a sitemap, a page or a bucket, or take over now what changed there", Args: cobra.ExactArgs(1),
		Long: "With --from and --every the running instance takes over what changed there, again and\n" +
			"again: what is new, what is another version, and what is gone. Without flags it is done\n" +
			"once, now. Keys of a bucket are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
		Example: "  headworks knowledge sync handbook --from ./docs --every 15m\n  headworks knowledge sync site --from https://docs.example.com/sitemap.xml --every 1h\n" +
			"  headworks knowledge sync bucket --from s3://papers/2026/ --every 15m --region eu-central-1\n  headworks knowledge sync handbook\n  headworks knowledge sync handbook --off",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case s.Off && (s.From != "" || every != 0):
				return &exit{exitUsage, errors.New("--off ends it: give nothing beside it")}
			case (s.From == "") != (every == 0):
				return &exit{exitUsage, errors.New("give --from and --every together; without flags it is done once, now")}
			}
			s.Every = knowledge.Span(every)
			if s.From != "" && !strings.Contains(s.From, "://") {
				path, err := filepath.Abs(s.From)
				if err != nil {
					return err
				}
				s.From = path
			}
			return t.library(c.Context(), func(a *client.Admin) error {
				if s.From != "" || s.Off {
					if _, err := a.Shelf(c.Context(), args[0]); err != nil && s.From != "" {
						if _, err := a.CreateShelf(c.Context(), knowledge.New{Name: args[0]}); err != nil {
							return err
						}
					}
					shelf, err := a.Follow(c.Context(), args[0], s)
					if err != nil {
						return err
					}
					return t.print(shelf, func(w io.Writer) {
						if shelf.Sync == nil {
							fmt.Fprintf(w, "%s follows nothing any more; its documents stay\n", shelf.Name)
							return
						}
						fmt.Fprintf(w, "%s follows %s every %s, while an instance runs\n", shelf.Name, shelf.Sync.From, time.Duration(shelf.Sync.Every))
					})
				}
				bar := t.bar(knowledge.Progress{})
				added, err := a.SyncNow(c.Context(), args[0], bar.show)
				bar.end()
				if err != nil {
					return err
				}
				return t.print(added, func(w io.Writer) { tellAdded(w, added) })
			})
		},
	}
	f := c.Flags()
	f.StringVar(&s.From, "from", "", "a folder, a file, a URL or s3://bucket/prefix")
	f.DurationVar(&every, "every", 0, "how often, as 15m")
	f.BoolVar(&s.Off, "off", false, "follow nothing any more; the documents stay")
	placeFlags(c, &s.Place)
	return c
}

func newKnowledgeMoveCommand(t *terminal) *cobra.Command {
	var to admin.Mover
	c := &cobra.Command{
		Use: "move NAME --embedder EMBEDDER | move NAME --off", Short: "Let another embedder make a collection's vectors, behind its searches", Args: cobra.ExactArgs(1),
		Long: "The running instance makes the new vectors beside the old ones, and both are searched\n" +
			"meanwhile. Once all documents have theirs, the new ones take over at once.",
		Example: "  headworks knowledge move handbook --embedder eu/bge-m3\n  headworks knowledge move handbook --off",
		RunE: func(c *cobra.Command, args []string) error {
			if to.Off == (to.Embedder != "") {
				return &exit{exitUsage, errors.New("name an --embedder, or give the move up with --off")}
			}
			return t.library(c.Context(), func(a *client.Admin) error {
				s, err := a.MoveShelf(c.Context(), args[0], to)
				if err != nil {
					return err
				}
				return t.print(s, func(w io.Writer) {
					if s.Next == nil {
						fmt.Fprintf(w, "%s stays with %s\n", s.Name, embedderOf(&s))
						return
					}
					fmt.Fprintf(w, "%s moves to %s while an instance runs; headworks knowledge list --json tells how far it is\n", s.Name, to.Embedder)
				})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&to.Embedder, "embedder", "", "lexical, none, or upstream/model")
	f.StringVar(&to.Prefix, "prefix", "", "what the embedder wants before each passage")
	f.StringVar(&to.Asking, "query-prefix", "", "what the embedder wants before each question")
	f.BoolVar(&to.Off, "off", false, "stay with the embedder that it has")
	return c
}

func newKnowledgeListCommand(t *terminal) *cobra.Command {
	var limit int
	var after string
	history := false
	c := &cobra.Command{
		Use: "list [NAME [DOCUMENT...]]", Short: "List the collections, or the documents of one",
		Example: "  headworks knowledge list\n  headworks knowledge list handbook\n  headworks knowledge list handbook faq.md --history",
		RunE: func(c *cobra.Command, args []string) error {
			return t.library(c.Context(), func(a *client.Admin) error {
				if len(args) == 0 {
					all, err := a.Shelves(c.Context())
					if err != nil {
						return err
					}
					return t.print(map[string][]admin.Shelf{"collections": all}, func(w io.Writer) {
						var rows [][]string
						for _, s := range all {
							owner := "operator"
							if s.Owner != (knowledge.Owner{}) {
								owner = s.Owner.Tenant + "/" + s.Owner.Project
							}
							rows = append(rows, []string{s.Name, s.ID, owner, fmt.Sprint(s.Documents), fmt.Sprint(s.Passages), embedderOf(&s), strings.Join(s.Readers, ",")})
						}
						list(w, []string{"NAME", "ID", "OWNER", "DOCUMENTS", "PASSAGES", "VECTORS", "READERS"}, rows)
					})
				}
				held, err := a.Documents(c.Context(), args[0], after, args[1:], history, limit)
				if err != nil {
					return err
				}
				return t.print(map[string][]admin.Held{"documents": held}, func(w io.Writer) {
					var rows [][]string
					for _, d := range held {
						state := "current"
						if !d.Gone.IsZero() {
							state = "until " + d.Gone.Format(time.DateTime)
						}
						rows = append(rows, []string{d.ID, fmt.Sprint(d.Version), d.Title, fmt.Sprint(d.Passages), d.Added.Format(time.DateTime), strings.Join(d.Readers, ","), state})
					}
					list(w, []string{"DOCUMENT", "VERSION", "TITLE", "PASSAGES", "ADDED", "READERS", "STATE"}, rows)
				})
			})
		},
	}
	f := c.Flags()
	f.IntVar(&limit, "limit", 1000, "documents, at most 10000")
	f.StringVar(&after, "after", "", "those behind this id")
	f.BoolVar(&history, "history", false, "former versions too")
	return c
}

func newKnowledgeSearchCommand(t *terminal) *cobra.Command {
	var s admin.Search
	var filter string
	c := &cobra.Command{
		Use: "search NAME QUESTION...", Short: "Find the passages that answer a question", Args: cobra.MinimumNArgs(2),
		Example: "  headworks knowledge search handbook \"how many days of leave?\"\n" +
			"  headworks knowledge search handbook leave --ranker bm25 --as tenant:acme --filter '{\"type\":\"eq\",\"key\":\"lang\",\"value\":\"en\"}'",
		RunE: func(c *cobra.Command, args []string) error {
			s.Query = strings.Join(args[1:], " ")
			if filter != "" {
				if !json.Valid([]byte(filter)) {
					return &exit{exitUsage, errors.New(`--filter is JSON, as {"type":"eq","key":"lang","value":"en"}`)}
				}
				s.Filter = json.RawMessage(filter)
			}
			return t.library(c.Context(), func(a *client.Admin) error {
				found, err := a.Search(c.Context(), args[0], s)
				if err != nil {
					return err
				}
				return t.print(found, func(w io.Writer) {
					if len(found.Hits) == 0 {
						fmt.Fprintln(w, "nothing found")
					}
					for i, h := range found.Hits {
						fmt.Fprintf(w, "%d. %s  %s\n", i+1, h.Document, t.grey(fmt.Sprintf("score %.3f, words %.2f, vectors %.3f, version %d, bytes %d-%d", h.Score, h.Legs.BM25, h.Legs.Dense, h.Version, h.Start, h.End)))
						if head := strings.Trim(h.Title+" > "+h.Path, " >"); head != "" {
							fmt.Fprintf(w, "   %s\n", head)
						}
						fmt.Fprintf(w, "   %s\n", excerpt(h.Text, 240))
					}
					if found.Degraded != "" {
						fmt.Fprintln(t.err, found.Degraded)
					}
				})
			})
		},
	}
	f := c.Flags()
	f.IntVar(&s.K, "k", 10, "passages, at most 1000")
	f.StringVar(&s.Ranker, "ranker", "", "hybrid, bm25 or dense; hybrid unless given")
	f.StringVar(&s.Rerank, "rerank", "", "a model that puts the best 50 in order again")
	f.StringVar(&filter, "filter", "", "which documents, by their attributes: JSON as in OpenAI's vector stores")
	f.StringSliceVar(&s.Readers, "as", nil, "search as these readers would, such as tenant:acme; else as the operator, who may read all")
	f.BoolVar(&s.Fold, "fold", false, "of each document its best passage alone")
	return c
}

// excerpt returns the beginning of a text as one line.
func excerpt(text string, most int) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most]) + "..."
}

func newKnowledgeDeleteCommand(t *terminal) *cobra.Command {
	whole := false
	c := &cobra.Command{
		Use: "delete NAME DOCUMENT... | delete NAME --all", Short: "Remove documents, or a whole collection; nobody finds them any more", Args: cobra.MinimumNArgs(1),
		Example: "  headworks knowledge delete handbook faq.md\n  headworks knowledge delete handbook --all",
		RunE: func(c *cobra.Command, args []string) error {
			ids := args[1:]
			switch {
			case len(ids) == 0 && !whole:
				return &exit{exitUsage, errors.New("name the documents to remove; --all removes the whole collection")}
			case len(ids) > 0 && whole:
				return &exit{exitUsage, errors.New("--all is the whole collection: name no documents beside it")}
			}
			return t.library(c.Context(), func(a *client.Admin) error {
				if whole {
					s, err := a.DeleteShelf(c.Context(), args[0])
					if err != nil {
						return err
					}
					return t.print(map[string]string{"removed": s.Name, "id": s.ID}, func(w io.Writer) { fmt.Fprintf(w, "removed the collection %s (%s)\n", s.Name, s.ID) })
				}
				n, err := a.RemoveDocuments(c.Context(), args[0], ids)
				if err != nil {
					return err
				}
				return t.print(map[string]int{"removed": n}, func(w io.Writer) { fmt.Fprintf(w, "removed %s\n", count(n, "document")) })
			})
		},
	}
	c.Flags().BoolVar(&whole, "all", false, "the whole collection")
	return c
}

func newKnowledgeACLCommand(t *terminal) *cobra.Command {
	var to admin.Allowance
	c := &cobra.Command{
		Use: "acl NAME [DOCUMENT...] [--readers WHO,...]", Short: "Show or say who may read a collection, or some documents of it", Args: cobra.MinimumNArgs(1),
		Example: "  headworks knowledge acl handbook\n  headworks knowledge acl handbook --readers tenant:acme\n  headworks knowledge acl handbook salaries.md --readers project:acme/hr",
		RunE: func(c *cobra.Command, args []string) error {
			to.Documents = args[1:]
			return t.library(c.Context(), func(a *client.Admin) error {
				if c.Flags().Changed("readers") {
					n, err := a.Allow(c.Context(), args[0], to)
					if err != nil {
						return err
					}
					return t.print(map[string]int{"changed": n}, func(w io.Writer) {
						fmt.Fprintf(w, "%s may be read by %s\n", count(n, "document"), strings.Join(to.Readers, ", "))
					})
				}
				return t.showACL(c.Context(), a, args[0], to.Documents)
			})
		},
	}
	c.Flags().StringSliceVar(&to.Readers, "readers", nil, "who may read from now on: *, tenant:NAME, project:TENANT/NAME, key:ID")
	return c
}

func (t *terminal) showACL(ctx context.Context, a *client.Admin, name string, ids []string) error {
	if len(ids) == 0 {
		s, err := a.Shelf(ctx, name)
		if err != nil {
			return err
		}
		return t.print(map[string][]string{"readers": s.Readers}, func(w io.Writer) {
			fmt.Fprintf(w, "what is added may be read by %s; headworks knowledge list %s shows who may read each document\n", strings.Join(s.Readers, ", "), name)
		})
	}
	held, err := a.Documents(ctx, name, "", ids, false, len(ids))
	if err != nil {
		return err
	}
	return t.print(map[string][]admin.Held{"documents": held}, func(w io.Writer) {
		var rows [][]string
		for _, d := range held {
			rows = append(rows, []string{d.ID, strings.Join(d.Readers, ",")})
		}
		list(w, []string{"DOCUMENT", "READERS"}, rows)
	})
}
