package weaviate

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"headworks/internal/knowledge"
	"headworks/internal/knowledge/knowledgetest"
	"headworks/internal/passage"
	"headworks/internal/tenant"
)

// given names the program of a Weaviate server, where it is not in the PATH.
const given = "HEADWORKS_TEST_WEAVIATE_SERVER"

// server starts a Weaviate for the test and returns its URL.
func server(t *testing.T) string {
	t.Helper()
	program := os.Getenv(given)
	if program == "" {
		var err error
		if program, err = exec.LookPath("weaviate-server"); err != nil {
			t.Skip("SKIPPED: no weaviate-server is here; build it (CGO_ENABLED=0 go install github.com/weaviate/weaviate/cmd/weaviate-server@v1.35.2) and put it into the PATH, or name it in " + given)
		}
	}
	// The second of two ports of the cluster follows the first.
	var ports []int
	var held []net.Listener
	for len(ports) < 6 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, ln)
		first := ln.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", first+1))
		if err == nil {
			held = append(held, next)
			ports = append(ports, first, first+1)
		}
	}
	for _, ln := range held {
		ln.Close()
	}
	dir, err := os.MkdirTemp("", "headworks-weaviate-")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "--host", "127.0.0.1", "--port", strconv.Itoa(ports[5]), "--scheme", "http")
	c.Dir = dir
	c.Env = append(os.Environ(), "PERSISTENCE_DATA_PATH="+dir, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true", "CLUSTER_HOSTNAME=one", "CLUSTER_IN_LOCALHOST=true",
		"CLUSTER_ADVERTISE_ADDR=127.0.0.1", "CLUSTER_BIND_ADDR=127.0.0.1", "RAFT_BOOTSTRAP_EXPECT=1", fmt.Sprint("RAFT_JOIN=one:", ports[2]), "DISABLE_TELEMETRY=true", "GO_PROFILING_DISABLE=true", "LOG_LEVEL=info",
		fmt.Sprint("CLUSTER_GOSSIP_BIND_PORT=", ports[0]), fmt.Sprint("CLUSTER_DATA_BIND_PORT=", ports[1]), fmt.Sprint("RAFT_PORT=", ports[2]), fmt.Sprint("RAFT_INTERNAL_RPC_PORT=", ports[3]), fmt.Sprint("GRPC_PORT=", ports[4]))
	log, err := os.Create(dir + ".log")
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		_ = c.Process.Kill() // it may be gone
		_ = c.Wait()
		os.Remove(log.Name())
		os.RemoveAll(dir)
	})
	at := fmt.Sprint("http://127.0.0.1:", ports[5])
	for range 600 { // a machine may be slow
		answer, err := http.Get(at + "/v1/.well-known/ready")
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return at
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name()) // whatever of it is there
	t.Fatalf("the server that was started is not ready after a minute:\n%s", said)
	return ""
}

func open(t *testing.T, at string) *Store {
	t.Helper()
	s, err := Open(t.Context(), at, tenant.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// count returns how many objects of a class there are.
func count(t *testing.T, s *Store, class, arguments string) int {
	t.Helper()
	all, err := s.client.get(t.Context(), class, "limit:10000"+arguments, "_additional{id}")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestWeaviate: it does what every store must.
func TestWeaviate(t *testing.T) {
	at := server(t)
	knowledgetest.Test(t, func(t *testing.T) knowledgetest.Make {
		return knowledgetest.Make{
			Open: func(t *testing.T) knowledge.Store { return open(t, at) },
			Close: func(t *testing.T, s knowledge.Store) {
				if err := s.(*Store).Close(); err != nil {
					t.Error(err)
				}
			},
		}
	})
	apples := func(of passage.Space, i int) passage.Change {
		return passage.Change{Put: []passage.Whole{knowledgetest.Doc(of, fmt.Sprintf("d%02d", i%40), uint64(i+1), fmt.Sprintf("apples number%d", i))}}
	}
	fresh := func() passage.Space {
		return passage.Space{Collection: rand.Text(), Embedder: "0123456789abcdef", Dimensions: 32}
	}

	// What one gateway writes another one finds, also where pieces were merged, and
	// nothing stays of what was replaced.
	t.Run("two gateways", func(t *testing.T) {
		a, b := open(t, at), open(t, at)
		defer a.Close()
		defer b.Close()
		of := fresh()
		for i := range 5 * mostPieces {
			s := a
			if i%2 == 1 {
				s = b
			}
			if err := s.Write(t.Context(), of, apples(of, i)); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []*Store{a, b} {
			legs, err := s.Search(t.Context(), of, passage.Query{Text: "apples", Vector: knowledgetest.Vector("apples number41"), N: 100, Audience: passage.Operator()})
			if err != nil || len(legs.Words) != 40 || len(legs.Dense) != 40 {
				t.Errorf("%d and %d of 40, %v", len(legs.Words), len(legs.Dense), err)
			}
			legs, err = s.Search(t.Context(), of, passage.Query{Text: "number41", N: 10, Audience: passage.Operator()})
			if err != nil || len(legs.Words) != 1 || legs.Words[0].Document != "d01" {
				t.Errorf("%+v, %v", legs.Words, err)
			}
		}
		class := classOf(of)
		if n := count(t, a, class, ""); n != 40 {
			t.Errorf("%d objects are kept of 40 passages", n)
		}
		for kind, most := range map[string]int{segments: mostPieces, parts: mostPieces, intents: 0, heads: keptHeads} {
			if n := count(t, a, register, where(equal("kind", kind), equal("space", class))); n > most {
				t.Errorf("%d of kind %s are kept, want %d at most", n, kind, most)
			}
		}
	})

	// Two gateways that change a space at once: no change is lost.
	t.Run("two at once", func(t *testing.T) {
		of := fresh()
		var wg sync.WaitGroup
		for k := range 2 {
			wg.Go(func() {
				s := open(t, at)
				defer s.Close()
				for i := range 10 {
					if err := s.Write(t.Context(), of, apples(of, 2*i+k)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s := open(t, at)
		defer s.Close()
		legs, err := s.Search(t.Context(), of, passage.Query{Text: "apples", Vector: knowledgetest.Vector("apples"), N: 100, Audience: passage.Operator()})
		if err != nil || len(legs.Words) != 20 || len(legs.Dense) != 20 {
			t.Errorf("%d and %d of 20, %v", len(legs.Words), len(legs.Dense), err)
		}
	})

	// A search by vectors sees a change whole, too, and every passage of it can be read.
	t.Run("whole by vectors", func(t *testing.T) {
		a, b := open(t, at), open(t, at)
		defer a.Close()
		defer b.Close()
		of := fresh()
		put := func(out string, in string) {
			if err := a.Write(t.Context(), of, passage.Change{Put: []passage.Whole{knowledgetest.Doc(of, in, 1, "one", "two")}, Remove: []string{out}}); err != nil {
				t.Error(err)
			}
		}
		put("none", "c0")
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				legs, err := b.Search(t.Context(), of, passage.Query{Vector: knowledgetest.Vector("one"), N: 10, Audience: passage.Operator()})
				if err != nil || len(legs.Dense) != 2 || legs.Dense[0].Document != legs.Dense[1].Document {
					t.Errorf("a change is half visible: %+v, %v", legs.Dense, err)
					return
				}
			}
		})
		for i := range 20 {
			put(fmt.Sprint("c", i), fmt.Sprint("c", i+1))
		}
		close(done)
		wg.Wait()
	})

	// Where more may be found than are compared in one request, an exact search compares
	// all of them, and another one finds nearly as much.
	t.Run("many", func(t *testing.T) {
		s := open(t, at)
		defer s.Close()
		of := fresh()
		type point struct {
			vector []float32
			first  bool // of the first half
		}
		points := map[passage.Ref]point{}
		const docs, each = 12, exactUpTo / 10
		for d := range docs {
			var texts []string
			for i := range each {
				texts = append(texts, fmt.Sprintf("text %d of %d", i, d))
			}
			w := knowledgetest.Doc(of, fmt.Sprintf("d%02d", d), 1, texts...)
			w.Attributes = passage.Attributes{"half": passage.Num(float64(2 * d / docs))}
			for i := range w.Passages {
				points[passage.Ref{Document: w.ID, Passage: w.Passages[i].ID}] = point{w.Passages[i].Vector, 2*d/docs == 0}
			}
			if err := s.Write(t.Context(), of, passage.Change{Put: []passage.Whole{w}}); err != nil {
				t.Fatal(err)
			}
		}
		half := &passage.Filter{Op: passage.Eq, Name: "half", Values: []passage.Value{passage.Num(0)}}
		found := 0
		const questions = 10
		for k := range questions {
			v := knowledgetest.Vector(fmt.Sprint("question ", k))
			for _, f := range []*passage.Filter{nil, half} {
				var best []passage.Found
				for ref, p := range points {
					if f != nil && !p.first {
						continue
					}
					sum := 0.0
					for i, x := range p.vector {
						sum += float64(x) * float64(v[i])
					}
					best = append(best, passage.Found{Ref: ref, Score: sum})
				}
				passage.Sort(best)
				for _, exact := range []bool{true, false} {
					legs, err := s.Search(t.Context(), of, passage.Query{Vector: v, N: 10, Audience: passage.Operator(), Filter: f, Exact: exact})
					if err != nil || len(legs.Dense) != 10 {
						t.Fatalf("%d of 10, %v", len(legs.Dense), err)
					}
					hits := 0
					for _, b := range best[:10] {
						for _, l := range legs.Dense {
							if l.Ref == b.Ref {
								hits++
							}
						}
					}
					if exact || f != nil { // few enough are chosen to be compared
						if hits != 10 {
							t.Errorf("an exact search finds %d of the 10 nearest", hits)
						}
					} else {
						found += hits
					}
				}
			}
		}
		if found < 9*questions {
			t.Errorf("%d of %d are found", found, 10*questions)
		}
		t.Logf("%d of the %d nearest are found by the index", found, 10*questions)
	})

	// What a change left behind that broke off is never found, and deleted later.
	t.Run("broken off", func(t *testing.T) {
		s := open(t, at)
		defer s.Close()
		of := fresh()
		class := classOf(of)
		if err := s.Write(t.Context(), of, apples(of, 0)); err != nil {
			t.Fatal(err)
		}
		before, err := s.state(t.Context(), class)
		if err != nil {
			t.Fatal(err)
		}
		n := &change{state: before.next(), class: class, now: time.Now().Add(-2 * abandoned), name: rand.Text(), from: map[*record]span{}, texts: map[*record][]passage.Passage{}}
		doc := apples(of, 1).Put[0]
		if err := n.put(&doc); err != nil {
			t.Fatal(err)
		}
		entries, err := s.pieces(t.Context(), n, before.Rows, of.Words())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.begin(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if err := s.fill(t.Context(), n, false); err != nil {
			t.Fatal(err)
		}
		if err := s.client.put(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		legs, err := s.Search(t.Context(), of, passage.Query{Text: "apples", Vector: knowledgetest.Vector("apples"), N: 10, Audience: passage.Operator()})
		if err != nil || len(legs.Words) != 1 || len(legs.Dense) != 1 {
			t.Errorf("%+v, %v", legs, err)
		}
		if n := count(t, s, class, ""); n != 2 {
			t.Fatalf("%d objects, want the one that is left beside the other", n)
		}
		next := open(t, at)
		defer next.Close()
		if err := next.Write(t.Context(), of, apples(of, 2)); err != nil {
			t.Fatal(err)
		}
		if n := count(t, s, class, ""); n != 2 {
			t.Errorf("%d objects of 2 passages", n)
		}
		if n := count(t, s, register, where(equal("kind", segments), equal("space", class))); n != 2 {
			t.Errorf("%d segments of 2", n)
		}
	})

	// The register keeps what it is told, and its entries in order.
	t.Run("register", func(t *testing.T) {
		s := open(t, at)
		defer s.Close()
		for _, e := range [][2]string{{"b", "2"}, {"a", "1"}, {"b", "3"}, {"c", "4"}, {"", "5"}, {"B the", "6"}} {
			if err := s.Set(t.Context(), "kind", e[0], []byte(e[1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Set(t.Context(), "kind", "c", nil); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := s.Get(t.Context(), "kind", func(id string, value []byte) error { got += id + string(value); return nil }); err != nil || got != "5B the6a1b3" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestOpenSaysNoPassword: what cannot be opened is told without what is secret of it.
func TestOpenSaysNoPassword(t *testing.T) {
	for _, at := range []string{"http://a:secret-word@127.0.0.1:1", "http://[secret-word", "nonsense secret-word", "http://127.0.0.1:1"} {
		if _, err := Open(t.Context(), at, tenant.NewSecret("secret-word")); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%v", err)
		}
	}
}
