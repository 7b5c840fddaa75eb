package app

import (
	"context"
	"slices"
	"strings"
	"time"

	"headworks/internal/config"
	"headworks/internal/engine/extract"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/gateway"
	"headworks/internal/inference"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
	"headworks/internal/tenant"
)

// grounding returns what a model answers from; nil where it does from nothing. A model
// that quotes word for word and names no documents quotes the documentation.
func grounding(c *config.Config, m config.Model, upstreams map[string]int) *fleet.Knowledge {
	g := m.Knowledge
	if g == nil {
		for _, t := range m.Targets {
			if c.Upstreams[t.Upstream].Kind != config.LocalExtract {
				return nil
			}
		}
		if len(m.Targets) == 0 {
			return nil
		}
		return &fleet.Knowledge{Collections: []string{config.DocsCollection}, Required: true, Timeout: 2 * time.Second, Passages: quoted}
	}
	k := &fleet.Knowledge{
		Collections: g.Collections, Required: g.Mode == config.GroundRequired, Timeout: g.Timeout, Ranker: g.Ranker,
		Passages: g.Passages, Tokens: g.Tokens, Whole: g.Whole,
	}
	if k.Whole == 0 {
		k.Whole = -1
	}
	if w := g.Rewrite; w != nil {
		k.Rewriter = &fleet.Rewriter{Upstream: upstreams[w.Upstream], Model: w.Model, Timeout: w.Timeout}
		if w.Price != nil {
			k.Rewriter.Price = price(w.Price)
		}
	}
	return k
}

// quoted is how many passages of the documentation are worth quoting.
const quoted = 3

// shelves are all documents that requests may rest on: the collections of the data folder,
// and the documentation inside the program.
type shelves struct {
	docs    extract.Find
	library *knowledge.Knowledge
}

// Knows implements gateway.Knowledge.
func (s *shelves) Knows(c *tenant.Caller, collection string) bool {
	if collection == config.DocsCollection {
		return true
	}
	_, err := s.library.Get(knowledge.By(c), collection)
	return err == nil
}

// Audience implements gateway.Knowledge.
func (s *shelves) Audience(c *tenant.Caller, collections []string) string {
	for _, name := range collections {
		if name != config.DocsCollection {
			return knowledge.By(c).Audience().Key()
		}
	}
	return ""
}

// Search implements gateway.Knowledge. A collection has its own scores, so those of the
// documentation and of others take turns.
func (s *shelves) Search(ctx context.Context, c *tenant.Caller, collections []string, q gateway.Question) (gateway.Found, error) {
	kept := slices.DeleteFunc(slices.Clone(collections), func(name string) bool { return name == config.DocsCollection })
	if len(kept) == len(collections) {
		return s.search(ctx, c, kept, q)
	}
	found := gateway.Found{Passages: s.documentation(q)}
	if len(kept) == 0 {
		return found, nil
	}
	others, err := s.search(ctx, c, kept, q)
	if err != nil {
		return others, err
	}
	found.Degraded = others.Degraded
	found.Passages = turns(found.Passages, others.Passages)
	return found, nil
}

func turns(a, b []inference.Passage) []inference.Passage {
	all := make([]inference.Passage, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			all = append(all, a[i])
		}
		if i < len(b) {
			all = append(all, b[i])
		}
	}
	return all
}

// documentation returns the passages of the documentation that answer a question.
func (s *shelves) documentation(q gateway.Question) []inference.Passage {
	found := extract.Choose(s.docs(q.Text, min(q.Passages, quoted)))
	all := make([]inference.Passage, len(found))
	for i, p := range found {
		title, path, _ := strings.Cut(p.Heading, " > ")
		all[i] = inference.Passage{
			Collection: config.DocsCollection, Document: p.Path, Name: p.Path, Version: 1, Title: title, Path: path,
			Text: p.Text, Start: p.Start, End: p.Start + len(p.Text), Score: p.Score,
		}
	}
	return all
}

// search asks the library.
func (s *shelves) search(ctx context.Context, c *tenant.Caller, collections []string, q gateway.Question) (gateway.Found, error) {
	ranker, ok := knowledge.ParseRanker(q.Ranker)
	if !ok {
		return gateway.Found{}, fault.New(fault.InvalidRequest, "a ranker is bm25, dense or hybrid")
	}
	ask := knowledge.Query{Text: q.Text, K: q.Passages, Ranker: ranker}
	if len(q.Filter) > 0 {
		f, err := passage.ParseFilter(q.Filter)
		if err != nil {
			return gateway.Found{}, fault.Wrap(fault.InvalidRequest, "the filter cannot be read: it is {type, key, value}, or several of them under and, or", err)
		}
		ask.Filter = f
	}
	if q.Whole > 0 {
		if all, ok, err := s.whole(ctx, c, collections, q.Whole); err != nil || ok {
			return gateway.Found{Passages: all, Whole: ok}, err
		}
	}
	a, err := s.library.Search(ctx, c, collections, ask)
	if err != nil {
		return gateway.Found{}, err
	}
	found := gateway.Found{Degraded: a.Degraded, Passages: make([]inference.Passage, len(a.Hits))}
	for i := range a.Hits {
		h := &a.Hits[i]
		found.Passages[i] = inference.Passage{
			Collection: h.Collection, Document: h.Document, Chunk: h.Chunk, Version: h.Version, Name: nameOf(h.Source, h.Document), URL: webAddress(h.Source),
			Title: h.Title, Path: h.Path, Text: h.Text, Start: h.Start, End: h.End, Score: h.Score,
		}
	}
	return found, nil
}

// bytesAToken is below how many bytes a text has for a token: a collection of more is
// read to find out.
const bytesAToken = 8

// whole returns all passages that a caller may read, in the order of the documents, where
// they have no more tokens than most.
func (s *shelves) whole(ctx context.Context, c *tenant.Caller, collections []string, most int) ([]inference.Passage, bool, error) {
	var all []inference.Passage
	by := knowledge.By(c)
	for _, name := range collections {
		of, err := s.library.Get(by, name)
		if err != nil {
			return nil, false, err
		}
		n, err := s.library.Count(ctx, of)
		if err != nil {
			return nil, false, err
		}
		if n.Bytes > int64(most)*bytesAToken {
			return nil, false, nil
		}
		documents, err := s.library.Documents(ctx, by, name, passage.Page{})
		if err != nil {
			return nil, false, err
		}
		for i := range documents {
			d := &documents[i]
			if !by.Audience().May(d.Readers) {
				continue // whoever keeps a collection does not read all of it, when he asks
			}
			loaded, err := s.library.Read(ctx, by, name, d.ID)
			if err != nil {
				return nil, false, err
			}
			end := 0
			for j := range loaded {
				p := &loaded[j].Passage
				text, start := p.Text, p.Start
				if over := end - start; over > 0 && over < len(text) && p.End-p.Start == len(text) { // what the one before holds already
					text, start = text[over:], end
				}
				end = max(end, p.End)
				if most -= p.Tokens; most < 0 {
					return nil, false, nil
				}
				all = append(all, inference.Passage{
					Collection: name, Document: d.ID, Chunk: p.ID.String(), Version: d.Version, Name: nameOf(d.Source, d.ID), URL: webAddress(d.Source),
					Title: p.Title, Path: p.Path, Text: text, Start: start, End: start + len(text),
				})
			}
		}
	}
	return all, len(all) > 0, nil
}

// nameOf returns the name of a file by where it came from.
func nameOf(source, id string) string {
	if i := strings.LastIndexByte(source, '/'); i >= 0 && i+1 < len(source) {
		return source[i+1:]
	}
	if source != "" {
		return source
	}
	return id
}

// webAddress returns where a document came from, if others can look there: never a path
// of this machine.
func webAddress(source string) string {
	if strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://") {
		return source
	}
	return ""
}
