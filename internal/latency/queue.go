package latency

// none stands where no sequence is meant.
const none int32 = -1

// list is a chain of sequences, linked by their slots.
type list struct {
	head, tail int32
	n          int
}

func (e *Engine) pushBack(l *list, i int32) {
	s := &e.sequences[i]
	s.prev, s.next = l.tail, none
	if l.tail != none {
		e.sequences[l.tail].next = i
	} else {
		l.head = i
	}
	l.tail = i
	l.n++
}

func (e *Engine) pushFront(l *list, i int32) {
	s := &e.sequences[i]
	s.prev, s.next = none, l.head
	if l.head != none {
		e.sequences[l.head].prev = i
	} else {
		l.tail = i
	}
	l.head = i
	l.n++
}

func (e *Engine) remove(l *list, i int32) {
	s := &e.sequences[i]
	if s.prev != none {
		e.sequences[s.prev].next = s.next
	} else {
		l.head = s.next
	}
	if s.next != none {
		e.sequences[s.next].prev = s.prev
	} else {
		l.tail = s.prev
	}
	l.n--
}

// slot returns a place for one more sequence.
func (e *Engine) slot() int32 {
	if n := len(e.vacant); n > 0 {
		i := e.vacant[n-1]
		e.vacant = e.vacant[:n-1]
		return i
	}
	e.sequences = append(e.sequences, sequence{turn: 1})
	return int32(len(e.sequences) - 1)
}

// vacate gives a place back; handles to it name nothing any more.
func (e *Engine) vacate(i int32) {
	s := &e.sequences[i]
	s.stage = absent
	s.turn++
	e.vacant = append(e.vacant, i)
}

// agenda is a heap of the decoding sequences, whoever ends first on top, of those
// the first admitted.
type agenda []deadline

type deadline struct {
	finish int64
	serial uint64
	slot   int32
}

func (d deadline) before(o deadline) bool {
	if d.finish != o.finish {
		return d.finish < o.finish
	}
	return d.serial < o.serial
}

// enter adds a sequence to the agenda.
func (e *Engine) enter(i int32) {
	s := &e.sequences[i]
	e.ends = append(e.ends, deadline{s.finish, s.serial, i})
	e.up(len(e.ends) - 1)
}

// drop takes a sequence off the agenda.
func (e *Engine) drop(i int32) {
	at := int(e.sequences[i].place)
	last := len(e.ends) - 1
	moved := e.ends[last]
	e.ends = e.ends[:last]
	if at == last {
		return
	}
	e.ends[at] = moved
	if at > 0 && moved.before(e.ends[(at-1)/2]) {
		e.up(at)
	} else {
		e.down(at)
	}
}

func (e *Engine) up(at int) {
	d := e.ends[at]
	for at > 0 {
		parent := (at - 1) / 2
		if !d.before(e.ends[parent]) {
			break
		}
		e.put(at, e.ends[parent])
		at = parent
	}
	e.put(at, d)
}

func (e *Engine) down(at int) {
	d := e.ends[at]
	for {
		child := 2*at + 1
		if child >= len(e.ends) {
			break
		}
		if child+1 < len(e.ends) && e.ends[child+1].before(e.ends[child]) {
			child++
		}
		if !e.ends[child].before(d) {
			break
		}
		e.put(at, e.ends[child])
		at = child
	}
	e.put(at, d)
}

func (e *Engine) put(at int, d deadline) {
	e.ends[at] = d
	e.sequences[d.slot].place = int32(at)
}
