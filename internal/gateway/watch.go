package gateway

import (
	"slices"
	"time"

	"headworks/internal/engine"
	"headworks/internal/flow"
)

// maxWatched bounds the text of an answer that is looked at while it goes to the
// caller, in bytes; a longer one is not.
const maxWatched = 256 << 10

// observe makes ready to look at the answer of an attempt as it comes, where a canary
// wants to know what it looks like. The caller waits for nothing.
func (x *exchange) observe(a *flow.Action) {
	if x.heard = nil; !a.Verify && !a.Prefill && x.ticket.Watched() != nil {
		x.heard = &cascade{}
	}
}

// asks reads what the request says of the form of its answer, while the upstream works
// on it: once content was handed out, the request may be gone.
func (x *exchange) asks() {
	k := x.heard
	k.asked = x.wants(x.ticket.Watched().JSON)
	k.asked.Schema = slices.Clone(k.asked.Schema)
	k.asked.Tools = slices.Clone(k.asked.Tools)
	for i := range k.asked.Tools {
		k.asked.Tools[i].Schema = slices.Clone(k.asked.Tools[i].Schema)
	}
}

// overhear takes the text of what came, and gives up where it is too much.
func (x *exchange) overhear(c *engine.Chunk) {
	k := x.heard
	k.listen(c)
	n := len(k.text)
	for _, call := range k.calls {
		n += len(call)
	}
	if n > maxWatched {
		x.heard, x.call.Tell = nil, x.tells()
	}
}

// looked tells the canary of a whole answer that the caller has.
func (x *exchange) looked() {
	rules := x.ticket.Watched()
	if x.heard == nil || rules == nil {
		return
	}
	passed := x.heard.look(rules, x.finish) == ""
	x.g.mu.Lock()
	defer x.g.mu.Unlock()
	x.g.policy.Look(&x.ticket, passed, time.Now())
}
