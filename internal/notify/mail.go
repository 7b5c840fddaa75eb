package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"headworks/internal/alert"
	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// Mail is a sink that sends plain text by SMTP (RFC 5321), encrypted by STARTTLS (RFC
// 3207), without which no password is sent. What belongs to one alert is one thread.
type Mail struct {
	server   string // host:port
	host     string
	from, to string
	all      []string // addresses of to
	user     string
	password tenant.Secret
	dialer   *wire.Dialer
	roots    *tls.Config
}

// NewMail returns a sink. The server is host:port, 587 unless the port is given.
func NewMail(server, from string, to []string, user string, password tenant.Secret) (*Mail, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "587")
	}
	host, _, err := net.SplitHostPort(server)
	if err != nil || host == "" {
		return nil, errors.New("the server of a sink is host:port")
	}
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, errors.New("from is no address of mail")
	}
	m := &Mail{server: server, host: host, from: sender.Address, user: user, password: password, roots: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}}
	for _, t := range to {
		a, err := mail.ParseAddress(t)
		if err != nil {
			return nil, fmt.Errorf("%q is no address of mail", t)
		}
		m.all = append(m.all, a.Address)
	}
	if len(m.all) == 0 {
		return nil, errors.New("to names nobody")
	}
	m.to = strings.Join(m.all, ", ")
	if m.dialer, err = wire.NewDialer([]string{server}, 5*time.Second); err != nil {
		return nil, err
	}
	return m, nil
}

// Close implements Sink.
func (m *Mail) Close() {}

// Send implements Sink.
func (m *Mail) Send(ctx context.Context, l *Letter) error {
	conn, err := m.dialer.Dial(ctx, "tcp", m.server)
	if err != nil {
		return errors.New("the mail server is not reached")
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(until) // a connection that is gone fails below
	}
	c, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return said(err)
	}
	defer func() { _ = c.Close() }() // what was sent is sent, or failed below
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(m.roots); err != nil {
			return errors.New("the mail server's certificate is not good: " + err.Error())
		}
	} else if !loopback(conn) {
		return &refusal{"the mail server does not offer STARTTLS, and nothing is sent unencrypted beyond this machine"}
	}
	if m.user != "" {
		if err := c.Auth(smtp.PlainAuth("", m.user, m.password.Reveal(), m.host)); err != nil {
			return said(err)
		}
	}
	if err := c.Mail(m.from); err != nil {
		return said(err)
	}
	for _, to := range m.all {
		if err := c.Rcpt(to); err != nil {
			return said(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return said(err)
	}
	if err := m.write(w, l); err != nil {
		return said(err)
	}
	if err := w.Close(); err != nil {
		return said(err)
	}
	_ = c.Quit() // it is taken
	return nil
}

func loopback(c net.Conn) bool {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// said tells what a server answered by its code alone: its words may quote.
func said(err error) error {
	var p *textproto.Error
	if errors.As(err, &p) {
		if p.Code >= 500 && p.Code < 600 {
			return &refusal{fmt.Sprintf("the mail server answers %d, which another try does not change", p.Code)}
		}
		return fmt.Errorf("the mail server answers %d", p.Code)
	}
	return err
}

func (m *Mail) write(w interface{ Write([]byte) (int, error) }, l *Letter) error {
	a := &l.Notice.Alert
	_, domain, _ := strings.Cut(m.from, "@")
	id := func(of string) string {
		sum := sha256.Sum256([]byte(of))
		return "<" + hex.EncodeToString(sum[:12]) + "@" + domain + ">"
	}
	subject := fmt.Sprintf("[%s] %s", a.Urgency, a.Title)
	if l.Notice.Why != alert.Fired {
		subject = fmt.Sprintf("[%s] %s", l.Notice.Why, a.Title)
	}
	thread := id(a.ID)
	head := []string{
		"From: " + m.from, "To: " + m.to, "Subject: " + mime.QEncoding.Encode("utf-8", cut(subject, 200)),
		"Date: " + l.Written.Format(time.RFC1123Z), "Message-ID: " + id(l.ID), "References: " + thread, "In-Reply-To: " + thread,
		"MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "", "",
	}
	if _, err := w.Write([]byte(strings.Join(head, "\r\n"))); err != nil {
		return err
	}
	q := quotedprintable.NewWriter(w)
	text := fmt.Sprintf("%s: %s\n\nsince: %s\n%s", l.Notice.Why, a.Title, a.Since.UTC().Format(time.RFC3339), words(a))
	if _, err := q.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		return err
	}
	return q.Close()
}
