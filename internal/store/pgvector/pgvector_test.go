package pgvector

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"headworks/internal/knowledge"
	"headworks/internal/knowledge/knowledgetest"
	"headworks/internal/passage"
)

// given names a PostgreSQL with pgvector that tests may use: each makes a database of
// its own there.
const given = "HEADWORKS_TEST_POSTGRES"

// programs returns the folder of a PostgreSQL's programs on this machine that has the
// extension; empty where there is none.
func programs() string {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // a pattern that is well formed
	slices.Sort(folders)
	slices.Reverse(folders)
	for _, bin := range append(folders, "/usr/local/pgsql/bin") {
		out, err := exec.Command(filepath.Join(bin, "pg_config"), "--sharedir").Output()
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(out)), "extension", "vector.control")); err == nil {
			return bin
		}
	}
	return ""
}

// server returns the URL of a PostgreSQL with pgvector: the given one, or one that is
// started for the test.
func server(t *testing.T) string {
	t.Helper()
	if at := os.Getenv(given); at != "" {
		return at
	}
	bin := programs()
	if bin == "" {
		t.Skip("SKIPPED: no PostgreSQL with the extension vector (pgvector 0.8 or later) is here; install it, or set " + given)
	}
	dir, err := os.MkdirTemp("", "headworks-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 { // PostgreSQL does not run as root
		who, err := user.Lookup("postgres")
		if err != nil {
			if who, err = user.Lookup("nobody"); err != nil {
				t.Skip("SKIPPED: PostgreSQL does not run as root, and there is nobody else")
			}
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.SysProcAttr, c.Dir = as, dir
		c.Env = append(os.Environ(), "LC_ALL=C")
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	pg := run("postgres", "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir, "-F")
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pg.Process.Signal(syscall.SIGQUIT) // it may be gone
		_ = pg.Wait()
	})
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", port)
}

// database makes a database of its own, and returns its URL.
func database(t *testing.T, at string) string {
	t.Helper()
	name := "headworks_" + strings.ToLower(rand.Text()[:12])
	ask := func(q string) {
		t.Helper()
		var conn *pgx.Conn
		var err error
		for range 100 { // a server that was just started
			if conn, err = pgx.Connect(context.Background(), at); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), q); err != nil {
			t.Error(err)
		}
	}
	ask("CREATE DATABASE " + name)
	t.Cleanup(func() { ask("DROP DATABASE " + name + " WITH (FORCE)") })
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func open(t *testing.T, at string) *Store {
	t.Helper()
	s, err := Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPgvector: it does what every store must.
func TestPgvector(t *testing.T) {
	at := server(t)
	knowledgetest.Test(t, func(t *testing.T) knowledgetest.Make {
		own := database(t, at)
		return knowledgetest.Make{
			Open: func(t *testing.T) knowledge.Store { return open(t, own) },
			Close: func(t *testing.T, s knowledge.Store) {
				if err := s.(*Store).Close(); err != nil {
					t.Error(err)
				}
			},
		}
	})

	// What one gateway writes another one finds, also where its segments were merged.
	t.Run("two gateways", func(t *testing.T) {
		own := database(t, at)
		a, b := open(t, own), open(t, own)
		defer a.Close()
		defer b.Close()
		of := passage.Space{Collection: "c", Embedder: "0123456789abcdef", Dimensions: 32}
		for i := range 3 * mostSegments {
			s := a
			if i%2 == 1 {
				s = b
			}
			if err := s.Write(t.Context(), of, passage.Change{Put: []passage.Whole{knowledgetest.Doc(of, fmt.Sprintf("d%02d", i%40), uint64(i+1), fmt.Sprintf("apples number%d", i))}}); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []*Store{a, b} {
			legs, err := s.Search(t.Context(), of, passage.Query{Text: "apples", N: 100, Audience: passage.Operator()})
			if err != nil || len(legs.Words) != 40 {
				t.Errorf("%d of 40, %v", len(legs.Words), err)
			}
			legs, err = s.Search(t.Context(), of, passage.Query{Text: "number41", N: 10, Audience: passage.Operator()})
			if err != nil || len(legs.Words) != 1 || legs.Words[0].Document != "d01" {
				t.Errorf("%+v, %v", legs.Words, err)
			}
		}
		var n int
		if err := a.pool.QueryRow(t.Context(), `SELECT count(*) FROM headworks.segments`).Scan(&n); err != nil || n > mostSegments {
			t.Errorf("%d segments, %v", n, err)
		}
	})

	// The register keeps what it is told, and its entries in order.
	t.Run("register", func(t *testing.T) {
		s := open(t, database(t, at))
		defer s.Close()
		for _, e := range [][2]string{{"b", "2"}, {"a", "1"}, {"b", "3"}, {"c", "4"}} {
			if err := s.Set(t.Context(), "kind", e[0], []byte(e[1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Set(t.Context(), "kind", "c", nil); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := s.Get(t.Context(), "kind", func(id string, value []byte) error { got += id + string(value); return nil }); err != nil || got != "a1b3" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestOpenSaysNoPassword: what cannot be opened is told without its password.
func TestOpenSaysNoPassword(t *testing.T) {
	for _, at := range []string{"postgres://a:secret-word@127.0.0.1:1/x?connect_timeout=1", "postgres://a:secret-word@[", "nonsense secret-word"} {
		if _, err := Open(t.Context(), at); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%v", err)
		}
	}
}
