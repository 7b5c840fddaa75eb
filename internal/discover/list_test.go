package discover_test

import (
	"testing"

	"headworks/internal/discover"
	"headworks/internal/discover/discovertest"
)

func TestListConforms(t *testing.T) {
	list := discover.List{{URL: "http://10.0.0.1:8000"}, {URL: "http://10.0.0.2:8000"}}
	discovertest.Run(t, func(*testing.T) discovertest.Source {
		return discovertest.Source{Finder: list, Fixed: list}
	})
}
