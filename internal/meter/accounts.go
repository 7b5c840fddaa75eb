package meter

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
)

// owner is whose account it is.
type owner struct{ tenant, key string }

// accounts holds what each key has used.
type accounts map[owner]*account

type account struct {
	ever Total
	days []day // by number, at most keptDays
}

type day struct {
	number int64 // since 1970
	Total
}

func dayOf(us int64) int64 {
	const length = 24 * 60 * 60 * 1e6
	n := us / length
	if us%length < 0 {
		n--
	}
	return n
}

func (a accounts) add(l *Line) {
	who := owner{l.Tenant, l.KeyID}
	acc := a[who]
	if acc == nil {
		acc = new(account)
		a[who] = acc
	}
	t := l.total()
	acc.ever.add(t)
	acc.on(dayOf(l.Time)).add(t)
}

// on returns the sum of a day. One that is older than all that are kept gets a
// sum that nobody keeps.
func (a *account) on(number int64) *Total {
	i, ok := slices.BinarySearchFunc(a.days, number, func(d day, n int64) int { return cmp.Compare(d.number, n) })
	if !ok {
		if len(a.days) == keptDays {
			if i == 0 {
				return new(Total)
			}
			a.days = slices.Delete(a.days, 0, 1)
			i--
		}
		a.days = slices.Insert(a.days, i, day{number: number})
	}
	return &a.days[i].Total
}

func (a *account) since(number int64) (sum Total) {
	for _, d := range a.days {
		if d.number >= number {
			sum.add(d.Total)
		}
	}
	return sum
}

// A balance is all accounts, in as many frames as they need. A frame is a byte of
// kind, its number among them and theirs as varints, then accounts: tenant, key,
// sum, how many days, and each day's number and sum.
const partSize = 512 << 10

// parts returns the frames of a balance.
func (a accounts) parts() iter.Seq[[]byte] {
	var bodies [][]byte
	var body []byte
	for who, acc := range a {
		body = appendText(appendText(body, who.tenant), who.key)
		body = acc.ever.append(body)
		body = binary.AppendUvarint(body, uint64(len(acc.days)))
		for _, d := range acc.days {
			body = d.Total.append(binary.AppendVarint(body, d.number))
		}
		if len(body) >= partSize {
			bodies, body = append(bodies, body), nil
		}
	}
	if body != nil || bodies == nil {
		bodies = append(bodies, body)
	}
	return func(yield func([]byte) bool) {
		for i, body := range bodies {
			part := binary.AppendUvarint([]byte{kindBalance}, uint64(i))
			part = binary.AppendUvarint(part, uint64(len(bodies)))
			if !yield(append(part, body...)) {
				return
			}
		}
	}
}

func (t *Total) append(b []byte) []byte {
	for _, v := range [...]int64{t.Requests, t.Input, t.Output, t.CacheRead, t.CacheWrite, t.Reasoning, t.Cost} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

// balances puts balances together from their frames.
type balances struct {
	whole   accounts // the last that is complete
	growing accounts
	next    uint64
}

// take reads one frame. One that does not parse or does not follow the one before
// ends the balance it is in.
func (b *balances) take(frame []byte) {
	d := reader{b: frame[1:]}
	part, parts := d.uvarint(), d.uvarint()
	if part == 0 {
		b.growing, b.next = accounts{}, 0
	}
	if b.growing == nil || part != b.next {
		b.growing = nil
		return
	}
	for len(d.b) > 0 && !d.bad {
		who := owner{tenant: d.text(), key: d.text()}
		acc := &account{ever: d.total()}
		n := d.uvarint()
		if n > keptDays {
			d.bad = true
		}
		for i := uint64(0); i < n && !d.bad; i++ {
			acc.days = append(acc.days, day{number: d.varint(), Total: d.total()})
		}
		b.growing[who] = acc
	}
	b.next++
	switch {
	case d.bad:
		b.growing = nil
	case b.next == parts:
		b.whole, b.growing = b.growing, nil
	}
}

func (d *reader) total() Total {
	return Total{
		Requests: d.varint(), Input: d.varint(), Output: d.varint(),
		CacheRead: d.varint(), CacheWrite: d.varint(), Reasoning: d.varint(), Cost: d.varint(),
	}
}
