package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"headworks/internal/peer"
)

// TestPeers: what one gateway sent, the other knows, with a secret and with
// certificates; who has neither is not listened to.
func TestPeers(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := issue(t, dir, 1, time.Now().Add(30*24*time.Hour))
	for name, c := range map[string]struct{ mine, strange string }{
		"secret":       {"secret: a-secret-of-this-cell", "secret: a-secret-of-another-cell"},
		"certificates": {fmt.Sprintf("tls: {cert: %s, key: %s, ca: %s}", cert, key, cert), "secret: a-secret-of-another-cell"},
	} {
		t.Run(name, func(t *testing.T) {
			var urls []string
			for range 6 {
				urls = append(urls, newLab(t, false).URL)
			}
			source := func(prove string, hosts ...string) string {
				return file("peers: {listen: 127.0.0.1:0, interval: 10ms, "+prove+", hosts: ["+strings.Join(hosts, ", ")+"]}\n", urls...)
			}
			a := serve(t, source(c.mine))
			at := a.company.listener.Addr().String()
			b := serve(t, source(c.mine, at))
			strange := serve(t, source(c.strange, at))
			a.write(t, source(c.mine, at, b.company.listener.Addr().String()))
			if _, err := a.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			states := func(i *instance) (all []string) {
				for _, l := range i.Status().Peers {
					all = append(all, l.State)
				}
				return all
			}
			for i, want := range map[*instance][]string{a: {peer.Self, peer.Up}, b: {peer.Up}, strange: {peer.Down}} {
				eventually(t, fmt.Sprint("peers are ", want), func() bool {
					got := states(i)
					return len(got) == len(want) && (got[0] == want[0] || got[0] == want[len(want)-1])
				})
			}
			if n := metric(t, strange, "headworks_peers"); n != 1 {
				t.Errorf("%v peers in the metrics", n)
			}

			prompt := fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":%q}]}`, strings.Repeat("a long beginning that is shared ", 1000))
			first := a.send(t, "POST", a.BaseURL()+"/chat/completions", pinned, prompt)
			eventually(t, "the other learns", func() bool { return b.company.counts().Learned > 100 })
			then := b.send(t, "POST", b.BaseURL()+"/chat/completions", pinned, prompt)
			if was, is := first.header.Get("X-Headworks-Replica"), then.header.Get("X-Headworks-Replica"); was != is || was == "" {
				t.Errorf("sent to %q, and by the other gateway to %q", was, is)
			}
			if n := strange.company.counts(); n.Learned != 0 {
				t.Errorf("a stranger learned %d blocks", n.Learned)
			}
		})
	}
}
