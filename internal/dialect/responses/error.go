package responses

import (
	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/scan"
)

// Status returns the HTTP status of an error's answer.
func Status(f *fault.Error) int { return f.HTTPStatus() }

// AppendError appends the body of an error's answer. The request id stands in the
// headers alone.
func AppendError(dst []byte, f *fault.Error, _ string) []byte {
	return append(appendError(append(dst, `{"error":{`...), f, false), "}}"...)
}

// appendError appends what an error says, as members.
func appendError(dst []byte, f *fault.Error, inBand bool) []byte {
	dst = appendText(dst, "message", f.Words)
	dst = appendText(dst, "type", errorType(f))
	return appendText(appendParam(dst, f), "code", f.HTTPCode(inBand))
}

func appendParam(dst []byte, f *fault.Error) []byte {
	dst = scan.AppendKey(dst, "param")
	if f.Param == "" {
		return append(dst, "null"...)
	}
	return scan.AppendString(dst, f.Param)
}

func errorType(f *fault.Error) string {
	switch status := f.HTTPStatus(); {
	case f.Kind == fault.Quota:
		return "insufficient_quota"
	case status == 429:
		return "rate_limit_error"
	case status < 500:
		return "invalid_request_error"
	}
	return "server_error"
}

// reason returns the code of a failed response: one of those that OpenAI sends, on
// which its clients act.
func reason(f *fault.Error) string {
	switch status := f.HTTPStatus(); {
	case f.Kind == fault.ContextTooLong:
		return "context_length_exceeded"
	case f.Kind == fault.Quota:
		return "insufficient_quota"
	case status == 429:
		return "rate_limit_exceeded"
	case status < 500:
		return "invalid_prompt"
	}
	return "server_error"
}

// ReadError returns what an upstream's error answer means: its status, and a body
// that may be of any form.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	if d.ScanLax(body) == nil {
		for _, v := range []scan.Value{d.Root().Get("error"), d.Root().Get("detail"), d.Root()} {
			if f := failed(v, status); f != nil {
				return f
			}
		}
	}
	return dialect.Said{Status: status}.Fault()
}
