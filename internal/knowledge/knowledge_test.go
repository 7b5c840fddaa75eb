package knowledge_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/document"
	"headworks/internal/fault"
	"headworks/internal/knowledge"
	"headworks/internal/knowledge/segment"
	"headworks/internal/passage"
	"headworks/internal/tenant"
)

// texts is a Reader of plain texts: a file of several has a line ---, and each begins
// with its ID.
type texts struct{}

func (texts) Read(_ context.Context, name, _ string, in io.Reader, _ int64) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		b, err := io.ReadAll(in)
		if err == nil && strings.HasPrefix(string(b), "BAD") {
			err = fault.New(fault.InvalidRequest, name+" is bad")
		}
		if err != nil {
			yield(nil, err)
			return
		}
		parts := strings.Split(string(b), "\n---\n")
		for _, part := range parts {
			id := ""
			if len(parts) > 1 {
				id, part, _ = strings.Cut(part, " ")
			}
			d := document.Plain("", part)
			d.ID = id
			if !yield(d, nil) {
				return
			}
		}
	}
}

// marks are embedders of which each has its own length of vectors, and counts.
type marks struct {
	mu    sync.Mutex
	count map[string]int // of texts, by model
	fail  map[string]bool
}

func (m *marks) Identity(_ context.Context, name string) (passage.Identity, error) {
	return passage.Identity{Provider: "test", Model: name, Dim: 8 * len(name), Normalise: true}, nil
}

func (m *marks) Embed(_ context.Context, by passage.Identity, t knowledge.Texts) ([][]float32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail[by.Model] {
		return nil, fault.New(fault.Forbidden, "the embedder is gone")
	}
	if m.count == nil {
		m.count = map[string]int{}
	}
	all := make([][]float32, len(t.Of))
	for i, text := range t.Of {
		m.count[by.Model]++
		v := make([]float32, by.Dim)
		for word := range strings.FieldsSeq(strings.ToLower(text)) {
			sum := 0
			for _, c := range word {
				sum = sum*31 + int(c)
			}
			v[((sum%by.Dim)+by.Dim)%by.Dim]++
		}
		all[i] = v
	}
	return all, nil
}

// place is a source whose items the test changes.
type place struct {
	mu    sync.Mutex
	items map[string]string
	opens int
	fail  error
}

func (p *place) Items(context.Context, knowledge.Place) (iter.Seq2[knowledge.Item, error], string, func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return nil, "", nil, p.fail
	}
	var names []string
	for name := range p.items {
		names = append(names, name)
	}
	slices.Sort(names)
	return func(yield func(knowledge.Item, error) bool) {
		for _, name := range names {
			text := p.items[name]
			item := knowledge.Item{Name: name, Source: "place/" + name, Size: -1, Version: fmt.Sprint(len(text), text[:min(len(text), 5)])}
			if name == "other" {
				item.Source = "elsewhere/other"
			}
			item.Open = func(context.Context, string) (*knowledge.Content, error) {
				p.opens++
				return &knowledge.Content{Body: io.NopCloser(strings.NewReader(text)), Version: item.Version, Size: -1}, nil
			}
			if !yield(item, nil) {
				return
			}
		}
	}, "place/", func() {}, nil
}

type room struct {
	*testing.T
	k      *knowledge.Knowledge
	store  *segment.Store
	marks  *marks
	place  *place
	files  *os.Root
	dir    string
	now    time.Time
	bumped []string
}

func enter(t *testing.T) *room {
	r := &room{T: t, marks: &marks{}, place: &place{items: map[string]string{}}, dir: t.TempDir(), now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	files, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.files = files
	r.open()
	t.Cleanup(func() { r.store.Close(); files.Close() })
	return r
}

func (r *room) open() {
	r.Helper()
	var err error
	if r.store, err = segment.Open(r.Context(), r.dir, slog.New(slog.DiscardHandler)); err != nil {
		r.Fatal(err)
	}
	r.k, err = knowledge.Open(r.Context(), knowledge.Options{
		Store: r.store, Register: r.store, Embedders: r.marks, Reader: texts{}, Sources: r.place, Files: r.files, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return r.now }, Bump: func(name string) error { r.bumped = append(r.bumped, name); return nil },
	})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *room) reopen() {
	r.Helper()
	if err := r.store.Close(); err != nil {
		r.Fatal(err)
	}
	r.open()
}

var operator = knowledge.ByOperator()

func (r *room) create(by knowledge.Who, n knowledge.New) *knowledge.Collection {
	r.Helper()
	c, err := r.k.Create(r.Context(), by, n)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

// add adds files by their names.
func (r *room) add(name string, files map[string]string) *knowledge.Added {
	r.Helper()
	r.place.mu.Lock()
	was := r.place.items
	r.place.items = files
	r.place.mu.Unlock()
	items, _, _, _ := r.place.Items(r.Context(), knowledge.Place{})
	added, err := r.k.Add(r.Context(), operator, name, items, knowledge.Adding{})
	if err != nil {
		r.Fatal(err)
	}
	r.place.items = was
	return added
}

func (r *room) search(by knowledge.Who, name, question string) string {
	r.Helper()
	a, err := r.k.SearchAs(r.Context(), by, by.Audience(), []string{name}, knowledge.Query{Text: question, Ranker: knowledge.BM25})
	if err != nil {
		return fault.Of(err).Kind.String()
	}
	return documents(a)
}

func documents(a knowledge.Answer) string {
	var all []string
	for _, h := range a.Hits {
		all = append(all, h.Document)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func caller(key, tenantName, project string) knowledge.Who {
	return knowledge.By(&tenant.Caller{KeyID: key, Key: key, Tenant: tenantName, Project: project})
}

func (r *room) want(what, got, want string) {
	r.Helper()
	if got != want {
		r.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestAddAgain: what did not change costs nothing, over a restart too; what changed is
// another version, of which only the new passages are embedded.
func TestAddAgain(t *testing.T) {
	r := enter(t)
	r.create(operator, knowledge.New{Name: "c", Embedder: "m"})
	files := map[string]string{"a": "about apples", "many": "x one pear\n---\ny two pears", "bad": "BAD"}
	first := r.add("c", files)
	if first.Added != 3 || first.Failed != 1 || first.Embedded != 3 || len(first.Failures) != 1 || first.Failures[0].Name != "bad" {
		t.Errorf("%+v", first)
	}
	r.reopen()
	if again := r.add("c", files); again.Unchanged != 3 || again.Added != 0 || r.marks.count["m"] != 3 {
		t.Errorf("%+v, embedded %d", again, r.marks.count["m"])
	}
	r.want("found", r.search(operator, "c", "apples pears"), "a x y")
	n := len(r.bumped)
	files["a"] = "about cherries"
	if changed := r.add("c", files); changed.Added != 1 || changed.Unchanged != 2 || r.marks.count["m"] != 4 {
		t.Errorf("%+v, embedded %d", changed, r.marks.count["m"])
	}
	if len(r.bumped) == n || !slices.Contains(r.bumped[n:], "c") {
		t.Errorf("nobody is told of the change: %q", r.bumped[n:])
	}
	r.want("found", r.search(operator, "c", "apples cherries"), "a")
	history, err := r.k.Documents(t.Context(), operator, "c", passage.Page{IDs: []string{"a"}, History: true})
	if err != nil || len(history) != 2 || history[0].Version != 2 || history[1].Gone.IsZero() {
		t.Errorf("%+v, %v", history, err)
	}
}

// TestRemove: nobody finds what is removed, and the epoch is bumped before the call
// returns.
func TestRemove(t *testing.T) {
	r := enter(t)
	c := r.create(operator, knowledge.New{Name: "c", Embedder: "m"})
	r.add("c", map[string]string{"a": "about apples", "b": "about apples too"})
	r.bumped = nil
	if n, err := r.k.Remove(t.Context(), operator, "c", []string{"a", "none"}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if !slices.Contains(r.bumped, "c") || !slices.Contains(r.bumped, c.ID) {
		t.Errorf("bumped %q", r.bumped)
	}
	for range 100 {
		r.want("found", r.search(operator, "c", "apples"), "b")
	}
	if _, err := r.k.Remove(t.Context(), operator, "c", nil); err != nil {
		t.Error(err)
	}
	r.want("an empty list removes nothing", r.search(operator, "c", "apples"), "b")
	if _, err := r.k.Delete(t.Context(), operator, "c"); err != nil {
		t.Fatal(err)
	}
	r.want("removed whole", r.search(operator, "c", "apples"), "not_found")
	r.reopen()
	r.want("and after a restart", r.search(operator, "c", "apples"), "not_found")
}

// TestReaders: of all callers and documents, each finds what he may read and nothing
// else, and what he may not know of is not there.
func TestReaders(t *testing.T) {
	r := enter(t)
	r.create(operator, knowledge.New{Name: "open", Embedder: "none"})
	r.create(operator, knowledge.New{Name: "acme", Embedder: "none", Readers: []string{"tenant:acme"}})
	web, hr, bolt := caller("k1", "acme", "web"), caller("k2", "acme", "hr"), caller("k3", "bolt", "web")
	own := r.create(web, knowledge.New{Name: "acme", Embedder: "none"}) // a name that the operator's has too
	for _, name := range []string{"open", "acme", own.ID} {
		r.add(name, map[string]string{"of " + name: "about apples"})
	}
	for _, tt := range []struct {
		by         knowledge.Who
		name, want string
	}{
		{web, "open", "of open"},
		{bolt, "open", "of open"},
		{hr, "acme", "of acme"},
		{bolt, "acme", "not_found"},
		{web, "acme", "of acme"}, // a name of the operator's is nobody else's to take
		{web, own.ID, "of " + own.ID},
		{caller("k9", "acme", "web"), own.ID, "of " + own.ID},
		{hr, own.ID, "not_found"},
		{bolt, own.ID, "not_found"},
		{knowledge.By(nil), own.ID, "not_found"},
		{knowledge.By(nil), "open", "not_found"},
	} {
		r.want(fmt.Sprint(tt.by.Audience().Principals(), " in ", tt.name), r.search(tt.by, tt.name, "apples"), tt.want)
	}
	if _, err := r.k.Allow(t.Context(), operator, "open", []string{"of open"}, []string{"key:k1"}); err != nil {
		t.Fatal(err)
	}
	r.want("after the ACL changed", r.search(web, "open", "apples")+"|"+r.search(hr, "open", "apples"), "of open|")
	r.add("open", map[string]string{"of open": "about apples, in another version"})
	r.want("another version is read by no others", r.search(web, "open", "apples")+"|"+r.search(hr, "open", "apples"), "of open|")
	if _, err := r.k.Remove(t.Context(), operator, "open", []string{"of open"}); err != nil {
		t.Fatal(err)
	}
	r.add("open", map[string]string{"of open": "about apples, once more"})
	r.want("nor one that comes back", r.search(web, "open", "apples")+"|"+r.search(hr, "open", "apples"), "of open|")
	for name, err := range map[string]error{
		"remove": second(r.k.Remove(t.Context(), web, "open", []string{"of open"})),
		"allow":  second(r.k.Allow(t.Context(), web, "open", nil, []string{"*"})),
		"delete": second(r.k.Delete(t.Context(), web, "open")),
	} {
		if fault.Of(err).Kind != fault.Forbidden {
			t.Errorf("a caller may %s what is the operator's: %v", name, err)
		}
	}
	for _, bad := range []string{"acme", "tenant:", "project:acme", "user:x", ""} {
		if _, err := r.k.Allow(t.Context(), operator, "open", nil, []string{bad}); err == nil {
			t.Errorf("%q is a reader", bad)
		}
	}
	if _, err := r.k.Allow(t.Context(), operator, "open", nil, make([]string, 65)); err == nil {
		t.Error("more readers than there may be")
	}
}

func second[T any](_ T, err error) error { return err }

// TestFollow: what changed at a place is taken over, what did not is not even opened,
// and a place that is empty or out of reach takes nothing away.
func TestFollow(t *testing.T) {
	r := enter(t)
	r.create(operator, knowledge.New{Name: "c", Embedder: "m"})
	r.add("c", map[string]string{"other": "about quinces"})
	r.place.items = map[string]string{"a": "about apples", "b": "x one pear\n---\ny two pears"}
	if _, err := r.k.Follow(t.Context(), operator, "c", &knowledge.Sync{Place: knowledge.Place{From: "place"}, Every: knowledge.Span(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.k.Follow(t.Context(), operator, "c", &knowledge.Sync{Place: knowledge.Place{From: "place"}, Every: knowledge.Span(time.Second)}); err == nil {
		t.Error("too often is often enough")
	}
	due := func() *knowledge.Collection {
		r.now = r.now.Add(time.Minute)
		r.k.Due(t.Context())
		c, err := r.k.Get(operator, "c")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := due()
	r.want("found", r.search(operator, "c", "apples pear quinces"), "a other x y")
	if c.Sync.Done.IsZero() || c.Sync.Last.Added != 3 || c.Sync.Trouble != "" {
		t.Errorf("%+v", c.Sync)
	}
	opens := r.place.opens
	due()
	if r.place.opens != opens {
		t.Errorf("%d items are opened that did not change", r.place.opens-opens)
	}
	r.reopen()
	delete(r.place.items, "a")
	r.place.items["b"] = "x one pear\n---\nz three cherries"
	c = due()
	r.want("found", r.search(operator, "c", "apples pear pears cherries quinces"), "other x z")
	if c.Sync.Last.Removed != 2 || r.place.opens != opens+1 {
		t.Errorf("%+v, %d opened", c.Sync.Last, r.place.opens-opens)
	}
	r.place.items["b"] = "BAD"
	if c = due(); !strings.Contains(c.Sync.Trouble, "b: b is bad") {
		t.Errorf("%+v", c.Sync)
	}
	done := c.Sync.Done
	r.place.fail = fault.New(fault.NotFound, "there is no such place")
	c = due()
	if !strings.Contains(c.Sync.Trouble, "no such place") || c.Sync.Done != done {
		t.Errorf("%+v", c.Sync)
	}
	r.place.fail, r.place.items = nil, map[string]string{}
	c = due()
	if !strings.Contains(c.Sync.Trouble, "they are kept") {
		t.Errorf("%+v", c.Sync)
	}
	r.want("still found", r.search(operator, "c", "pear cherries quinces"), "other x z")
	if behind, late := c.Late(r.now); late || behind != 2*time.Minute {
		t.Errorf("behind %v, late %v", behind, late)
	}
	if behind, late := c.Late(r.now.Add(time.Second)); !late || behind <= 2*time.Minute {
		t.Errorf("behind %v, late %v", behind, late)
	}
	if c, err := r.k.Follow(t.Context(), operator, "c", nil); err != nil || c.Sync != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestFiles: a file is taken in behind, also by the process after the one that was
// asked.
func TestFiles(t *testing.T) {
	r := enter(t)
	by := caller("k1", "acme", "web")
	c := r.create(by, knowledge.New{Name: "c", Embedder: "m", Days: 2})
	f, err := r.k.PutFile(t.Context(), by, knowledge.File{Name: "a.txt", Purpose: "assistants"}, strings.NewReader("x one pear\n---\ny two pears"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.k.Attach(t.Context(), by, c.ID, f.ID, passage.Attributes{"kind": passage.Text("fruit")}, c.Cut, ""); err != nil {
		t.Fatal(err)
	}
	r.reopen() // before it was taken in
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.k.Run(ctx) }()
	for {
		_, a, err := r.k.Attachment(by, c.ID, f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status == knowledge.Completed {
			break
		}
		if a.Status == knowledge.Failed {
			t.Fatal(a.Why)
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	<-done
	want := f.ID + "#x " + f.ID + "#y"
	r.want("found", r.search(by, c.ID, "pear"), want)
	filter, _ := passage.ParseFilter([]byte(`{"type":"eq","key":"kind","value":"fruit"}`))
	if a, err := r.k.SearchAs(t.Context(), by, by.Audience(), []string{c.ID}, knowledge.Query{Text: "pear", Filter: filter}); err != nil || documents(a) != want {
		t.Errorf("%s, %v", documents(a), err)
	}
	if _, err := r.k.File(caller("k2", "acme", "hr"), f.ID); fault.Of(err).Kind != fault.NotFound {
		t.Errorf("another project's file: %v", err)
	}
	if err := r.k.RemoveFile(t.Context(), by, f.ID); err != nil {
		t.Fatal(err)
	}
	r.want("found", r.search(by, c.ID, "pear"), "")
	dir, err := r.files.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if names, err := dir.Readdirnames(-1); err != nil || len(names) != 0 {
		t.Errorf("left behind: %q, %v", names, err)
	}
	r.now = r.now.Add(50 * time.Hour)
	r.want("over", r.search(by, c.ID, "pear"), "not_found")
	if err := r.k.Expired(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := r.k.List(operator); len(all) != 0 {
		t.Errorf("%+v", all[0])
	}
}

// TestMove: a collection moves to another embedder behind its searches, which find
// everything all the time, also what comes, changes and goes meanwhile and over a
// restart; then the new vectors take over at once. The same again moves nothing.
func TestMove(t *testing.T) {
	r := enter(t)
	r.create(operator, knowledge.New{Name: "c", Embedder: "m"})
	files := map[string]string{}
	for i := range 600 {
		files[fmt.Sprintf("d%03d", i)] = fmt.Sprintf("apples number n%dn", i)
	}
	r.add("c", files)
	old := r.marks.count["m"]
	if _, err := r.k.MoveTo(t.Context(), operator, "c", "other", "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.k.MoveTo(t.Context(), operator, "c", "third", "", ""); err == nil {
		t.Error("it moves to two embedders")
	}
	dense := func(question string) string {
		t.Helper()
		a, err := r.k.SearchAs(t.Context(), operator, operator.Audience(), []string{"c"}, knowledge.Query{Text: question, K: 1, Ranker: knowledge.Hybrid})
		if err != nil {
			t.Fatal(err)
		}
		return documents(a)
	}
	for step := 0; ; step++ {
		r.want("while it moves", dense("n17n")+" "+dense("n555n"), "d017 d555")
		switch step {
		case 0:
			r.add("c", map[string]string{"a-new": "cherries that are new", "d600": "pears that are new"})
			if _, err := r.k.Remove(t.Context(), operator, "c", []string{"d001", "d599"}); err != nil {
				t.Fatal(err)
			}
		case 1:
			r.reopen()
			r.add("c", map[string]string{"d002": "quinces, which it had not"})
			r.marks.fail = map[string]bool{"m": true} // the old embedder is gone for good
		}
		c, err := r.k.Get(operator, "c")
		if err != nil {
			t.Fatal(err)
		}
		if c.Next == nil {
			if c.Embedder.Model != "other" || step < 3 {
				t.Errorf("moved after %d steps to %+v", step, c.Embedder)
			}
			break
		}
		if step > 20 {
			t.Fatalf("it never arrives: %+v", c.Moving)
		}
		r.k.Move(t.Context())
	}
	r.want("found", r.search(operator, "c", "cherries pears quinces"), "a-new d002 d600")
	r.want("removed", r.search(operator, "c", "n1n n599n"), "")
	if n := r.marks.count["other"]; n < 601 || n > 1300 {
		t.Errorf("%d texts were embedded anew", n)
	}
	if n := r.marks.count["m"]; n > old+10 {
		t.Errorf("%d texts were embedded by the old one", n-old)
	}
	r.reopen()
	r.want("after a restart", dense("n17n"), "d017")
	if added := r.add("c", map[string]string{"d003": files["d003"]}); added.Unchanged != 1 {
		t.Errorf("%+v", added)
	}
}
