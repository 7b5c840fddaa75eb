package vertex

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"headworks/internal/fault"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

const (
	scope    = "https://www.googleapis.com/auth/cloud-platform"
	tokenURI = "https://oauth2.googleapis.com/token"

	ahead  = 5 * time.Minute  // a token is fetched anew so long before its end
	spare  = 30 * time.Second // and not used so shortly before it
	retry  = 10 * time.Second // between two tries ahead
	within = 10 * time.Second // a fetch may take
	most   = 64 << 10         // bytes of an answer
)

// account holds the tokens of one key: that of a service account, which asks with a
// signed assertion (RFC 7523), or a user's, who asks with a refresh token (RFC 6749,
// section 6).
type account struct {
	project string
	uri     *url.URL
	form    func(now time.Time) (url.Values, error)
	pool    *wire.Pool
	alive   context.Context
	close   context.CancelFunc

	mu    sync.Mutex
	now   string
	until time.Time // the token's end
	next  time.Time // no fetch ahead is tried before
	going *fetch
}

// fetch is one on its way. Its fields count once done is closed.
type fetch struct {
	done  chan struct{}
	token string
	err   error
}

var errKey = errors.New("the key is not the file of a service account; write key: ${file:/path/to/key.json}, with the JSON that Google gives for it")

func newAccount(key string) (*account, error) {
	var file struct {
		Type         string `json:"type"`
		ProjectID    string `json:"project_id"`
		Quota        string `json:"quota_project_id"`
		Email        string `json:"client_email"`
		KeyID        string `json:"private_key_id"`
		PrivateKey   string `json:"private_key"`
		URI          string `json:"token_uri"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		Refresh      string `json:"refresh_token"`
	}
	if json.Unmarshal([]byte(key), &file) != nil { // its error would quote the key
		return nil, errKey
	}
	if file.URI == "" {
		file.URI = tokenURI
	}
	a := &account{project: file.ProjectID}
	switch file.Type {
	case "service_account":
		private, err := privateKey(file.PrivateKey)
		if err != nil || file.Email == "" {
			return nil, errKey
		}
		a.form = func(now time.Time) (url.Values, error) {
			assertion, err := assertion(private, file.KeyID, file.Email, file.URI, now)
			return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}, err
		}
	case "authorized_user":
		a.project = file.Quota
		a.form = func(time.Time) (url.Values, error) {
			return url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {file.Refresh}, "client_id": {file.ClientID}, "client_secret": {file.ClientSecret},
			}, nil
		}
	default:
		return nil, errKey
	}
	var err error
	if a.uri, err = url.Parse(file.URI); err != nil || a.uri.Host == "" || a.uri.User != nil {
		return nil, errors.New("the token_uri of the key is no URL")
	}
	// The operator's own file names the one other address that is spoken to.
	dialer, err := wire.NewDialer([]string{wire.HostPort(a.uri)}, 0)
	if err != nil {
		return nil, err
	}
	origin := url.URL{Scheme: a.uri.Scheme, Host: a.uri.Host}
	if a.pool, err = wire.NewPool(origin.String(), dialer.Dial, wire.PoolLimits{Idle: 1}); err != nil {
		return nil, err
	}
	alive, cancel := context.WithCancel(context.Background())
	a.alive = alive
	a.close = func() { cancel(); a.pool.Close() }
	return a, nil
}

func privateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errKey
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if private, ok := key.(*rsa.PrivateKey); ok {
			return private, nil
		}
		return nil, errKey
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

// assertion returns a JSON Web Token (RFC 7519) by which a service account asks for
// a token, signed with RS256.
func assertion(key *rsa.PrivateKey, id, email, audience string, now time.Time) (string, error) {
	head := scan.AppendString([]byte(`{"alg":"RS256","typ":"JWT","kid":`), id)
	claims := scan.AppendString([]byte(`{"iss":`), email)
	claims = scan.AppendString(scan.AppendKey(claims, "scope"), scope)
	claims = scan.AppendString(scan.AppendKey(claims, "aud"), audience)
	claims = strconv.AppendInt(scan.AppendKey(claims, "iat"), now.Unix(), 10)
	claims = strconv.AppendInt(scan.AppendKey(claims, "exp"), now.Add(time.Hour).Unix(), 10)
	coding := base64.RawURLEncoding
	signed := coding.EncodeToString(append(head, '}')) + "." + coding.EncodeToString(append(claims, '}'))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fault.Wrap(fault.UpstreamAuth, "the key of the service account cannot sign; its operator must mend this", err)
	}
	return signed + "." + coding.EncodeToString(signature), nil
}

// token returns a token that is good for a while. Only where there is none does it
// wait for one; the errors are *fault.Error, or the cause of ctx.
func (a *account) token(ctx context.Context) (string, error) {
	now := time.Now()
	a.mu.Lock()
	usable := now.Before(a.until.Add(-spare))
	if a.going == nil && (!usable || now.After(a.until.Add(-ahead)) && now.After(a.next)) {
		a.going, a.next = &fetch{done: make(chan struct{})}, now.Add(retry)
		go a.fetch(a.going)
	}
	token, going := a.now, a.going
	a.mu.Unlock()
	if usable {
		return token, nil
	}
	select {
	case <-going.done:
		return going.token, going.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// fetch gets a token and tells all who wait for it.
func (a *account) fetch(f *fetch) {
	ctx, cancel := context.WithTimeout(a.alive, within)
	defer cancel()
	began := time.Now()
	token, lasts, err := a.ask(ctx, began)
	if ctx.Err() != nil && err != nil {
		err = fault.Wrap(fault.Connect, "no token for the upstream could be had in time", err)
	}
	f.token, f.err = token, err
	a.mu.Lock()
	if err == nil {
		a.now, a.until = token, began.Add(lasts)
	}
	a.going = nil
	a.mu.Unlock()
	close(f.done)
}

func (a *account) ask(ctx context.Context, now time.Time) (token string, lasts time.Duration, err error) {
	form, err := a.form(now)
	if err != nil {
		return "", 0, err
	}
	var h wire.Header
	h.Add("Content-Type", "application/x-www-form-urlencoded")
	h.Add("Accept", "application/json")
	r, err := a.pool.Send(ctx, &wire.Request{Method: "POST", Target: a.uri.RequestURI(), Header: &h, Body: []byte(form.Encode())})
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	by := now.Add(within)
	status, err := r.Head(by)
	if err != nil {
		return "", 0, unanswered(err)
	}
	body, err := r.Body(most, by)
	if err != nil {
		return "", 0, unanswered(err)
	}
	cause := fmt.Errorf("the token endpoint answered with status %d", status)
	var d scan.Doc
	switch {
	case status == 400, status == 401, status == 403:
		return "", 0, fault.Wrap(fault.UpstreamAuth, "Google gives no token for the key that Headworks holds; its operator must mend this", cause)
	case status != 200:
		return "", 0, fault.Wrap(fault.UpstreamError, "Google gives no token at this moment", cause)
	case d.ScanLax(body) != nil:
		return "", 0, fault.New(fault.Malformed, "Google's answer to the request for a token is not JSON")
	}
	token = d.Root().Get("access_token").Text()
	seconds, ok := d.Root().Get("expires_in").Int()
	if token == "" || !ok || seconds <= 0 || seconds > 1e6 {
		return "", 0, fault.New(fault.Malformed, "Google's answer to the request for a token holds none")
	}
	return token, time.Duration(seconds) * time.Second, nil
}

// unanswered tells in our own words that nothing came in time.
func unanswered(err error) error {
	if errors.Is(err, wire.ErrQuiet) {
		return fault.Wrap(fault.Connect, "no token for the upstream could be had in time", err)
	}
	return err
}
