package app

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAside serves a file beside the instance that serves it: on other ports, with data
// of its own, and without a word to anybody else.
func TestAside(t *testing.T) {
	lab := newLab(t, false)
	i := serve(t, file("", lab.URL))
	source := filepath.Join(t.TempDir(), "headworks.yaml")
	text := "listen: " + strings.TrimSuffix(strings.TrimPrefix(i.BaseURL(), "http://"), "/v1") + "\ndata: " + i.data + "\n" +
		"peers: {listen: 127.0.0.1:1, hosts: [127.0.0.1:2], secret: 0123456789abcdef0123}\n" + file("", lab.URL)
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Aside(source, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func() { close(ready) }) }()
	<-ready
	data := a.Config().Data
	if a.BaseURL() == i.BaseURL() || data == i.data || a.LocalKey() == "" || len(a.Status().Peers) != 0 {
		t.Errorf("%s, %s, %+v", a.BaseURL(), data, a.Status().Peers)
	}
	if r := i.send(t, "POST", a.BaseURL()+"/chat/completions", a.LocalKey(), `{"model":"lab/any","messages":[{"role":"user","content":"hi"}]}`); r.status != 200 || r.header.Get("X-Headworks-Cost") == "" {
		t.Errorf("%d %s %v", r.status, r.body, r.header)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(data); err != nil {
		t.Error(err)
	}
	all, err := Targets(source)
	if err != nil || len(all) != 1 || all[0].Asked != "lab/any" || all[0].Model != "m" {
		t.Errorf("%+v, %v", all, err)
	}
}
