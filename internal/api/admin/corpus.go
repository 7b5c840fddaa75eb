package admin

import (
	"fmt"
	"net/http"
	"strconv"

	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
)

// Corpus is all that a collection says, in the order of its documents.
type Corpus struct {
	Passages  []Said `json:"passages"`
	Tokens    int    `json:"tokens"`    // of them
	Documents int    `json:"documents"` // that they are of
	Of        int    `json:"of"`        // documents of the collection
	Closed    int    `json:"closed"`    // of Documents, that not everybody may read
	Whole     bool   `json:"whole"`     // they are all; else the next one had been too many
}

// Said is a passage of a Corpus, without what the one before it holds already.
type Said struct {
	Document string `json:"document"`
	Title    string `json:"title,omitempty"`
	Path     string `json:"path,omitempty"`
	Text     string `json:"text"`
	Start    int    `json:"start"` // byte of the document's text
}

// MostCorpus bounds the tokens of a Corpus.
const MostCorpus = 4_000_000

func (l *Library) text(_ http.ResponseWriter, r *http.Request) (any, error) {
	most, err := strconv.Atoi(r.URL.Query().Get("tokens"))
	if err != nil || most < 1 || most > MostCorpus {
		return nil, fault.New(fault.InvalidRequest, fmt.Sprintf("say how many tokens there is room for: ?tokens=..., at most %d", MostCorpus))
	}
	ctx, by, name := r.Context(), knowledge.ByOperator(), r.PathValue("name")
	all, err := l.Knowledge.Documents(ctx, by, name, passage.Page{})
	if err != nil {
		return nil, err
	}
	c := &Corpus{Passages: []Said{}, Of: len(all)}
	for i := range all {
		loaded, err := l.Knowledge.Read(ctx, by, name, all[i].ID)
		if err != nil {
			return nil, err
		}
		end := 0
		for j := range loaded {
			p := &loaded[j].Passage
			if c.Tokens+p.Tokens > most {
				return c, nil
			}
			if j == 0 {
				c.Documents++
				if !passage.Readers(passage.Everybody).May(all[i].Readers) {
					c.Closed++
				}
			}
			text, start := p.Text, p.Start
			if over := end - start; over > 0 && over < len(text) && p.End-p.Start == len(text) { // what the one before holds already
				text, start = text[over:], end
			}
			end = max(end, p.End)
			c.Tokens += p.Tokens
			c.Passages = append(c.Passages, Said{all[i].ID, p.Title, p.Path, text, start})
		}
	}
	c.Whole = true
	return c, nil
}
