package config

import (
	"maps"
	"slices"
	"strconv"

	"headworks/internal/catalog/card"
)

// cards takes from the model card what the file does not say of targets.
func (r *reader) cards() {
	cards, err := card.All()
	if err != nil {
		r.at("models", BadValue, "the model card inside this program cannot be read: "+err.Error())
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.cfg.Models)) {
		m := r.cfg.Models[name]
		if m.Card == CardOff {
			continue
		}
		for i := range m.Targets {
			t := &m.Targets[i]
			u := r.cfg.Upstreams[t.Upstream]
			if u.Discover != nil {
				continue // an engine of one's own, whatever dialect it speaks
			}
			if c, ok := cards.Of(u.Kind, u.URLs, t.Model); ok {
				r.card(join("models", name)+".targets["+strconv.Itoa(i)+"]", t, c)
			}
		}
	}
}

func (r *reader) card(path string, t *Target, c card.Card) {
	takes := func(field string, known bool) bool {
		at := join(path, field)
		if known = known && !r.given[at]; known {
			r.cfg.carded[at] = true
		}
		return known
	}
	t.Released = c.Released
	if takes("price", c.Price.Known) {
		t.Price = onCard(c)
	}
	if takes("window", c.Window > 0) {
		t.Window, t.Carded = c.Window, true
	}
	if takes("max_output", c.Output > 0) {
		t.Output = c.Output
	}
	if takes("capabilities", c.Abilities.Known()) {
		t.Capabilities, t.Able = c.Abilities.Names(), true
	}
}

// onCard returns the price of a card as a file would have it.
func onCard(c card.Card) *Price {
	p := &Price{Input: c.Price.Input, Output: c.Price.Output}
	if c.Cached.Read {
		p.CacheRead = &c.Price.CacheRead
	}
	if c.Cached.Write {
		p.CacheWrite = &c.Price.CacheWrite
	}
	if c.Cached.WriteHour {
		p.CacheWriteHour = &c.Price.CacheWriteHour
	}
	if c.Price.Above > 0 {
		l := c.Price.Long
		p.Long = &Long{Above: c.Price.Above, Input: l.Input, Output: l.Output, CacheRead: &l.CacheRead}
	}
	return p
}
