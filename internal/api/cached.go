package api

import (
	"strconv"
	"strings"
	"time"

	"headworks/internal/flow"
	"headworks/internal/gateway"
	"headworks/internal/wire"
)

// controls are the headers by which a caller says what he wants of earlier answers. The
// second is for clients whose libraries keep the first to themselves.
var controls = [...]string{"cache-control", "x-cache-control"}

// controls reads what the caller says of earlier answers.
func (k *call) controls() {
	for _, name := range controls {
		if _, ok := k.x.Header(name); !ok {
			continue
		}
		for field, value := range k.x.Headers() { // a list may come in several fields of one name
			if strings.EqualFold(string(field), name) {
				k.req.Control.Read(value)
			}
		}
	}
}

// private keeps answers out of every cache on the way: none of them knows for whom an
// answer is (RFC 9111, section 5.2.2).
const private = "private, no-store"

// cached tells what became of earlier answers: in our own words, and in those of RFC
// 9211.
func cached(w *wire.Header, c *gateway.Cached) {
	w.Add("Cache-Control", private)
	if c.Of > 0 && (c.Known > 0 || c.State == flow.Bypass && !c.Refused) {
		pieces(w, c)
		return
	}
	switch c.State {
	case flow.Hit:
		age, left := int64(c.Age/time.Second), int64(c.Left/time.Second)
		tier, detail := "exact", "exact"
		if c.Similarity > 0 {
			near := strconv.FormatFloat(min(c.Similarity, 1), 'f', 2, 64)
			tier, detail = "semantic; similarity="+near, "semantic "+near
		}
		w.Add("x-headworks-cache", "hit; tier="+tier+"; age="+strconv.FormatInt(age, 10))
		w.AddInt("Age", age)
		w.Add("Cache-Status", "Headworks; hit; ttl="+strconv.FormatInt(left, 10)+`; detail="`+detail+`"`)
	case flow.JoinedFlight:
		w.Add("x-headworks-cache", "joined")
		w.Add("Cache-Status", "Headworks; fwd=miss; collapsed")
	case flow.Miss:
		w.Add("x-headworks-cache", "miss")
		w.Add("Cache-Status", forwarded(c))
	case flow.Bypass:
		w.Add("x-headworks-cache", "bypass")
		w.Add("Cache-Status", forwarded(c))
	}
}

// pieces tells how many of the texts had vectors that were kept.
func pieces(w *wire.Header, c *gateway.Cached) {
	share := strconv.Itoa(c.Known) + "/" + strconv.Itoa(c.Of)
	state, said := "partial", "Headworks; fwd=partial"
	switch c.Known {
	case 0:
		state, said = "miss", "Headworks; fwd=miss"
	case c.Of:
		state, said = "hit", "Headworks; hit"
	}
	state += "; tier=" + gateway.EmbeddingTier
	if c.Known > 0 {
		state += "; texts=" + share + "; tokens=" + strconv.Itoa(c.Saved)
	}
	if c.Stored && c.Known < c.Of {
		said += "; stored"
	}
	w.Add("x-headworks-cache", state)
	w.Add("Cache-Status", said+`; detail="embedding `+share+`"`)
}

func forwarded(c *gateway.Cached) string {
	switch {
	case c.State == flow.Bypass && !c.Refused:
		return "Headworks; fwd=bypass"
	case c.State == flow.Bypass && c.Stored:
		return "Headworks; fwd=request; stored"
	case c.State == flow.Bypass:
		return "Headworks; fwd=request"
	case c.Stale && c.Stored:
		return "Headworks; fwd=stale; stored"
	case c.Stale:
		return "Headworks; fwd=stale"
	case c.Stored:
		return "Headworks; fwd=miss; stored"
	}
	return "Headworks; fwd=miss"
}
