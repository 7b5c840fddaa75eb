package app

import (
	"testing"

	"headworks/internal/catalog"
	"headworks/internal/config"
	"headworks/internal/fleet"
	"headworks/internal/inference"
	"headworks/internal/tenant"
)

// An engine speaks natively what the catalog says of its kind: requests are sent
// there for that.
func TestKindsSpeakWhatTheyAreSaidTo(t *testing.T) {
	for _, k := range catalog.Kinds() {
		if k.BuiltIn {
			continue
		}
		u := config.Upstream{Kind: k.Name, Project: "p"}
		if k.Name == config.Vertex {
			u.Key = tenant.NewSecret(`{"type":"authorized_user"}`)
		}
		b, err := newFleetRoom(nil).engine(k.Name, u, []fleet.Replica{{URL: "http://127.0.0.1:1"}})
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		if e, ok := b.engine.(interface{ Speaks() inference.Set }); ok {
			if missing := k.Speaks &^ e.Speaks(); missing != 0 {
				t.Errorf("%s: the catalog has dialects (%b) that its engine does not speak", k.Name, missing)
			}
		}
		b.close()
	}
}
