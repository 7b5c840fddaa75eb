package scan

import (
	"iter"
	"strings"
)

// Shape says which keys are known at a level of a document and below. A Shape
// never changes; the nil Shape knows nothing.
type Shape struct {
	names  []string
	values []*Shape
	table  []uint8 // places in names, plus 1, by hash; 0 is free
	each   *Shape
}

// Keys returns the shape of an object with these keys.
func Keys(names ...string) *Shape {
	return build(names, make([]*Shape, len(names)), nil)
}

// Each returns the shape of an array whose elements have that shape. A value
// that may be an array or something else has this shape too.
func Each(element *Shape) *Shape { return &Shape{each: element} }

// Some returns the shape of an array whose elements have that shape, and of one of
// them in the place of an array.
func Some(element *Shape) *Shape { return build(element.names, element.values, element) }

// With returns s with one more key, and the shape of that key's value.
func (s *Shape) With(name string, value *Shape) *Shape {
	names := append(s.names[:len(s.names):len(s.names)], name)
	values := append(s.values[:len(s.values):len(s.values)], value)
	return build(names, values, s.each)
}

func build(names []string, values []*Shape, each *Shape) *Shape {
	size := 4
	for size < 4*len(names) {
		size *= 2
	}
	s := &Shape{names: names, values: values, each: each, table: make([]uint8, size)}
	for i, name := range names {
		h := s.hash(name)
		for s.table[h] != 0 {
			h = (h + 1) % size
		}
		s.table[h] = uint8(i + 1)
	}
	return s
}

// hash returns a place in the table, the same for names that differ in the case
// of ASCII letters.
func (s *Shape) hash(name string) int {
	n := len(name)
	if n == 0 {
		return 0
	}
	h := n + int(name[0]|0x20) + 7*int(name[n/2]|0x20) + 31*int(name[n-1]|0x20)
	return h & (len(s.table) - 1)
}

// Members ranges over the keys that are known, in the order in which they were
// named, and the shapes of their values.
func (s *Shape) Members() iter.Seq2[string, *Shape] {
	return func(yield func(string, *Shape) bool) {
		if s == nil {
			return
		}
		for i, name := range s.names {
			if !yield(name, s.values[i]) {
				return
			}
		}
	}
}

// Element returns the shape of an array's elements, nil where nothing is known of
// them.
func (s *Shape) Element() *Shape { return s.element() }

func (s *Shape) element() *Shape {
	if s == nil {
		return nil
	}
	return s.each
}

// member returns the shape of the value of a key, and whether the key is a
// variant of a known one: equal under Unicode simple folding, but not the same.
func (s *Shape) member(key []byte) (value *Shape, variant bool) {
	if len(s.table) == 0 {
		return nil, false
	}
	for _, c := range key {
		if c >= 0x80 {
			return nil, s.folds(string(key))
		}
	}
	for h := s.hash(string(key)); s.table[h] != 0; h = (h + 1) & (len(s.table) - 1) {
		i := s.table[h] - 1
		switch name := s.names[i]; {
		case len(name) != len(key):
		case name == string(key):
			return s.values[i], false
		case strings.EqualFold(name, string(key)):
			return nil, true
		}
	}
	return nil, false
}

func (s *Shape) folds(key string) bool {
	for _, name := range s.names {
		if strings.EqualFold(name, key) {
			return true
		}
	}
	return false
}

// Known returns the longest beginning of a path, such as messages[2].content,
// that names only known keys and indices.
func (s *Shape) Known(path string) string {
	end := 0
	for rest := path; rest != ""; {
		if strings.HasPrefix(rest, "[") {
			i := strings.IndexByte(rest, ']')
			if i < 2 || i > 10 || strings.Trim(rest[1:i], "0123456789") != "" || s.element() == nil {
				break
			}
			s, rest = s.each, rest[i+1:]
		} else {
			if end > 0 {
				if rest[0] != '.' {
					break
				}
				rest = rest[1:]
			}
			name := rest
			if i := strings.IndexAny(rest, ".["); i >= 0 {
				name = rest[:i]
			}
			i := s.index(name)
			if i < 0 {
				break
			}
			s, rest = s.values[i], rest[len(name):]
		}
		end = len(path) - len(rest)
	}
	return path[:end]
}

func (s *Shape) index(name string) int {
	if s != nil {
		for i, n := range s.names {
			if n == name {
				return i
			}
		}
	}
	return -1
}
