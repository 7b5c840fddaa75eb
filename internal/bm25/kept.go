package bm25

import "slices"

// Kept is segments that were read before, by what names them. Of more than Most bytes
// those go that were asked for longest ago; the last one stays, however large it is.
// Whoever owns it calls its methods from one goroutine at a time.
type Kept[K comparable] struct {
	Most int // bytes

	segments map[K]*Segment
	order    []K // the one that was asked for last at the end
	bytes    int
}

// Get returns a segment; nil where it is not kept.
func (k *Kept[K]) Get(name K) *Segment {
	s := k.segments[name]
	if i := slices.Index(k.order, name); s != nil && i >= 0 {
		k.order = append(slices.Delete(k.order, i, i+1), name)
	}
	return s
}

// Put keeps a segment, unless one of its name is kept.
func (k *Kept[K]) Put(name K, s *Segment) {
	if k.segments == nil {
		k.segments = map[K]*Segment{}
	}
	if k.segments[name] == nil {
		k.segments[name] = s
		k.order = append(k.order, name)
		k.bytes += len(s.Bytes())
	}
	for k.bytes > k.Most && len(k.order) > 1 {
		old := k.order[0]
		k.order = k.order[1:]
		k.bytes -= len(k.segments[old].Bytes())
		delete(k.segments, old)
	}
}
