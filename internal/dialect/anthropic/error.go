package anthropic

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/scan"
)

// overloaded is this dialect's own status for what others say with 503.
const overloaded = 529

// Status returns the HTTP status of an error's answer.
func Status(f *fault.Error) int {
	if s := f.HTTPStatus(); s != 503 {
		return s
	}
	return overloaded
}

// AppendError appends the body of an error's answer, or the data of an error
// event.
func AppendError(dst []byte, f *fault.Error, requestID string) []byte {
	dst = append(dst, `{"type":"error","error":{"type":`...)
	dst = scan.AppendString(dst, errorType(f))
	dst = scan.AppendString(scan.AppendKey(dst, "message"), f.Words)
	dst = scan.AppendKey(append(dst, '}'), "request_id")
	return append(scan.AppendString(dst, requestID), '}')
}

func errorType(f *fault.Error) string {
	switch status := Status(f); status {
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 504:
		return "timeout_error"
	case overloaded:
		return "overloaded_error"
	default:
		if status >= 500 {
			return "api_error"
		}
		return "invalid_request_error"
	}
}

// ReadError returns what an upstream's error answer means: its status, and a
// body that may be of any form.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	if d.ScanLax(body) != nil {
		return dialect.Said{Status: status}.Fault()
	}
	if e := d.Root().Get("error"); e.Given() {
		return failed(e, status)
	}
	return failed(d.Root(), status)
}
