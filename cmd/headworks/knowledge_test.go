package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headworks/internal/api/admin"
	"headworks/internal/knowledge"
)

// TestIngestionIsKilled: a process that adds documents is killed fifty times, wherever
// it is just then. What it had told to be added is there, every document is there once
// in the end, and as found as if nothing had happened.
func TestIngestionIsKilled(t *testing.T) {
	const documents, kills = 6000, 50
	dir := t.TempDir()
	program := filepath.Join(dir, "headworks")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, program); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	file := filepath.Join(dir, "all.jsonl")
	r := rand.New(rand.NewPCG(1, 2))
	write := func(round int) {
		var b bytes.Buffer
		for i := range documents {
			// In each round a part of the documents has another content.
			version := 0
			if i%10 == round%10 {
				version = round + 1
			}
			fmt.Fprintf(&b, `{"id":"d%04d","title":"Number %d","text":"Document n%dn in version v%dv. `, i, i, i, version)
			for range 20 {
				fmt.Fprintf(&b, "word%d ", r.IntN(1000))
			}
			b.WriteString("\"}\n")
		}
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	run := func(into any, args ...string) error {
		c := exec.CommandContext(t.Context(), program, append([]string{"knowledge", "--data", filepath.Join(dir, "data"), "--json"}, args...)...)
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			return fmt.Errorf("%w: %s", err, errs.String())
		}
		return json.Unmarshal(out.Bytes(), into)
	}
	count := func() (n knowledge.Count) {
		var all struct{ Collections []admin.Shelf }
		if err := run(&all, "list"); err != nil {
			t.Fatal(err)
		}
		for _, s := range all.Collections {
			n = s.Count
		}
		return n
	}
	killed, before, latest := 0, 0, 600
	for kill := range kills {
		if kill > 0 && kill%10 == 0 {
			write(kill)
		}
		c := exec.CommandContext(t.Context(), program, "knowledge", "add", "all", file, "--data", filepath.Join(dir, "data"), "--json")
		c.Stdout, c.Stderr = &bytes.Buffer{}, os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(20+r.IntN(latest))*time.Millisecond, func() { _ = c.Process.Kill() }) // it may have ended
		if err := c.Wait(); err != nil {
			killed++
		}
		n := count().Documents
		if n < before {
			t.Fatalf("after kill %d there are %d documents, and were %d", kill, n, before)
		}
		if before = n; before == 0 { // this machine takes longer to come so far
			latest = min(2*latest, 30_000)
		}
	}
	if before == 0 {
		t.Error("nothing was written before any of the kills")
	}
	t.Logf("%d of %d were killed before their end; %d documents were there by then", killed, kills, before)
	var added knowledge.Added
	if err := run(&added, "add", "all", file); err != nil {
		t.Fatal(err)
	}
	if n := count(); n.Documents != documents || n.Passages != documents || added.Documents != documents || added.Failed != 0 {
		t.Errorf("in the end %+v, of %+v", n, added)
	}
	if err := run(&added, "add", "all", file); err != nil || added.Unchanged != documents {
		t.Errorf("the same again: %+v, %v", added, err)
	}
	for range 20 {
		i := r.IntN(documents)
		var found knowledge.Answer
		if err := run(&found, "search", "all", fmt.Sprintf("n%dn", i), "--ranker", "bm25", "--k", "1000"); err != nil {
			t.Fatal(err)
		}
		if len(found.Hits) != 1 || found.Hits[0].Document != fmt.Sprintf("d%04d", i) || strings.Count(found.Hits[0].Text, "version v") != 1 {
			t.Errorf("n%dn is found %d times: %+v", i, len(found.Hits), found.Hits)
		}
	}
}
