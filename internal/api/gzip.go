package api

import (
	"bytes"
	"compress/gzip"
	"io"
	"strconv"
	"strings"
	"sync"

	"headworks/internal/fault"
)

// mostRatio is how many times its own size a compressed body may become: text does
// not shrink so much, a bomb does.
const mostRatio = 100

// inflate returns a body that came in a content coding (RFC 9110 8.4), of most bytes
// at most once it is decoded.
func inflate(coding string, body []byte, most int64) ([]byte, error) {
	if !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "x-gzip") {
		e := fault.New(fault.InvalidRequest, "the body has a content coding that is not gzip; send it as gzip, or as it is")
		e.Status = 415
		return nil, e
	}
	bad := func(err error) error {
		return fault.Wrap(fault.InvalidRequest, "the body is not gzip, though its Content-Encoding says so", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, bad(err)
	}
	most = min(most, max(int64(len(body))*mostRatio, 64<<10))
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(z, most+1))
	switch {
	case n > most:
		return nil, fault.New(fault.TooLarge, "the decoded body is larger than "+strconv.FormatInt(most, 10)+" bytes, which is the limit or a hundred times what came")
	case err != nil:
		return nil, bad(err)
	}
	return b.Bytes(), nil
}

// deflaters compress whole answers.
type deflaters struct{ sync.Pool }

// deflate appends a body as gzip.
func (p *deflaters) deflate(dst, body []byte) []byte {
	z := p.Get().(*gzip.Writer)
	b := bytes.NewBuffer(dst)
	z.Reset(b)
	_, _ = z.Write(body) // a buffer takes all
	_ = z.Close()
	p.Put(z)
	return b.Bytes()
}

func newDeflater() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level exists
	return z
}

// accepts reports whether a client takes answers as gzip (RFC 9110 12.5.3).
func accepts(field []byte) bool {
	for part := range bytes.SplitSeq(field, []byte{','}) {
		name, weight, _ := bytes.Cut(part, []byte{';'})
		if !bytes.EqualFold(bytes.TrimSpace(name), []byte("gzip")) {
			continue
		}
		q, weighed := bytes.CutPrefix(bytes.TrimSpace(weight), []byte("q="))
		f, err := strconv.ParseFloat(string(bytes.TrimSpace(q)), 64)
		return !weighed || err == nil && f > 0
	}
	return false
}
