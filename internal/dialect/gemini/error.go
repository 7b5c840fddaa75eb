package gemini

import (
	"strconv"
	"strings"
	"time"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/scan"
)

// Status returns the HTTP status of an error's answer.
func Status(f *fault.Error) int { return f.HTTPStatus() }

// AppendError appends the body of an error's answer: google.rpc.Status as JSON, the
// rest of what is known in its details.
func AppendError(dst []byte, f *fault.Error, requestID string) []byte {
	return appendError(dst, f, requestID, false)
}

func appendError(dst []byte, f *fault.Error, requestID string, inBand bool) []byte {
	dst = append(dst, `{"error":{`...)
	dst = appendInt(dst, "code", f.HTTPStatus())
	dst = scan.AppendString(scan.AppendKey(dst, "message"), f.Words)
	dst = scan.AppendString(scan.AppendKey(dst, "status"), word(f.HTTPStatus()))
	dst = append(dst, `,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":`...)
	dst = scan.AppendString(dst, strings.ToUpper(f.HTTPCode(inBand)))
	dst = append(dst, `,"domain":"headworks","metadata":{"requestId":`...)
	dst = append(scan.AppendString(dst, requestID), "}}"...)
	if f.Param != "" {
		dst = append(dst, `,{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":`...)
		dst = scan.AppendString(dst, f.Param)
		dst = append(scan.AppendString(scan.AppendKey(dst, "description"), f.Words), "}]}"...)
	}
	if f.After > 0 {
		dst = append(dst, `,{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"`...)
		dst = strconv.AppendInt(dst, int64((f.After+time.Second-1)/time.Second), 10)
		dst = append(dst, `s"}`...)
	}
	return append(dst, "]}}"...)
}

// word returns the name of the canonical code that goes with an HTTP status
// (google.rpc.Code).
func word(status int) string {
	switch status {
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 405, 501:
		return "UNIMPLEMENTED"
	case 408, 504:
		return "DEADLINE_EXCEEDED"
	case 409:
		return "ABORTED"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case 503, 529:
		return "UNAVAILABLE"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

// ReadError returns what an upstream's error answer means: its status, and a body
// that may be of any form.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	if d.ScanLax(body) != nil {
		return dialect.Said{Status: status}.Fault()
	}
	root := d.Root()
	if root.Kind() == scan.Array {
		for only := range root.All() {
			root = only
			break
		}
	}
	if e := root.Get("error"); e.Given() {
		return failed(e, status)
	}
	return failed(root, status)
}
