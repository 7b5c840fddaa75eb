package api

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"headworks/internal/engine"
	"headworks/internal/fault"
	"headworks/internal/form"
	"headworks/internal/wire"
)

// enough is how much of a form is held where it need not be: so much can be sent
// again.
const enough = 1 << 20

// readForm reads a form as far as it must be known before it can be sent on: up to
// its model, and to a file behind that. What is read is held, the rest passes through.
func (k *call) readForm(media string, most int64) error {
	r, x := &k.req, k.x
	if coding, ok := x.Header("content-encoding"); ok && string(coding) != "identity" {
		e := fault.New(fault.InvalidRequest, "a form is taken without a content coding; send it as it is")
		e.Status = 415
		return e
	}
	asked := time.Now()
	f, err := form.New(media, k.d.FormFields...)
	if err != nil {
		return misformed(err)
	}
	u, err := x.Upload(most)
	if err != nil {
		return err
	}
	body, whole, err := hold(u, f)
	r.Uploaded = time.Since(asked)
	r.Bytes = len(body)
	if err != nil {
		return err
	}
	if err := k.d.ReadForm(f, &r.Request); err != nil {
		return err
	}
	name, _ := f.Get("model")
	r.Form = &engine.Form{Type: media, Model: [2]int{int(name.Start), int(name.Start) + len(name.Value)}}
	if !whole {
		r.Form.Length = u.Length()
		r.Form.Rest = &rest{upload: u, form: f, known: len(f.Fields())}
	}
	r.Bytes = len(body) + int(max(r.Form.Length, 0))
	r.Body, r.Conversation = body, k.decoded
	k.follow()
	return nil
}

// hold reads a form until it is whole, or known well enough while a file passes.
func hold(u *wire.Upload, f *form.Reader) (body []byte, whole bool, err error) {
	// Memory follows what came, so that a Content-Length alone costs nothing.
	body = make([]byte, 0, 16<<10)
	for {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), 2*cap(body))
			copy(grown, body)
			body = grown
		}
		n, err := u.Read(body[len(body):cap(body)])
		if err == io.EOF { //nolint:errorlint // a fault may have it as its cause, and is no end
			if err := f.End(); err != nil {
				return body, true, misformed(err)
			}
			return body, true, nil
		}
		if err != nil {
			return body, false, err
		}
		body = body[:len(body)+n]
		if _, err := f.Write(body[len(body)-n:]); err != nil {
			return body, false, misformed(err)
		}
		if _, named := f.Get("model"); named && len(body) >= enough && f.InFile() {
			return body, false, nil
		}
	}
}

// misformed says in the caller's words what is wrong with a form.
func misformed(err error) error {
	e := fault.New(fault.InvalidRequest, err.Error())
	var at *form.Error
	if errors.As(err, &at) {
		e.Param = at.Field
	}
	return e
}

// rest is what follows the held part of a form. It is read as strictly: what would
// have another reading never comes to its end.
type rest struct {
	upload *wire.Upload
	form   *form.Reader
	known  int          // fields that were known when the request was sent
	taken  atomic.Int64 // when that was over, in Unix nanoseconds; reading until then
}

const reading = -1

// Read implements wire.Source.
func (r *rest) Read(p []byte) (n int, err error) {
	r.taken.CompareAndSwap(0, reading) // a Read that waits may be stopped, and there is no other
	defer func() {
		if err != nil {
			r.taken.Store(time.Now().UnixNano())
		}
	}()
	n, err = r.upload.Read(p)
	switch {
	case err == io.EOF: //nolint:errorlint // a fault may have it as its cause, and is no end
		if err := r.form.End(); err != nil {
			return 0, misformed(err)
		}
		return 0, io.EOF
	case err != nil:
		return 0, err
	}
	if _, err := r.form.Write(p[:n]); err != nil {
		return 0, misformed(err)
	}
	if r.upload.Length() == 0 { // the last piece goes only where it is the end of a form
		if err := r.form.End(); err != nil {
			return 0, misformed(err)
		}
	}
	if fields := r.form.Fields(); len(fields) > r.known {
		name := fields[r.known].Name
		return 0, misformed(&form.Error{Field: name, Words: "the field " + name + " comes behind a large file; send it before the file"})
	}
	return n, nil
}

// Stop implements wire.Source.
func (r *rest) Stop() {
	r.upload.Stop()
	r.taken.CompareAndSwap(reading, time.Now().UnixNano())
}

// Taken implements wire.Source.
func (r *rest) Taken() time.Time {
	switch at := r.taken.Load(); at {
	case 0:
		return time.Time{}
	case reading:
		return time.Now()
	default:
		return time.Unix(0, at)
	}
}
