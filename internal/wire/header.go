package wire

import "strconv"

// Header is a list of header fields to be sent, kept as the bytes that go out.
// One that nobody changes any more may be sent by many at once.
type Header struct{ lines []byte }

// Add appends a field. A name that is no token is left out with its value;
// control characters in a value become spaces, so no value can end its line.
func (h *Header) Add(name, value string) {
	if !h.name(name) {
		return
	}
	for i := range len(value) {
		c := value[i]
		if kindOf[c]&text == 0 {
			c = ' '
		}
		h.lines = append(h.lines, c)
	}
	h.lines = append(h.lines, "\r\n"...)
}

// AddInt appends a field whose value is a number.
func (h *Header) AddInt(name string, value int64) {
	if h.name(name) {
		h.lines = strconv.AppendInt(h.lines, value, 10)
		h.lines = append(h.lines, "\r\n"...)
	}
}

// AddFloat appends a field whose value is a number with so many decimals.
func (h *Header) AddFloat(name string, value float64, decimals int) {
	if h.name(name) {
		h.lines = strconv.AppendFloat(h.lines, value, 'f', decimals, 64)
		h.lines = append(h.lines, "\r\n"...)
	}
}

// AddAll appends the fields of another.
func (h *Header) AddAll(other *Header) { h.lines = append(h.lines, other.bytes()...) }

// Reset empties h and keeps its memory.
func (h *Header) Reset() { h.lines = h.lines[:0] }

// String shows nothing: values may be credentials.
func (h *Header) String() string { return "[" + strconv.Itoa(len(h.bytes())) + " bytes of header]" }

func (h *Header) name(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		if kindOf[name[i]]&token == 0 {
			return false
		}
	}
	h.lines = append(h.lines, name...)
	h.lines = append(h.lines, ": "...)
	return true
}

func (h *Header) bytes() []byte {
	if h == nil {
		return nil
	}
	return h.lines
}

// appendStatus appends the status line of an answer (RFC 9110 section 15).
func appendStatus(b []byte, status int) []byte {
	if status == 200 {
		return append(b, "HTTP/1.1 200 OK\r\n"...)
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, reason(status)...)
	return append(b, "\r\n"...)
}

// reason is for people: programs read the number, and it may be empty.
func reason(status int) string {
	switch status {
	case 201:
		return "Created"
	case 202:
		return "Accepted"
	case 204:
		return "No Content"
	case 304:
		return "Not Modified"
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 402:
		return "Payment Required"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 409:
		return "Conflict"
	case 413:
		return "Content Too Large"
	case 414:
		return "URI Too Long"
	case 415:
		return "Unsupported Media Type"
	case 417:
		return "Expectation Failed"
	case 422:
		return "Unprocessable Content"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	case 505:
		return "HTTP Version Not Supported"
	case 529:
		return "Overloaded"
	default:
		return ""
	}
}

// bodiless reports whether an answer of this status never has a body.
func bodiless(status int) bool { return status < 200 || status == 204 || status == 304 }
