package openai

import (
	"headworks/internal/fault"
	"headworks/internal/scan"
)

// Status returns the HTTP status of an error's answer.
func Status(f *fault.Error) int { return f.HTTPStatus() }

// AppendError appends the body of an error's answer. The request id stands in
// the headers alone.
func AppendError(dst []byte, f *fault.Error, _ string) []byte {
	return appendError(dst, f, false)
}

func appendError(dst []byte, f *fault.Error, inBand bool) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = scan.AppendString(dst, f.Words)
	dst = scan.AppendString(scan.AppendKey(dst, "type"), errorType(f))
	dst = scan.AppendKey(dst, "param")
	if f.Param == "" {
		dst = append(dst, "null"...)
	} else {
		dst = scan.AppendString(dst, f.Param)
	}
	dst = scan.AppendString(scan.AppendKey(dst, "code"), f.HTTPCode(inBand))
	return append(dst, "}}"...)
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

// ReadError returns what an upstream's error answer means: its status, and a
// body that may be of any form.
func ReadError(status int, body []byte, d *scan.Doc) *fault.Error {
	return kin.ReadError(status, body, d)
}
