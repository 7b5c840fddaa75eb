package segment

import (
	"log/slog"
	"testing"

	"headworks/internal/knowledge"
	"headworks/internal/knowledge/knowledgetest"
)

func TestSuite(t *testing.T) {
	knowledgetest.Test(t, func(t *testing.T) knowledgetest.Make {
		dir := t.TempDir()
		return knowledgetest.Make{
			Open: func(t *testing.T) knowledge.Store { return open(t, dir) },
			Close: func(t *testing.T, s knowledge.Store) {
				if err := s.(*Store).Close(); err != nil {
					t.Error(err)
				}
			},
		}
	})
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
