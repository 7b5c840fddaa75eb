package segment

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"headworks/internal/dense"
	"headworks/internal/knowledge/knowledgetest"
	"headworks/internal/passage"
)

// The indices of documents that move are those that would be built of them anew.
func TestMergedIsBuilt(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	for i := range 12 {
		d := knowledgetest.Doc(crashSpace, fmt.Sprint("d", i), 1, fmt.Sprintf("apples of d%d", i), "and pears", fmt.Sprintf("and plums of d%d", i))
		if i%4 == 1 {
			d.Passages[1].Vector = nil
		}
		if err := s.Write(t.Context(), crashSpace, passage.Change{Put: []passage.Whole{d}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Write(t.Context(), crashSpace, passage.Change{Remove: []string{"d3", "d7"}}); err != nil {
		t.Fatal(err)
	}
	sp, v, err := s.current(t.Context(), crashSpace)
	if err != nil {
		t.Fatal(err)
	}
	defer v.release()
	some, err := s.states(t.Context(), sp.id)
	if err != nil {
		t.Fatal(err)
	}
	moves, rows, err := s.moves(t.Context(), v, some)
	if err != nil || rows != 30 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	const base = 1000
	a, b := merged(crashSpace, base, moves), built(crashSpace, base, moved(t.Context(), moves))
	one, err := a.words()
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.words()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("the index of words has %d bytes merged and %d built, and they differ", len(one.Bytes()), len(two.Bytes()))
	}
	vectors := func(x indices) *dense.Segment {
		pieces, err := x.dense()
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for p := range pieces {
			all = append(all, p...)
		}
		d, err := dense.Open(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Verify(); err != nil {
			t.Fatal(err)
		}
		return d
	}
	m, n := vectors(a), vectors(b)
	if ids := slices.Collect(m.IDs()); len(ids) != 27 || !slices.Equal(ids, slices.Collect(n.IDs())) {
		t.Errorf("vectors of %v merged, of %v built", ids, slices.Collect(n.IDs()))
	}
	for id := range m.IDs() {
		one, _ := m.Vector(nil, id)
		two, _ := n.Vector(nil, id)
		for i := range one {
			if math.Abs(float64(one[i]-two[i])) > 1e-6 {
				t.Fatalf("vector %d: %v merged, %v built", id, one, two)
			}
		}
	}
}
