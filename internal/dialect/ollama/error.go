package ollama

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/scan"
)

// Status returns the HTTP status of an error's answer.
func Status(f *fault.Error) int { return f.HTTPStatus() }

// AppendError appends an error, as the body of an answer or as a line of a stream. The
// dialect has words alone; the request id stands in the headers.
func AppendError(dst []byte, f *fault.Error, _ string) []byte {
	return append(scan.AppendString(append(dst, `{"error":`...), f.Words), '}')
}

// ReadError returns what an upstream's error answer means: its status, and a body
// that may be of any form.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	if d.ScanLax(body) == nil {
		if f := failed(d.Root().Get("error"), status); f != nil {
			return f
		}
	}
	return dialect.Said{Status: status}.Fault()
}
