package weaviate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"headworks/internal/tenant"
	"headworks/internal/wire"
)

// Bounds of a request.
const (
	connectTimeout = 5 * time.Second
	requestTimeout = 2 * time.Minute
	mostAnswer     = 1 << 30 // bytes
	batch          = 200     // objects of a request
)

// client speaks Weaviate's HTTP API.
type client struct {
	http *http.Client
	base string // without a slash at its end
	key  tenant.Secret
}

func newClient(at string, key tenant.Secret) (*client, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the URL of Weaviate is not valid; write https://weaviate.example.com:8080, and the key beside it")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	dialer, err := wire.NewDialer([]string{net.JoinHostPort(u.Hostname(), port)}, connectTimeout)
	if err != nil {
		return nil, errors.New("the host of Weaviate's URL is not valid; write https://weaviate.example.com:8080")
	}
	return &client{base: strings.TrimRight(u.String(), "/") + "/v1", key: key, http: &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.Dial,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        30 * time.Second,
			ForceAttemptHTTP2:      true,
		},
	}}, nil
}

// refused is an answer that is none of those that were expected. What the server wrote
// is not told: it may hold what callers wrote.
type refused struct{ status int }

func (r refused) Error() string {
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Sprintf("the server refuses the key (status %d): set knowledge.weaviate_key to one that may make, write and read classes", r.status)
	default:
		return fmt.Sprintf("the server answers with status %d", r.status)
	}
}

// do sends a request and reads the answer into out. Statuses of 200 to 299, and those
// that are named, are no errors.
func (c *client) do(ctx context.Context, method, path string, in, out any, also ...int) (status int, err error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return 0, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if !c.key.Empty() {
		r.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer+1))
	switch {
	case err != nil:
		return 0, err
	case len(b) > mostAnswer:
		return 0, errors.New("an answer of the server is larger than 1 GiB")
	}
	for _, s := range also {
		if answer.StatusCode == s {
			return s, nil
		}
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return answer.StatusCode, refused{answer.StatusCode}
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			return 0, errors.New("an answer of the server is no JSON of the form that Weaviate 1.35 writes")
		}
	}
	return answer.StatusCode, nil
}

// object is one of a class.
type object struct {
	Class      string         `json:"class"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties"`
	Vector     []float32      `json:"vector,omitempty"`
}

// put writes objects, each of which takes the place of the one that has its ID.
func (c *client) put(ctx context.Context, all []object) error {
	for len(all) > 0 {
		n := min(batch, len(all))
		var results []struct {
			Result struct {
				Status string `json:"status"`
			} `json:"result"`
		}
		if _, err := c.do(ctx, http.MethodPost, "/batch/objects", map[string]any{"objects": all[:n]}, &results); err != nil {
			return err
		}
		if len(results) != n {
			return errors.New("the server does not answer for every object that was written")
		}
		for _, r := range results {
			if r.Result.Status != "SUCCESS" {
				return errors.New("the server did not take every object that was written; its log says why")
			}
		}
		all = all[n:]
	}
	return nil
}

// create writes an object whose ID no other has; false where one has it.
func (c *client) create(ctx context.Context, o object) (bool, error) {
	status, err := c.do(ctx, http.MethodPost, "/objects", o, nil, http.StatusUnprocessableEntity)
	if err != nil || status != http.StatusUnprocessableEntity {
		return err == nil, err
	}
	// The same status says that an object is not valid.
	status, err = c.do(ctx, http.MethodHead, "/objects/"+o.Class+"/"+o.ID, nil, nil, http.StatusNotFound)
	if err == nil && status == http.StatusNotFound {
		err = refused{http.StatusUnprocessableEntity}
	}
	return false, err
}

// remove deletes objects by their IDs; those that are not there are passed over.
func (c *client) remove(ctx context.Context, class string, ids []string) error {
	for len(ids) > 0 {
		n := min(batch, len(ids))
		if err := c.removeWhere(ctx, class, map[string]any{"path": []string{"id"}, "operator": "ContainsAny", "valueTextArray": ids[:n]}); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func (c *client) removeWhere(ctx context.Context, class string, where map[string]any) error {
	for {
		var answer struct {
			Results struct {
				Failed  int `json:"failed"`
				Limit   int `json:"limit"`
				Matches int `json:"matches"`
			} `json:"results"`
		}
		in := map[string]any{"match": map[string]any{"class": class, "where": where}}
		if _, err := c.do(ctx, http.MethodDelete, "/batch/objects", in, &answer); err != nil {
			return err
		}
		if answer.Results.Failed > 0 {
			return errors.New("the server did not delete every object; its log says why")
		}
		if answer.Results.Matches < answer.Results.Limit || answer.Results.Matches == 0 {
			return nil
		}
	}
}

// ensure makes a class where there is none of its name.
func (c *client) ensure(ctx context.Context, class map[string]any) error {
	path := "/schema/" + class["class"].(string)
	status, err := c.do(ctx, http.MethodGet, path, nil, nil, http.StatusNotFound)
	if err != nil || status != http.StatusNotFound {
		return err
	}
	if status, err = c.do(ctx, http.MethodPost, "/schema", class, nil, http.StatusUnprocessableEntity); err == nil && status == http.StatusUnprocessableEntity {
		_, err = c.do(ctx, http.MethodGet, path, nil, nil) // another gateway made it meanwhile
	}
	return err
}

// got is what a query returns of an object.
type got struct {
	Row        uint32 `json:"row"`
	Name       string `json:"name"`
	Body       []byte `json:"body"` // base64, as encoding/json has it
	Additional struct {
		ID       string    `json:"id"`
		Distance float64   `json:"distance"`
		Vector   []float32 `json:"vector"`
	} `json:"_additional"`
}

// get asks for objects of a class. The arguments hold nothing that somebody wrote:
// numbers, and words of hexadecimal digits.
func (c *client) get(ctx context.Context, class, arguments, fields string) ([]got, error) {
	var answer struct {
		Data struct {
			Get map[string][]got
		} `json:"data"`
		Errors []json.RawMessage `json:"errors"`
	}
	query := "{Get{" + class + "(" + arguments + "){" + fields + "}}}"
	if _, err := c.do(ctx, http.MethodPost, "/graphql", map[string]string{"query": query}, &answer); err != nil {
		return nil, err
	}
	if len(answer.Errors) > 0 {
		return nil, errors.New("the server did not carry out a query; its log says why")
	}
	return answer.Data.Get[class], nil
}

// among is a condition of a query: that a property is one of some words.
func among(property string, words []string) string {
	return `{path:["` + property + `"] operator:ContainsAny valueText:["` + strings.Join(words, `","`) + `"]}`
}

func equal(property, word string) string {
	return `{path:["` + property + `"] operator:Equal valueText:"` + word + `"}`
}

func compare(property, operator string, n uint64) string {
	return `{path:["` + property + `"] operator:` + operator + ` valueInt:` + strconv.FormatUint(n, 10) + `}`
}

// where is an argument of a query: that all conditions hold.
func where(conditions ...string) string {
	switch len(conditions) {
	case 0:
		return ""
	case 1:
		return " where:" + conditions[0]
	}
	return " where:{operator:And operands:[" + strings.Join(conditions, " ") + "]}"
}

// digest is the SHA-256 of some words, none of which runs into the next.
func digest(words ...string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	h.Sum(sum[:0])
	return sum
}

// identify returns the ID of an object: a UUID of version 8 (RFC 9562) that its words
// decide.
func identify(words ...string) string {
	b := digest(words...)
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	x := hex.EncodeToString(b[:16])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
