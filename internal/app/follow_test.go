package app

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/config"
	"headworks/internal/knowledge"
	"headworks/internal/passage"
)

// TestFollow: a collection follows a site. What did not change is not read again, and
// a page that is listed and no longer there is gone, but not where none is there.
func TestFollow(t *testing.T) {
	var mu sync.Mutex
	pages := map[string]string{"/apples": "Apples grow on trees.", "/pears": "Pears grow on trees as well."}
	reads := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/sitemap.xml" {
			fmt.Fprintf(w, "<urlset><url><loc>http://%[1]s/apples</loc></url><url><loc>http://%[1]s/pears</loc></url></urlset>", r.Host)
			return
		}
		text, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		tag := fmt.Sprintf("\"%d\"", len(text))
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		reads++
		_, _ = io.WriteString(w, "<title>"+r.URL.Path[1:]+"</title><main><p>"+text+"</main>")
	}))
	defer server.Close()
	l, err := openLibrary(t.Context(), t.TempDir(), config.Knowledge{}, alone{}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	by := knowledge.ByOperator()
	if _, err := l.knowledge.Create(t.Context(), by, knowledge.New{Name: "site"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.knowledge.Follow(t.Context(), by, "site", &knowledge.Sync{Place: knowledge.Place{From: server.URL + "/sitemap.xml"}, Every: knowledge.Span(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	step := func(what string, want knowledge.Progress, wantReads, wantHits int) {
		t.Helper()
		reads = 0
		added, err := l.knowledge.SyncNow(t.Context(), by, "site", nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if added.Added != want.Added || added.Removed != want.Removed || added.Failed != want.Failed || reads != wantReads {
			t.Errorf("%s: %+v after %d reads, want %+v after %d", what, added.Progress, reads, want, wantReads)
		}
		a, err := l.knowledge.SearchAs(t.Context(), by, passage.Operator(), []string{"site"}, knowledge.Query{Text: "what grows on trees?", K: 10, Ranker: knowledge.BM25})
		if err != nil || len(a.Hits) != wantHits {
			t.Errorf("%s: %d hits, %v, want %d", what, len(a.Hits), err, wantHits)
		}
	}
	step("at first", knowledge.Progress{Added: 2}, 2, 2)
	step("again", knowledge.Progress{}, 0, 2)
	mu.Lock()
	pages["/apples"] = "Apples grow on old trees."
	mu.Unlock()
	step("a page changed", knowledge.Progress{Added: 1}, 1, 2)
	mu.Lock()
	delete(pages, "/pears")
	mu.Unlock()
	step("a page is not there", knowledge.Progress{Removed: 1}, 0, 1)
	mu.Lock()
	clear(pages)
	mu.Unlock()
	if _, err := l.knowledge.SyncNow(t.Context(), by, "site", nil); err == nil || !strings.Contains(err.Error(), "are kept") {
		t.Errorf("no page is there: %v", err)
	}
}
