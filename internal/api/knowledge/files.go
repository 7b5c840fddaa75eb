package knowledge

import (
	"errors"
	"io"
	"mime/multipart"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"headworks/internal/api"
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/form"
	"headworks/internal/knowledge"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// formRoom is what the parts of a form beside its file may have.
const formRoom = 64 << 10

// upload serves a form with a file.
func (s *surface) upload(a *ask) ([]byte, error) {
	media, _ := a.x.Header("content-type")
	strict, err := form.New(string(media), "purpose")
	if err != nil {
		return nil, misformed(err)
	}
	if coding, ok := a.x.Header("content-encoding"); ok && string(coding) != "identity" {
		e := fault.New(fault.InvalidRequest, "a form is taken without a content coding; send it as it is")
		e.Status = 415
		return nil, e
	}
	boundary, err := boundaryOf(string(media))
	if err != nil {
		return nil, misformed(err)
	}
	u, err := a.x.Upload(knowledge.MaxFile + formRoom)
	if err != nil {
		return nil, err
	}
	in := &checked{from: u, form: strict}
	f, err := s.parts(a, multipart.NewReader(in, boundary))
	if in.failed != nil { // what is wrong with the form, whatever became of it
		err = in.failed
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	if err != nil {
		if f != nil {
			err = errors.Join(err, s.k.RemoveFile(a.x.Context(), a.by, f.ID))
		}
		return nil, err
	}
	return appendFile(nil, f), nil
}

// checked reads a form as strictly as any other.
type checked struct {
	from   io.Reader
	form   *form.Reader
	failed error
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if _, wrong := c.form.Write(p[:n]); wrong != nil {
		c.failed = misformed(wrong)
		return 0, c.failed
	}
	switch {
	case err == io.EOF:
		if wrong := c.form.End(); wrong != nil {
			c.failed = misformed(wrong)
			return n, c.failed
		}
	case err != nil:
		c.failed = err
	}
	return n, err
}

func misformed(err error) error {
	e := fault.New(fault.InvalidRequest, err.Error())
	var at *form.Error
	if errors.As(err, &at) {
		e.Param = at.Field
	}
	return e
}

// boundaryOf returns the boundary of a form, whose media type form.New has checked.
func boundaryOf(media string) (string, error) {
	_, rest, _ := strings.Cut(media, ";")
	for part := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(name, "boundary") {
			return strings.Trim(value, `"`), nil
		}
	}
	return "", errors.New("the body is not multipart/form-data with a boundary")
}

// parts keeps the file of a form. Its purpose may come before or behind it.
func (s *surface) parts(a *ask, r *multipart.Reader) (kept *knowledge.File, err error) {
	f := knowledge.File{Purpose: "user_data"}
	given := map[string]string{}
	for {
		p, err := r.NextPart()
		if err == io.EOF { //nolint:errorlint // as above
			break
		}
		if err != nil {
			return kept, misformed(err)
		}
		if p.FormName() == "file" && p.FileName() != "" {
			if kept != nil {
				return kept, dialect.Invalid("file", "one request keeps one file")
			}
			f.Name, f.Media = path.Base(p.FileName()), p.Header.Get("Content-Type")
			if v := given["purpose"]; v != "" {
				f.Purpose = v
			}
			if f.Media == "application/octet-stream" {
				f.Media = ""
			}
			if kept, err = s.k.PutFile(a.x.Context(), a.by, f, p); err != nil {
				return nil, err
			}
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p, formRoom+1))
		if err != nil || len(b) > formRoom {
			return kept, dialect.Invalid(p.FormName(), "a field of the form is longer than it may be")
		}
		given[p.FormName()] = string(b)
	}
	switch {
	case kept == nil:
		return nil, dialect.Invalid("file", "the form has no file")
	case given["purpose"] == "":
		return kept, dialect.Invalid("purpose", "purpose says what the file is for, such as assistants or user_data")
	}
	about := *kept
	about.Purpose = given["purpose"]
	if anchor := given["expires_after[anchor]"]; anchor != "" {
		n, err := strconv.Atoi(given["expires_after[seconds]"])
		if anchor != "created_at" || err != nil || n < 3600 || n > 2592000 {
			return kept, dialect.Invalid("expires_after", "expires_after has the anchor created_at and 3600 to 2592000 seconds")
		}
		about.Expires = about.Created.Add(time.Duration(n) * time.Second)
	}
	if about != *kept {
		if err := s.k.ChangeFile(a.x.Context(), &about); err != nil {
			return kept, err
		}
	}
	return &about, nil
}

func appendFile(b []byte, f *knowledge.File) []byte {
	b = scan.AppendString(append(b, `{"id":`...), f.ID)
	b = append(b, `,"object":"file","bytes":`...)
	b = strconv.AppendInt(b, f.Bytes, 10)
	b = append(b, `,"created_at":`...)
	b = strconv.AppendInt(b, f.Created.Unix(), 10)
	b = append(b, `,"expires_at":`...)
	b = appendTime(b, f.Expires)
	b = scan.AppendString(append(b, `,"filename":`...), f.Name)
	b = scan.AppendString(append(b, `,"purpose":`...), f.Purpose)
	return append(b, `,"status":"processed","status_details":null}`...)
}

// appendTime writes a moment in seconds, or null.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, t.Unix(), 10)
}

func (s *surface) files(a *ask) ([]byte, error) {
	p, err := a.page()
	if err != nil {
		return nil, err
	}
	if a.q.Get("limit") == "" {
		p.limit = 10000
	}
	all := s.k.Files(a.by)
	if purpose := a.q.Get("purpose"); purpose != "" {
		some := all[:0]
		for _, f := range all {
			if f.Purpose == purpose {
				some = append(some, f)
			}
		}
		all = some
	}
	return list(p, all, func(f *knowledge.File) string { return f.ID }, appendFile), nil
}

// getFile serves what is known of a file, or its bytes.
func (s *surface) getFile(front *api.Front, x *wire.Exchange, v api.Visit) {
	id, rest, _ := strings.Cut(v.Tail, "/")
	by := knowledge.By(v.Caller)
	switch rest {
	case "":
		f, err := s.k.File(by, id)
		if err != nil {
			front.Tell(x, v.Dialect, nil, err)
			return
		}
		front.Tell(x, v.Dialect, appendFile(nil, f), nil)
	case "content":
		f, in, err := s.k.OpenFile(by, id)
		if err != nil {
			front.Tell(x, v.Dialect, nil, err)
			return
		}
		defer in.Close()
		send(x, f, in)
	default:
		front.Tell(x, v.Dialect, nil, noPath())
	}
}

// piece is how much of a file is written at a time.
const piece = 256 << 10

// send writes a file. One that cannot be read to its end ends as a broken message.
func send(x *wire.Exchange, f *knowledge.File, in io.Reader) {
	var h wire.Header
	h.Add("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(f.Name))
	h.Add("X-Content-Type-Options", "nosniff")
	if x.Begin(200, "application/octet-stream", &h) != nil {
		return
	}
	b := make([]byte, piece)
	for {
		n, err := io.ReadFull(in, b)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			_ = x.WriteEnd(b[:n]) // fails only if the client is gone
			return
		case err != nil:
			x.Abort()
			return
		}
		if x.Write(b[:n]) != nil {
			return
		}
	}
}

func (s *surface) removeFile(a *ask) ([]byte, error) {
	if len(a.path) != 1 {
		return nil, noPath()
	}
	if err := s.k.RemoveFile(a.x.Context(), a.by, a.path[0]); err != nil {
		return nil, err
	}
	return deleted(a.path[0], "file"), nil
}
