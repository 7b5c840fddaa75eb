package vitals

import (
	"errors"

	"headworks/internal/scan"
)

// Loaded is a model that an Ollama holds in memory.
type Loaded struct {
	Name   string
	Digest string
	VRAM   int64 // bytes
}

// mostLoaded bounds the models that are kept.
const mostLoaded = 32

func holds(loaded []Loaded, m Loaded) bool {
	for _, l := range loaded {
		if l.Name == m.Name && l.Digest == m.Digest {
			return true
		}
	}
	return false
}

// ReadLoaded reads the body of Ollama's GET /api/ps, which is all that it tells of
// its state: neither who runs nor who waits.
func ReadLoaded(body []byte) (Report, error) {
	r := blank()
	var d scan.Doc
	if err := d.ScanLax(body); err != nil {
		return r, errors.New("the list of running models is not JSON")
	}
	models := d.Root().Get("models")
	if models.Kind() != scan.Array {
		return r, errors.New("the list of running models has no models")
	}
	r.Engine = "ollama"
	for m := range models.All() {
		if len(r.Loaded) == mostLoaded {
			break
		}
		size, _ := m.Get("size_vram").Int()
		r.Loaded = append(r.Loaded, Loaded{Name: m.Get("name").Text(), Digest: m.Get("digest").Text(), VRAM: size})
	}
	return r, nil
}
