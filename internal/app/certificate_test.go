package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headworks/internal/client"
)

// issue writes a certificate of its own authority, and its key.
func issue(t *testing.T, dir string, serial int64, ends time.Time) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, pool
}

func TestTLS(t *testing.T) {
	e := newLab(t, false)
	dir := t.TempDir()
	cert, key, pool := issue(t, dir, 1, time.Now().Add(24*time.Hour))
	i := serve(t, file("tls: {cert: "+cert+", key: "+key+"}\n", e.URL))
	if !strings.HasPrefix(i.BaseURL(), "https://127.0.0.1:") {
		t.Fatalf("the base URL is %s", i.BaseURL())
	}
	for _, line := range []string{`"level":"WARN"`, "ends soon", `"not_after"`} { // within 14 days
		if !strings.Contains(i.log.String(), line) {
			t.Errorf("no %s in the log", line)
		}
	}

	// serial asks on a new connection and tells whose certificate was shown.
	serial := func(version int, trust *x509.CertPool) (int64, error) {
		var p http.Protocols
		p.SetHTTP1(version == 1)
		p.SetHTTP2(version == 2)
		web := &http.Transport{Protocols: &p, TLSClientConfig: &tls.Config{RootCAs: trust}}
		defer web.CloseIdleConnections()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", i.BaseURL()+"/chat/completions",
			strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
		req.Header.Set("Authorization", "Bearer "+pinned)
		r, err := web.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer r.Body.Close()
		answer, err := io.ReadAll(r.Body)
		if r.StatusCode != 200 || r.ProtoMajor != version || err != nil || !strings.HasSuffix(string(answer), "data: [DONE]\n\n") {
			t.Errorf("HTTP/%d: %d over HTTP/%d, %v\n%s", version, r.StatusCode, r.ProtoMajor, err, answer)
		}
		return r.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	for version := 1; version <= 2; version++ {
		if n, err := serial(version, pool); n != 1 || err != nil {
			t.Errorf("HTTP/%d: certificate %d, %v", version, n, err)
		}
	}
	old := &tls.Dialer{Config: &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}}
	if c, err := old.DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(i.BaseURL(), "https://"), "/v1")); err == nil {
		c.Close()
		t.Error("TLS 1.1 was spoken")
	}

	// The commands know the instance though no authority vouches for it.
	s := i.Status()
	r, err := client.API{BaseURL: s.BaseURL, Certificate: s.Cert, Key: pinned}.Ask(t.Context(), "m", "hi", func(string) {})
	if err != nil || r.Answer == "" {
		t.Errorf("%+v, %v", r, err)
	}

	// A pair that does not fit changes nothing; the next good one is taken over.
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log says that it does not fit", func() bool {
		if n, err := serial(1, pool); n != 1 || err != nil {
			t.Fatalf("certificate %d, %v", n, err)
		}
		return strings.Contains(i.log.String(), "the last good one stays")
	})
	_, _, next := issue(t, dir, 2, time.Now().Add(365*24*time.Hour))
	eventually(t, "the renewed certificate is shown", func() bool {
		n, err := serial(2, next)
		return n == 2 && err == nil
	})
	if _, err := serial(1, pool); err == nil {
		t.Error("the old certificate is still shown")
	}
}

// TestAdminTLS: the admin listener has a certificate of its own, by which the commands
// of this machine know it, a renewed one too.
func TestAdminTLS(t *testing.T) {
	e := newLab(t, false)
	dir := t.TempDir()
	cert, key, _ := issue(t, dir, 1, time.Now().Add(365*24*time.Hour))
	i := serve(t, file("admin: {tls: {cert: "+cert+", key: "+key+"}}\n", e.URL))
	if !strings.HasPrefix(i.AdminURL(), "https://") || !strings.HasPrefix(i.BaseURL(), "http://") {
		t.Fatalf("%s and %s", i.AdminURL(), i.BaseURL())
	}
	if _, err := i.admin.Status(t.Context()); err != nil { // as the commands found it
		t.Fatal(err)
	}
	issue(t, dir, 2, time.Now().Add(365*24*time.Hour))
	eventually(t, "the commands take the renewed certificate", func() bool {
		a, err := client.Find(i.data, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Status(t.Context())
		return err == nil
	})
	// An authority vouches for neither.
	a, err := client.Find(i.data, i.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Status(t.Context()); err == nil {
		t.Error("a certificate of nobody's is trusted")
	}
}

// TestTLSNeedsItsFiles: a process that cannot prove who it is does not start.
func TestTLSNeedsItsFiles(t *testing.T) {
	e := newLab(t, false)
	dir := t.TempDir()
	cert, key, _ := issue(t, dir, 1, time.Now().Add(time.Hour))
	for name, tt := range map[string]struct{ section, words string }{
		"no key":     {"tls: {cert: " + cert + "}", "tls"},
		"admin":      {"admin: {tls: {key: " + key + "}}", "admin.tls"},
		"no file":    {"tls: {cert: " + cert + ", key: " + key + ".not}", "no such file"},
		"not a pair": {"tls: {cert: " + key + ", key: " + cert + "}", "PEM"},
	} {
		at := filepath.Join(dir, "headworks.yaml")
		if err := os.WriteFile(at, []byte(file(tt.section+"\n", e.URL)), 0o600); err != nil {
			t.Fatal(err)
		}
		a, _, err := Serve(at, Place{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Data: filepath.Join(dir, "data")}, io.Discard)
		if err == nil {
			a.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
