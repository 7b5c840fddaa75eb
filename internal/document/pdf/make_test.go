package pdf

import (
	"bytes"
	"crypto/md5"
	"crypto/rc4"
	"fmt"
	"slices"
	"strings"
)

// maker writes PDF files (ISO 32000-1) as programs of different kinds do.
type maker struct {
	pages    []string // content streams
	info     string
	password string // empty: not encrypted
}

const top = 742

// at places a line by an absolute matrix.
func at(font string, size, x, y float64, text string) string {
	return fmt.Sprintf("BT %s 1 Tf %g 0 0 %g %g %g Tm (%s) Tj ET\n", font, size, size, x, y, escape(text))
}

// tex places a line as TeX does: no spaces at all, each word moved to its place, and
// pairs of letters moved closer.
func tex(size, x, y float64, text string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "BT /F1 %g Tf %g %g Td [", size, x, y)
	for i, word := range strings.Fields(text) {
		if i > 0 {
			b.WriteString("-333") // an interword space
		}
		for k := 0; k < len(word); k += 3 {
			if k > 0 {
				b.WriteString("28") // a kern
			}
			b.WriteString("(" + escape(word[k:min(k+3, len(word))]) + ")")
		}
	}
	b.WriteString("] TJ ET\n")
	return b.String()
}

func escape(s string) string {
	return strings.NewReplacer("(", "\\(", ")", "\\)").Replace(s) // a backslash stays, for octal codes
}

func (m *maker) bytes() []byte {
	var b bytes.Buffer
	var at []int
	key := m.key()
	stream := func(n int, content string) string {
		if key != nil {
			content = string(crypt(objectKey(key, n), []byte(content)))
		}
		return fmt.Sprintf("/Length %d >>\nstream\n%s\nendstream", len(content), content)
	}
	object := func(format string, args ...any) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n", len(at))
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\nendobj\n")
	}
	b.WriteString("%PDF-1.4\n")
	var kids strings.Builder
	for i := range m.pages {
		fmt.Fprintf(&kids, "%d 0 R ", 7+2*i)
	}
	object("<< /Type /Catalog /Pages 2 0 R >>")
	object("<< /Type /Pages /Kids [%s] /Count %d >>", kids.String(), len(m.pages))
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>")
	object("<< %s >>", m.info)
	// A grey picture of one pixel.
	object("<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 %s", stream(6, "\x80"))
	for i, content := range m.pages {
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << /Font << /F1 3 0 R /F2 4 0 R >> /XObject << /Im 6 0 R >> >> >>", 8+2*i)
		object("<< %s", stream(8+2*i, content))
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, a := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", a)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R /Info 5 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, m.encryption(), xref)
	return b.Bytes()
}

// What follows is the standard security handler, revision 2, of ISO 32000-1 7.6.3.

const padding = "\x28\xbf\x4e\x5e\x4e\x75\x8a\x41\x64\x00\x4e\x56\xff\xfa\x01\x08\x2e\x2e\x00\xb6\xd0\x68\x3e\x80\x2f\x0c\xa9\xfe\x64\x53\x69\x7a"

const fileID = "0123456789abcdef"

func (m *maker) padded() []byte { return []byte((m.password + padding)[:32]) }

// owner is the entry O: the password, encrypted with itself (algorithm 3).
func (m *maker) owner() []byte {
	sum := md5.Sum(m.padded())
	return crypt(sum[:5], m.padded())
}

// key is algorithm 2.
func (m *maker) key() []byte {
	if m.password == "" {
		return nil
	}
	sum := md5.Sum(slices.Concat(m.padded(), m.owner(), []byte{0xfc, 0xff, 0xff, 0xff}, []byte(fileID)))
	return sum[:5]
}

func (m *maker) encryption() string {
	if m.password == "" {
		return ""
	}
	return fmt.Sprintf("/Encrypt << /Filter /Standard /V 1 /R 2 /O <%x> /U <%x> /P -4 >> /ID [<%x> <%x>]",
		m.owner(), crypt(m.key(), []byte(padding)), fileID, fileID)
}

// objectKey is algorithm 1.
func objectKey(key []byte, n int) []byte {
	sum := md5.Sum(append(slices.Clone(key), byte(n), byte(n>>8), byte(n>>16), 0, 0))
	return sum[:10]
}

func crypt(key, text []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(text))
	c.XORKeyStream(out, text)
	return out
}
