package segment

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headworks/internal/knowledge/knowledgetest"
	"headworks/internal/passage"
)

var errCrash = errors.New("the machine is off")

// machine is a folder on a machine that goes off at its nth operation. What was not
// synced by then is lost: the bytes of files, and new names.
type machine struct {
	disk
	dir     string
	left    int    // operations until it goes off; below 0: never
	only    string // the one operation that fails, and the machine stays on; empty: it goes off
	renamed [][2]string
	dirty   map[string]bool
	ops     []string
}

func (m *machine) op(name string) error {
	m.ops = append(m.ops, name)
	if m.only != "" {
		if m.only == name {
			return errCrash
		}
		return nil
	}
	if m.left == 0 {
		return errCrash
	}
	m.left--
	return nil
}

func (m *machine) Create(name string) (made, error) {
	if err := m.op("create"); err != nil {
		return nil, err
	}
	f, err := m.disk.Create(name)
	m.dirty[name] = err == nil
	return &machineFile{f, m, name}, err
}

func (m *machine) Rename(from, to string) error {
	if err := m.op("rename"); err != nil {
		return err
	}
	if m.dirty[from] {
		delete(m.dirty, from)
		m.dirty[to] = true
	}
	m.renamed = append(m.renamed, [2]string{from, to})
	return m.disk.Rename(from, to)
}

func (m *machine) Remove(name string) error {
	if err := m.op("remove"); err != nil {
		return err
	}
	return m.disk.Remove(name)
}

func (m *machine) Sync() error {
	if err := m.op("sync folder"); err != nil {
		return err
	}
	m.renamed = nil
	return m.disk.Sync()
}

type machineFile struct {
	made
	m    *machine
	name string
}

func (f *machineFile) Write(p []byte) (int, error) {
	if err := f.m.op("write"); err != nil {
		return 0, err
	}
	return f.made.Write(p)
}

func (f *machineFile) Sync() error {
	if err := f.m.op("sync"); err != nil {
		return err
	}
	delete(f.m.dirty, f.name)
	return f.made.Sync()
}

// off loses what was not durable.
func (m *machine) off(t *testing.T) {
	for name := range m.dirty {
		path := filepath.Join(m.dir, name)
		if info, err := os.Stat(path); err == nil {
			if err := os.Truncate(path, info.Size()/2); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range slices.Backward(m.renamed) {
		if err := os.Rename(filepath.Join(m.dir, r[1]), filepath.Join(m.dir, r[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

var crashSpace = passage.Space{Collection: "vs_crash", Embedder: "0123456789abcdef", Dimensions: 32}

// history is what is done to a store, change by change, with what must be there after
// each. Then its segments are merged.
func crashHistory() (changes []passage.Change, want []map[string]uint64) {
	now := map[string]uint64{}
	note := func(c passage.Change) {
		changes = append(changes, c)
		for _, w := range c.Put {
			now[w.ID] = w.Version
		}
		for _, id := range c.Remove {
			delete(now, id)
		}
		want = append(want, maps.Clone(now))
	}
	doc := func(id string, version uint64) passage.Whole {
		return knowledgetest.Doc(crashSpace, id, version, fmt.Sprintf("apples of %s in version %d", id, version), "and pears of "+id)
	}
	note(passage.Change{Put: []passage.Whole{doc("a", 1), doc("b", 1)}})
	note(passage.Change{Put: []passage.Whole{doc("b", 2), doc("c", 1)}, Remove: []string{"a"}})
	note(passage.Change{Remove: []string{"c"}})
	note(passage.Change{Put: []passage.Whole{doc("a", 2)}})
	return changes, want
}

// run makes all changes, each until it fails, and merges; it returns how many went
// well.
func crashRun(t *testing.T, s *Store, changes []passage.Change) (done int, err error) {
	for i, c := range changes {
		if err := s.Write(t.Context(), crashSpace, c); err != nil {
			return i, err
		}
	}
	_, err = s.Tidy(t.Context(), time.Now().Add(24*time.Hour))
	return len(changes), err
}

func there(t *testing.T, s *Store) map[string]uint64 {
	t.Helper()
	docs, err := s.Documents(t.Context(), crashSpace, passage.Page{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]uint64{}
	for _, d := range docs {
		all[d.ID] = d.Version
	}
	return all
}

// whole compares what is there with what must be: found by words and by vectors, each
// passage once, readable, and no file that is not named.
func whole(t *testing.T, s *Store, want map[string]uint64) {
	t.Helper()
	if got := there(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("there is %v, want %v", got, want)
	}
	legs, err := s.Search(t.Context(), crashSpace, passage.Query{Text: "apples pears", Vector: knowledgetest.Vector("x"), N: 100, Audience: passage.Operator()})
	if err != nil {
		t.Fatal(err)
	}
	for name, leg := range map[string][]passage.Found{"words": legs.Words, "vectors": legs.Dense} {
		seen := map[passage.Ref]bool{}
		for _, f := range leg {
			if seen[f.Ref] {
				t.Errorf("%s: %v twice", name, f.Ref)
			}
			seen[f.Ref] = true
			if got, err := s.Load(t.Context(), crashSpace, passage.Operator(), []passage.Ref{f.Ref}, true); err != nil || len(got) != 1 || !strings.Contains(got[0].Passage.Text, "of "+f.Document) || got[0].Passage.Vector == nil {
				t.Errorf("%s: %v is not readable: %v %v", name, f.Ref, got, err)
			}
		}
		if len(leg) != 2*len(want) {
			t.Errorf("%s: %d passages of %d documents", name, len(leg), len(want))
		}
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	var named int
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM segments").Scan(&named); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "*"+suffix+"*"))
	if err != nil || len(files) > named {
		t.Errorf("%d files of segments, %d are named: %q", len(files), named, files)
	}
	tmp, _ := filepath.Glob(filepath.Join(s.dir, "*"+temporary))
	if len(tmp) > 0 {
		t.Errorf("left behind: %q", tmp)
	}
}

// Whenever the machine goes off, what Write returned for is there after the next
// start, once, and of the change under way there is all or nothing.
func TestPowerLoss(t *testing.T) {
	changes, want := crashHistory()
	for n := 0; ; n++ {
		if n > 500 {
			t.Fatal("it never ends")
		}
		dir := t.TempDir()
		s := open(t, dir)
		m := &machine{disk: s.disk.(disk), dir: dir, left: n, dirty: map[string]bool{}}
		s.disk = m
		s.step = func(name string) error { return m.op("step " + name) }
		done, err := crashRun(t, s, changes)
		if err == nil {
			t.Logf("%d points: %q", n, m.ops)
			whole(t, s, want[done-1])
			_ = s.Close()
			break
		}
		last := m.ops[len(m.ops)-1]
		if !errors.Is(err, errCrash) {
			t.Fatalf("off at %d, %s: %v", n, last, err)
		}
		_ = s.Close() // a dead process does no more
		m.off(t)
		s = open(t, dir)
		may := []map[string]uint64{{}}
		if done > 0 {
			may = want[done-1 : min(done+1, len(want))]
		} else {
			may = append(may, want[0])
		}
		got := there(t, s)
		i := slices.IndexFunc(may, func(w map[string]uint64) bool { return fmt.Sprint(w) == fmt.Sprint(got) })
		if i < 0 {
			t.Fatalf("off at %d, %s, after %d changes: there is %v, want one of %v", n, last, done, got, may)
		}
		whole(t, s, may[i])
		// And it goes on from there.
		if _, err := crashRun(t, s, changes[done:]); err != nil {
			t.Fatalf("off at %d, %s: it does not go on: %v", n, last, err)
		}
		whole(t, s, want[len(want)-1])
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An operation that fails fails the change, and the next one finds everything as it
// was.
func TestFailedOperation(t *testing.T) {
	changes, want := crashHistory()
	for _, op := range []string{"create", "write", "sync", "rename", "sync folder", "step committing"} {
		t.Run(op, func(t *testing.T) {
			s := open(t, t.TempDir())
			defer s.Close()
			m := &machine{disk: s.disk.(disk), dir: s.dir, dirty: map[string]bool{}, only: op}
			if err := s.Write(t.Context(), crashSpace, changes[0]); err != nil {
				t.Fatal(err)
			}
			plain := s.disk
			s.disk, s.step = m, func(name string) error { return m.op("step " + name) }
			if err := s.Write(t.Context(), crashSpace, changes[1]); !errors.Is(err, errCrash) {
				t.Fatalf("got %v", err)
			}
			if _, err := s.Tidy(t.Context(), time.Now().Add(24*time.Hour)); err != nil {
				t.Error(err) // nothing is to be done
			}
			s.disk, s.step = plain, nil
			whole(t, s, want[0])
			for _, c := range changes[1:] {
				if err := s.Write(t.Context(), crashSpace, c); err != nil {
					t.Fatal(err)
				}
			}
			whole(t, s, want[len(want)-1])
		})
	}
}

// A file whose bytes changed is not read as if they had not.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	changes, _ := crashHistory()
	if err := s.Write(t.Context(), crashSpace, changes[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	was, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(was); at += 37 {
		b := slices.Clone(was)
		b[at] ^= 0x40
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := openFile(files[0], "damaged")
		if err != nil {
			continue
		}
		if err := f.verify(); err == nil && !padding(f, at) {
			t.Errorf("a byte that changed at %d is not noticed", at)
		}
		_ = f.free()
	}
	for _, n := range []int{0, 1, len(was) / 2, len(was) - 1} {
		if err := os.WriteFile(files[0], was[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openFile(files[0], "cut"); err == nil {
			t.Errorf("a file of %d bytes is read", n)
		}
	}
}

// padding reports whether a place lies between the parts.
func padding(f *file, at int) bool {
	for _, e := range f.at {
		if int64(at) >= e.offset && int64(at) < e.offset+e.length {
			return false
		}
	}
	return at < len(f.b)-endSize
}

// Two processes do not have one folder.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := Open(t.Context(), dir, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir).Close()
}

// What was removed leaves the disk, and what is left is as it was.
func TestBytesGo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	for i := range 20 {
		d := knowledgetest.Doc(crashSpace, fmt.Sprint("d", i), 1, fmt.Sprintf("apples of d%d SECRET%d", i, i), fmt.Sprintf("and pears of d%d", i))
		if err := s.Write(t.Context(), crashSpace, passage.Change{Put: []passage.Whole{d}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Write(t.Context(), crashSpace, passage.Change{Remove: []string{"d3", "d4"}}); err != nil {
		t.Fatal(err)
	}
	want := there(t, s)
	for range 2 {
		if _, err := s.Tidy(t.Context(), time.Now().Add(13*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	whole(t, s, want)
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	segments := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{"SECRET3\n", "SECRET4", "of d3 ", "Title of d4"} {
			if strings.Contains(string(b), gone) {
				t.Errorf("%s still has %q", filepath.Base(name), gone)
			}
		}
		if strings.HasSuffix(name, suffix) {
			segments++
		}
	}
	if segments > mostSegments {
		t.Errorf("%d segments", segments)
	}
	history, err := s.Documents(t.Context(), crashSpace, passage.Page{IDs: []string{"d3"}, History: true})
	if err != nil || len(history) != 0 {
		t.Errorf("it is still known that there was %v, %v", history, err)
	}
}
