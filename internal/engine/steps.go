package engine

import (
	"headworks/internal/inference"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// Spoken returns how answers in a dialect are read that can be told as steps; false for
// a dialect whose answers cannot.
func Spoken(d inference.Dialect) (p Protocol, ok bool) {
	switch d {
	case inference.OpenAI:
		return Chat(), true
	case inference.Anthropic:
		return Messages(), true
	case inference.Responses:
		return Responses(), true
	case inference.Gemini:
		return Generate(nil), true
	case inference.Ollama:
		return OllamaChat(nil), true
	default:
		return Protocol{}, false
	}
}

// Steps returns the steps that the events of a whole answer tell. The errors are those
// of an upstream's stream.
func Steps(p *Protocol, events []byte, d *scan.Doc) ([]inference.Delta, error) {
	framing, reader := Framing(wire.NewSplitter(mostPictured)), p.NewReader()
	if p.Framing != nil {
		framing = p.Framing()
	}
	reader.Reset(1)
	framing.Feed(events)
	var deltas []inference.Delta
	for {
		e, err := framing.Next()
		switch {
		case err != nil:
			return nil, err
		case e == nil:
			if err := reader.End(); err != nil {
				return nil, err
			}
			return reader.Deltas(deltas), nil
		case e.Data == nil:
			continue
		}
		told, err := reader.Read(e.Name, e.Data, d)
		if err != nil {
			return nil, err
		}
		if !told.Terminal || told.Content {
			deltas = reader.Deltas(deltas)
		}
	}
}

// FirstData returns the data of the first event that has some.
func FirstData(events []byte) []byte {
	s := wire.NewSplitter(mostPictured)
	s.Feed(events)
	for {
		e, err := s.Next()
		if e == nil || err != nil {
			return nil
		}
		if e.Data != nil {
			return e.Data
		}
	}
}
