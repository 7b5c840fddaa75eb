package embeddings

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/scan"
)

// Texts returns the inputs of a request that ReadRequest has accepted, if the vector of
// each depends on nothing but its own text and on what AppendOptions says; nil if not.
// Tokens and conversations have none, and neither have requests with a field that is not
// known to leave it so: with late_chunking, as Jina has it, each vector depends on the
// other texts.
func Texts(d *scan.Doc) (texts []scan.Value) {
	root := d.Root()
	for m := range root.All() {
		switch string(m.Key()) {
		case "input", "model", "models", "encoding_format", "user", "priority", "metadata": // none of the vector
		case "dimensions", "truncate_prompt_tokens", "truncate", "normalize", "normalized",
			"input_type", "task", "prompt_name", "instruction", "add_special_tokens":
		default:
			if m.Given() {
				return nil
			}
		}
	}
	switch input := root.Get("input"); input.Kind() {
	case scan.String:
		return []scan.Value{input}
	case scan.Array:
		texts = slices.Grow(texts, input.Len())
		for e := range input.All() {
			if e.Kind() != scan.String {
				return nil
			}
			texts = append(texts, e)
		}
	}
	return texts
}

// AppendOptions appends what a request says of its vectors, beside their texts and their
// model, in the canonical form.
func AppendOptions(dst []byte, d *scan.Doc) []byte {
	return d.Root().AppendCanonical(dst, func(depth int, m scan.Value) bool {
		if depth > 0 {
			return false
		}
		switch string(m.Key()) {
		case "input", "model", "models", "encoding_format", "user", "priority", "metadata":
			return true
		}
		return !m.Given()
	})
}

// InBase64 reports whether a request asks for vectors in base64.
func InBase64(d *scan.Doc) bool { return d.Root().Get("encoding_format").Is("base64") }

// AppendSome appends the request for some of its inputs alone.
func AppendSome(dst []byte, d *scan.Doc, some []scan.Value) []byte {
	list := []byte{'['}
	for _, text := range some {
		list = append(scan.AppendComma(list), text.Raw()...)
	}
	return scan.Splice(dst, d.Bytes(), []scan.Edit{scan.Replace(d.Root().Get("input"), append(list, ']'))})
}

// How a vector is kept: single or double precision, and how its numbers are written.
// Numbers of single precision are written as the doubles that they are, as Python does,
// or as the shortest text that is read as them again, as Go and Rust do.
const (
	singleAsDouble = 1 + iota
	single
	double
)

// AppendKept appends the embedding of an answer as it is kept: its numbers, bit by bit.
// False: it is not one vector of numbers.
func AppendKept(dst []byte, embedding scan.Value) ([]byte, bool) {
	if embedding.Kind() == scan.String {
		raw, err := base64.StdEncoding.AppendDecode(append(dst, singleAsDouble), embedding.Bytes())
		return raw, err == nil && len(raw) > len(dst)+1 && (len(raw)-len(dst)-1)%4 == 0
	}
	if embedding.Kind() != scan.Array || embedding.Len() == 0 {
		return dst, false
	}
	inside := bytes.TrimSpace(embedding.Raw())
	numbers := make([]float64, 0, embedding.Len())
	asDouble, short := true, true
	for text := range bytes.SplitSeq(inside[1:len(inside)-1], []byte{','}) {
		x, err := strconv.ParseFloat(string(bytes.TrimSpace(text)), 64)
		if err != nil {
			return dst, false
		}
		numbers = append(numbers, x)
		asDouble = asDouble && float64(float32(x)) == x
		short = short && shortest(float32(x)) == x
	}
	switch {
	case asDouble:
		return appendSingles(append(dst, singleAsDouble), numbers), true
	case short:
		return appendSingles(append(dst, single), numbers), true
	}
	dst = append(dst, double)
	for _, x := range numbers {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
	}
	return dst, true
}

func appendSingles(dst []byte, numbers []float64) []byte {
	for _, x := range numbers {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(x)))
	}
	return dst
}

// shortest returns the double that the shortest text of x is read as.
func shortest(x float32) float64 {
	var room [32]byte
	d, err := strconv.ParseFloat(string(strconv.AppendFloat(room[:0], float64(x), 'g', -1, 32)), 64)
	if err != nil {
		return math.NaN()
	}
	return d
}

// KeptLen returns how many numbers a vector has that AppendKept appended; 0: it is none.
func KeptLen(kept []byte) int {
	if len(kept) == 0 {
		return 0
	}
	n, size := len(kept)-1, 4
	switch kept[0] {
	case singleAsDouble, single:
	case double:
		size = 8
	default:
		return 0
	}
	if n%size != 0 {
		return 0
	}
	return n / size
}

// appendVector appends a vector that is kept, as the embedding of an answer. Base64 has
// single precision.
func appendVector(dst, kept []byte, inBase64 bool) []byte {
	form, raw := kept[0], kept[1:]
	if inBase64 {
		if form == double {
			var all []byte
			for ; len(raw) > 0; raw = raw[8:] {
				x := math.Float64frombits(binary.LittleEndian.Uint64(raw))
				all = binary.LittleEndian.AppendUint32(all, math.Float32bits(float32(x)))
			}
			raw = all
		}
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), raw), '"')
	}
	dst = append(dst, '[')
	for i := 0; len(raw) > 0; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch form {
		case double:
			dst = strconv.AppendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(raw)), 'g', -1, 64)
			raw = raw[8:]
			continue
		case single:
			dst = strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))), 'g', -1, 32)
		default:
			dst = strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))), 'g', -1, 64)
		}
		raw = raw[4:]
	}
	return append(dst, ']')
}

func appendItem(dst, kept []byte, index int, inBase64 bool) []byte {
	dst = append(dst, `{"object":"embedding","index":`...)
	dst = scan.AppendKey(strconv.AppendInt(dst, int64(index), 10), "embedding")
	return append(appendVector(dst, kept, inBase64), '}')
}

// AppendKnown appends an answer that is made of vectors that are kept, for which no model
// worked.
func AppendKnown(dst []byte, kept [][]byte, model string, inBase64 bool) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, k := range kept {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendItem(dst, k, i, inBase64)
	}
	return AppendEnd(dst, model, 0)
}

// Items returns what an answer that ReadAnswer has accepted holds for each of n inputs,
// by their places in the request.
func Items(d *scan.Doc, n int) ([]scan.Value, error) {
	items := make([]scan.Value, n)
	i := 0
	for v := range d.Root().Get("data").All() {
		at := int64(i)
		if index := v.Get("index"); index.Exists() {
			at, _ = index.Int()
		}
		if at < 0 || at >= int64(n) {
			return nil, dialect.Broken(fault.Mismatch, "an embedding of something that was not sent")
		}
		items[at] = v
		i++
	}
	if i != n {
		return nil, dialect.Broken(fault.Incomplete, "not every input has an embedding")
	}
	return items, nil
}

// Plain reports whether an item of an answer says no more than its vector and its place,
// so that what AppendKept keeps of it is the whole.
func Plain(item scan.Value) bool {
	for m := range item.All() {
		switch string(m.Key()) {
		case "object", "embedding", "index":
		default:
			return false
		}
	}
	return true
}

// AppendMixed appends the answer to all inputs of a request, of which the upstream was
// asked for some: at each place of kept the vector that is kept, and where there is none,
// the item that the upstream's answer d has for it, items[asked[i]]. All else is as the
// upstream said it.
func AppendMixed(dst []byte, d *scan.Doc, items []scan.Value, kept [][]byte, asked []int, inBase64 bool) []byte {
	list := []byte{'['}
	for i, k := range kept {
		if i > 0 {
			list = append(list, ',')
		}
		if k != nil {
			list = appendItem(list, k, i, inBase64)
			continue
		}
		list = appendPlaced(list, d, items[asked[i]], i)
	}
	return scan.Splice(dst, d.Bytes(), []scan.Edit{scan.Replace(d.Root().Get("data"), append(list, ']'))})
}

// appendPlaced appends an item of an answer, at another place.
func appendPlaced(dst []byte, d *scan.Doc, item scan.Value, index int) []byte {
	start, end := item.Span()
	place := item.Get("index")
	if !place.Exists() {
		dst = append(dst, `{"index":`...)
		dst = append(strconv.AppendInt(dst, int64(index), 10), ',')
		return append(dst, d.Bytes()[start+1:end]...)
	}
	from, to := place.Span()
	dst = append(dst, d.Bytes()[start:from]...)
	dst = strconv.AppendInt(dst, int64(index), 10)
	return append(dst, d.Bytes()[to:end]...)
}
