package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"headworks/internal/tenant"
)

// The files of the data folder that hold a secret: its text and a newline, for
// the owner's eyes alone.
const (
	AdminTokenFile = "admin.token"
	LocalKeyFile   = "local.key"
	PepperFile     = "pepper"
)

// OpenSecret returns the secret in a file of the data folder. Where there is no
// file it makes a key of that id and puts it there, with mode 0600. An operator
// may put a text of at least 16 characters there instead.
func OpenSecret(data *os.Root, name, id string) (tenant.Secret, error) {
	s, err := readSecret(data, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	k, err := NewKey(id)
	if err != nil {
		return tenant.Secret{}, err
	}
	if err := writeSecret(data, name, k.Secret); err != nil {
		return tenant.Secret{}, fmt.Errorf("identity: %w", err)
	}
	return k.Secret, nil
}

func readSecret(data *os.Root, name string) (tenant.Secret, error) {
	f, err := data.Open(name)
	if err != nil {
		return tenant.Secret{}, fmt.Errorf("identity: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return tenant.Secret{}, fmt.Errorf("identity: %w", err)
	}
	// Whoever else may read it, should not; a file system without modes has no
	// say in that.
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		_ = data.Chmod(name, 0o600)
	}
	text := strings.TrimSpace(string(b))
	switch {
	case len(text) < MinSecret || strings.ContainsAny(text, " \t\r\n"):
		return tenant.Secret{}, fmt.Errorf("identity: %s holds no secret: want one text of at least %d characters", name, MinSecret)
	case strings.HasPrefix(text, prefix):
		// Half a key may be long enough, and nobody would know it again.
		if _, err := ParseKey(text); err != nil {
			return tenant.Secret{}, fmt.Errorf("identity: %s is damaged: restore it, or remove it for a new one", name)
		}
	}
	return tenant.NewSecret(text), nil
}

// writeSecret writes the file whole or not at all.
func writeSecret(data *os.Root, name string, s tenant.Secret) error {
	f, err := data.OpenFile(name+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, s.Reveal()+"\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return data.Rename(name+".tmp", name)
}

// AdminToken opens the admin API.
type AdminToken struct {
	Secret tenant.Secret
	digest [sha256.Size]byte
}

// OpenAdminToken returns the token in the data folder, made there at first start.
func OpenAdminToken(data *os.Root) (AdminToken, error) {
	s, err := OpenSecret(data, AdminTokenFile, "admin")
	return AdminToken{Secret: s, digest: sha256.Sum256([]byte(s.Reveal()))}, err
}

// Check reports whether a credential is the token, in a time that tells nothing
// about it. Nothing is the zero token.
func (t AdminToken) Check(credential []byte) bool {
	got := sha256.Sum256(credential)
	return subtle.ConstantTimeCompare(got[:], t.digest[:]) == 1 && !t.Secret.Empty()
}
