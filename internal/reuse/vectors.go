package reuse

import (
	"time"

	"headworks/internal/fleet"
)

// VectorPlan is what may be done with the vectors of single texts.
type VectorPlan struct {
	Read  bool // those that are kept may be given
	Write bool // new ones may be kept
	most  time.Duration
}

// Vectors returns what may be done with the vectors of the texts of a request. The same
// text has the same vector whoever asks and whatever stands beside it, so no more has to
// be said for it than for answers. rules may be nil: the model keeps nothing. size is of
// the request, in bytes.
func Vectors(rules *fleet.Reuse, size int, c *Control) VectorPlan {
	if rules == nil || rules.Vectors == 0 || c.NoStore() || size > MaxVectorBody {
		return VectorPlan{}
	}
	p := VectorPlan{Read: !c.NoCache(), Write: true, most: -1}
	if c.said(maxAge) {
		p.most = c.seconds(c.MaxAge)
	}
	return p
}

// MaxVectorBody bounds a request whose vectors are kept, in bytes. It is larger than
// MaxBody: documents are taken in many at a time.
const MaxVectorBody = 8 << 20

// Admits reports whether a vector of that age may be given.
func (p *VectorPlan) Admits(age time.Duration) bool { return p.most < 0 || age <= p.most }
