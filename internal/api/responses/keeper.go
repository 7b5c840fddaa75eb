package responses

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"headworks/internal/dialect/responses"
	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// keeper writes the answer to one call and keeps it. What an upstream of this dialect
// wrote leaves as it came; where that breaks off, the writer goes on with the number
// that comes next.
type keeper struct {
	responses.Writer
	surface  *surface
	ctx      context.Context // outlives the caller: an answer that was whole is kept
	key      string
	stored   bool // it is to be kept
	stream   bool
	previous string
	created  time.Time
	input    []byte

	native string // id that the upstream gave the answer
	whole  []byte // the response object of the upstream's terminal
}

// Pass implements api.Keeper.
func (k *keeper) Pass(c *engine.Chunk) []byte {
	switch {
	case c.Answer != nil:
		body := k.Asked.Answer(c.Answer)
		k.keep(body)
		return body
	case !k.stream:
		k.keep(c.Raw)
		return c.Raw
	}
	if k.native == "" {
		k.native = object(c.Raw, false).id
	}
	last := -1
	if n, ok := number(c.Raw); ok {
		last = n
	}
	if k.native != "" {
		k.Follow(k.native, last)
	}
	if c.Last {
		k.whole = object(c.Raw, true).raw
	}
	return c.Raw
}

// End implements api.Writer.
func (k *keeper) End(dst []byte) []byte {
	if k.whole != nil {
		k.keep(k.whole)
		return dst
	}
	k.keep(k.Whole())
	return k.Writer.End(dst)
}

// keep keeps a whole answer. An answer is worth more than its copy: where that cannot
// be kept, whoever owns the store knows, and who goes on from it is told.
func (k *keeper) keep(answer []byte) {
	if !k.stored {
		return
	}
	var d scan.Doc
	if d.Scan(answer, nil) != nil {
		return // it has more than one reading: nobody could go on from it
	}
	root := d.Root()
	r := &Kept{
		ID: root.Get("id").Text(), Previous: k.previous, Created: k.created,
		Input: k.input, Answer: bytes.Clone(answer),
	}
	for item := range root.Get("output").All() {
		if id := item.Get("id"); id.TextLen() > 0 {
			r.Items = append(r.Items, id.Text())
		}
	}
	if r.ID == "" || len(r.ID) > maxID {
		return
	}
	_ = k.surface.store.Keep(k.ctx, k.key, r) // see above
}

// maxID bounds the ids that are kept, in bytes.
const maxID = 256

// told is the response object of an event.
type told struct {
	id  string
	raw []byte
}

// object returns the response object of the first or the last event of a run that has
// one.
func object(run []byte, last bool) (t told) {
	s := wire.NewSplitter(len(run) + 1)
	s.Feed(run)
	var d scan.Doc
	for e, err := s.Next(); e != nil && err == nil; e, err = s.Next() {
		if !bytes.Contains(e.Data, []byte(`"response"`)) || d.ScanLax(e.Data) != nil {
			continue
		}
		if v := d.Root().Get("response"); v.Kind() == scan.Object {
			t = told{v.Get("id").Text(), bytes.Clone(v.Raw())}
			if !last {
				break
			}
		}
	}
	return t
}

// number returns the last sequence number in a run of events. The key stands in no
// text: there its quotes are escaped.
func number(run []byte) (int, bool) {
	key := []byte(`"sequence_number"`)
	i := bytes.LastIndex(run, key)
	if i < 0 {
		return 0, false
	}
	rest := bytes.TrimLeft(run[i+len(key):], " \t:")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(string(rest[:end]))
	return n, err == nil
}

// history returns the items of a conversation, with commas between them.
func history(chain []*Kept) []byte {
	var all []byte
	add := func(items []byte) {
		if len(items) > 0 && len(all) > 0 {
			all = append(all, ',')
		}
		all = append(all, items...)
	}
	for _, r := range chain {
		add(r.Input)
		var d scan.Doc
		if d.ScanLax(r.Answer) != nil {
			continue // it was read before it was kept
		}
		if output := d.Root().Get("output"); output.Kind() == scan.Array {
			for item := range output.All() {
				if !responses.OwnSearch(item) {
					add(item.Raw())
				}
			}
		}
	}
	return all
}

// item returns an item of an answer that is kept.
func (f *surface) item(ctx context.Context, key, id string) ([]byte, error) {
	r, err := f.store.Item(ctx, key, id)
	if err != nil {
		return nil, f.trouble(err, "input", "item_not_found")
	}
	var d scan.Doc
	if err := d.ScanLax(r.Answer); err != nil {
		return nil, fault.Of(err)
	}
	for item := range d.Root().Get("output").All() {
		if item.Get("id").Is(id) {
			return bytes.Clone(item.Raw()), nil
		}
	}
	return nil, f.trouble(ErrNone, "input", "item_not_found")
}
