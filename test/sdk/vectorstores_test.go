package sdk

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	openaiopt "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

const twoProjects = `
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
upstreams: {demo: {kind: simulated}}
models: {demo-small: {targets: [{upstream: demo, model: small}]}}
keys:
  - {name: one, secret: sk-one-0123456789abcdef, tenant: acme, project: web}
  - {name: same, secret: sk-same-0123456789abcdef, tenant: acme, project: web}
  - {name: other, secret: sk-other-0123456789abcdef, tenant: acme, project: hr}
`

// TestVectorStores: OpenAI's client hands over files, lets a vector store take them
// in, searches it, and takes them out again. Another project's key sees none of it.
func TestVectorStores(t *testing.T) {
	t.Parallel()
	g := serve(t, twoProjects)
	ctx := within(t)
	client := g.openai(openaiopt.WithAPIKey("sk-one-0123456789abcdef"))
	other := g.openai(openaiopt.WithAPIKey("sk-other-0123456789abcdef"))

	text := "# Leave\n\nEvery employee has 30 days of annual leave.\n\n# Remote work\n\nTwo days a week may be worked from home.\n"
	file, err := client.Files.New(ctx, openai.FileNewParams{File: openai.File(strings.NewReader(text), "handbook.md", "text/markdown"), Purpose: openai.FilePurposeAssistants})
	if err != nil {
		t.Fatal(err)
	}
	if file.Filename != "handbook.md" || file.Bytes != int64(len(text)) || file.Purpose != "assistants" || file.Status != "processed" || file.CreatedAt == 0 {
		t.Errorf("%+v", file)
	}
	if got, err := client.Files.Get(ctx, file.ID); err != nil || got.ID != file.ID {
		t.Errorf("%+v, %v", got, err)
	}
	content, err := client.Files.Content(ctx, file.ID)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(content.Body); err != nil || string(b) != text {
		t.Errorf("%q, %v", b, err)
	}
	content.Body.Close()

	store, err := client.VectorStores.New(ctx, openai.VectorStoreNewParams{
		Name: openai.String("handbook"), FileIDs: []string{file.ID}, Metadata: shared.Metadata{"team": "people"},
		ExpiresAfter: openai.VectorStoreNewParamsExpiresAfter{Days: 7},
	})
	if err != nil {
		t.Fatal(err)
	}
	if store.Name != "handbook" || store.Metadata["team"] != "people" || store.ExpiresAfter.Days != 7 || store.ExpiresAt == 0 || !strings.HasPrefix(store.ID, "vs_") {
		t.Errorf("%s", store.RawJSON())
	}
	done, err := client.VectorStores.Files.PollStatus(ctx, store.ID, file.ID, 20)
	if err != nil || done.Status != openai.VectorStoreFileStatusCompleted || done.UsageBytes == 0 || done.VectorStoreID != store.ID {
		t.Fatalf("%+v, %v", done, err)
	}
	faq, err := client.VectorStores.Files.UploadAndPoll(ctx, store.ID, openai.FileNewParams{
		File: openai.File(strings.NewReader("Lunch is at noon in the canteen."), "faq.txt", "text/plain"), Purpose: openai.FilePurposeAssistants,
	}, 20)
	if err != nil || faq.Status != openai.VectorStoreFileStatusCompleted {
		t.Fatalf("%+v, %v", faq, err)
	}
	if _, err := client.VectorStores.Files.Update(ctx, store.ID, faq.ID, openai.VectorStoreFileUpdateParams{
		Attributes: map[string]openai.VectorStoreFileUpdateParamsAttributeUnion{"kind": {OfString: openai.String("faq")}, "year": {OfFloat: openai.Float(2026)}},
	}); err != nil {
		t.Fatal(err)
	}

	search := func(c openai.Client, question string, filter ...shared.ComparisonFilterParam) (string, error) {
		p := openai.VectorStoreSearchParams{Query: openai.VectorStoreSearchParamsQueryUnion{OfString: openai.String(question)}}
		if len(filter) > 0 {
			p.Filters.OfComparisonFilter = &filter[0]
		}
		found, err := c.VectorStores.Search(ctx, store.ID, p)
		if err != nil {
			return "", err
		}
		var all []string
		for _, f := range found.Data {
			all = append(all, fmt.Sprintf("%s %s", f.Filename, f.FileID))
			if len(f.Content) != 1 || f.Content[0].Text == "" || f.Score < 0 {
				t.Errorf("%s", f.RawJSON())
			}
		}
		return strings.Join(all, "; "), nil
	}
	if got, err := search(client, "how many days of annual leave?"); err != nil || !strings.HasPrefix(got, "handbook.md "+file.ID) {
		t.Errorf("%q, %v", got, err)
	}
	only := shared.ComparisonFilterParam{Type: "eq", Key: "kind", Value: shared.ComparisonFilterValueUnionParam{OfString: openai.String("faq")}}
	if got, err := search(client, "leave or lunch", only); err != nil || got != "faq.txt "+faq.ID {
		t.Errorf("%q, %v", got, err)
	}
	// A key of the same project may do all of it, another project's sees nothing.
	if got, err := search(g.openai(openaiopt.WithAPIKey("sk-same-0123456789abcdef")), "lunch"); err != nil || !strings.Contains(got, "faq.txt") {
		t.Errorf("%q, %v", got, err)
	}
	for name, do := range map[string]func() error{
		"search":      func() error { _, err := search(other, "lunch"); return err },
		"store":       func() error { _, err := other.VectorStores.Get(ctx, store.ID); return err },
		"delete":      func() error { _, err := other.VectorStores.Delete(ctx, store.ID); return err },
		"file":        func() error { _, err := other.Files.Get(ctx, file.ID); return err },
		"content":     func() error { _, err := other.Files.Content(ctx, file.ID); return err },
		"delete file": func() error { _, err := other.Files.Delete(ctx, file.ID); return err },
		"passages":    func() error { _, err := other.VectorStores.Files.Content(ctx, store.ID, file.ID); return err },
	} {
		var e *openai.Error
		if err := do(); !errors.As(err, &e) || e.StatusCode != 404 {
			t.Errorf("%s for another project: %v", name, err)
		}
	}
	if l, err := other.VectorStores.List(ctx, openai.VectorStoreListParams{}); err != nil || len(l.Data) != 0 {
		t.Errorf("another project lists %+v, %v", l, err)
	}

	passages, err := client.VectorStores.Files.Content(ctx, store.ID, file.ID)
	if err != nil || len(passages.Data) == 0 || !strings.Contains(passages.Data[0].Text, "annual leave") {
		t.Errorf("%+v, %v", passages, err)
	}
	if l, err := client.VectorStores.Files.List(ctx, store.ID, openai.VectorStoreFileListParams{Order: "asc", Limit: openai.Int(1)}); err != nil || len(l.Data) != 1 || l.Data[0].ID != file.ID || !l.HasMore {
		t.Errorf("%+v, %v", l, err)
	}
	n := 0
	for pages := client.VectorStores.Files.ListAutoPaging(ctx, store.ID, openai.VectorStoreFileListParams{Limit: openai.Int(1)}); pages.Next(); {
		n++
	}
	if n != 2 {
		t.Errorf("%d files in all pages", n)
	}

	// Several files together, one of which nobody can read.
	var ids []string
	for i, body := range []string{"about apples", "about pears", "\x00\x01\x02\x03\x00\x00"} {
		f, err := client.Files.New(ctx, openai.FileNewParams{File: openai.File(strings.NewReader(body), fmt.Sprintf("f%d.bin", i), "application/octet-stream"), Purpose: openai.FilePurposeUserData})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, f.ID)
	}
	batch, err := client.VectorStores.FileBatches.NewAndPoll(ctx, store.ID, openai.VectorStoreFileBatchNewParams{FileIDs: ids}, 20)
	if err != nil || batch.Status != "completed" || batch.FileCounts.Completed != 2 || batch.FileCounts.Failed != 1 {
		t.Errorf("%+v, %v", batch, err)
	}
	if f, err := client.VectorStores.Files.Get(ctx, store.ID, ids[2]); err != nil || f.Status != "failed" || f.LastError.Code != "unsupported_file" || f.LastError.Message == "" {
		t.Errorf("%s, %v", f.RawJSON(), err)
	}
	if s, err := client.VectorStores.Get(ctx, store.ID); err != nil || s.FileCounts.Total != 5 || s.FileCounts.Failed != 1 || s.Status != "completed" {
		t.Errorf("%s, %v", s.RawJSON(), err)
	}

	// What is taken out is found no more, at once.
	if d, err := client.VectorStores.Files.Delete(ctx, store.ID, faq.ID); err != nil || !d.Deleted {
		t.Errorf("%+v, %v", d, err)
	}
	if got, err := search(client, "lunch canteen"); err != nil || strings.Contains(got, "faq.txt") {
		t.Errorf("%q, %v", got, err)
	}
	if d, err := client.Files.Delete(ctx, file.ID); err != nil || !d.Deleted {
		t.Errorf("%+v, %v", d, err)
	}
	if got, err := search(client, "annual leave"); err != nil || strings.Contains(got, "handbook.md") {
		t.Errorf("%q, %v", got, err)
	}
	if s, err := client.VectorStores.Update(ctx, store.ID, openai.VectorStoreUpdateParams{Name: openai.String("people")}); err != nil || s.Name != "people" {
		t.Errorf("%+v, %v", s, err)
	}
	if d, err := client.VectorStores.Delete(ctx, store.ID); err != nil || !d.Deleted {
		t.Errorf("%+v, %v", d, err)
	}
	var e *openai.Error
	if _, err := search(client, "apples"); !errors.As(err, &e) || e.StatusCode != 404 {
		t.Errorf("%v", err)
	}
}

// TestVectorStoreErrors: what is wrong is said in OpenAI's shape, with the field.
func TestVectorStoreErrors(t *testing.T) {
	t.Parallel()
	g := serve(t, twoProjects)
	ctx := within(t)
	client := g.openai(openaiopt.WithAPIKey("sk-one-0123456789abcdef"), openaiopt.WithMaxRetries(0))
	store, err := client.VectorStores.New(ctx, openai.VectorStoreNewParams{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		do    func() error
		param string
	}{
		"no purpose": {func() error {
			_, err := client.Files.New(ctx, openai.FileNewParams{File: openai.File(strings.NewReader("x"), "a.txt", "text/plain")})
			return err
		}, "purpose"},
		"no file": {func() error {
			_, err := client.VectorStores.Files.New(ctx, store.ID, openai.VectorStoreFileNewParams{FileID: "file-none"})
			return err
		}, "file_id"},
		"no question": {func() error {
			_, err := client.VectorStores.Search(ctx, store.ID, openai.VectorStoreSearchParams{Query: openai.VectorStoreSearchParamsQueryUnion{OfString: openai.String(" ")}})
			return err
		}, "query"},
		"too many": {func() error {
			_, err := client.VectorStores.Search(ctx, store.ID, openai.VectorStoreSearchParams{Query: openai.VectorStoreSearchParamsQueryUnion{OfString: openai.String("x")}, MaxNumResults: openai.Int(51)})
			return err
		}, "max_num_results"},
		"expiry": {func() error {
			_, err := client.VectorStores.New(ctx, openai.VectorStoreNewParams{ExpiresAfter: openai.VectorStoreNewParamsExpiresAfter{Days: 1000}})
			return err
		}, "expires_after"},
		"order": {func() error {
			_, err := client.VectorStores.List(ctx, openai.VectorStoreListParams{Order: "up"})
			return err
		}, "order"},
	} {
		var e *openai.Error
		if err := tt.do(); !errors.As(err, &e) || e.StatusCode != 400 || e.Param != tt.param || e.Message == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
