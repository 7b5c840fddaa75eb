package engine

import (
	"context"
	"math"
	"slices"
	"time"

	"headworks/internal/dialect"
	"headworks/internal/fault"
	"headworks/internal/fleet"
	"headworks/internal/scan"
	"headworks/internal/wire"
)

// Class is what a model that classifies says of a text: the label that it takes to be
// likeliest, and how likely that is, 0 to 1.
type Class struct {
	Label string
	P     float64
	Input int // tokens
}

// Classes is where an engine classifies: vLLM's path is /classify, without a version,
// SGLang's /v1/classify (vllm/entrypoints/pooling/classify, docs/supported_models of
// SGLang). Their forms are the same.
func Classes(versioned bool) func(dst []byte, base string) []byte {
	return func(dst []byte, base string) []byte {
		if versioned {
			return append(append(dst, Versioned(base)...), "/classify"...)
		}
		return append(append(dst, unversioned(base)...), "/classify"...)
	}
}

// unversioned returns the path of a base URL without a version at its end.
func unversioned(base string) string {
	for i := len(base) - 1; i >= 0; i-- {
		if base[i] == '/' {
			if versioned(base[i:]) {
				return base[:i]
			}
			break
		}
	}
	return base
}

const maxClasses = 1 << 20

// Classify asks a replica to classify a text. The error is a *fault.Error: Unsupported
// where this kind of upstream does not classify.
func (e *HTTP) Classify(ctx context.Context, replica fleet.ReplicaID, model, text string, until time.Time) (Class, error) {
	i := slices.IndexFunc(e.origins, func(o origin) bool { return o.id == replica })
	switch {
	case i < 0:
		return Class{}, fault.New(fault.Internal, "the replica belongs to another upstream")
	case e.options.Classes == nil:
		return Class{}, fault.New(fault.Unsupported, "this kind of upstream classifies nothing")
	}
	at := &e.origins[i]
	body := append(scan.AppendString([]byte(`{"model":`), model), `,"input":`...)
	body = append(scan.AppendString(body, text), '}')
	var header wire.Header
	fields := slices.Concat(e.options.Header, e.options.Defaults)
	if at.key < len(e.options.Keys) {
		fields = append(fields, e.options.Keys[at.key]...)
	}
	for _, f := range append(fields, [2]string{"Content-Type", "application/json"}, [2]string{"Accept", "application/json"}) {
		header.Add(f[0], f[1])
	}
	response, err := at.pool.Send(ctx, &wire.Request{Method: "POST", Target: string(e.options.Classes(nil, at.base)), Header: &header, Body: body})
	if err != nil {
		return Class{}, err
	}
	defer response.Close()
	status, err := response.Head(until)
	if err != nil {
		return Class{}, late(err)
	}
	answer, err := response.Body(maxClasses, until)
	switch {
	case err != nil:
		return Class{}, late(err)
	case status != 200:
		return Class{}, dialect.Said{Status: status}.Fault()
	}
	return readClass(answer)
}

// readClass reads vLLM's answer: {"data":[{"index":0,"label":"LABEL_1","probs":[...],
// "num_classes":2}],"usage":{"prompt_tokens":10}}.
func readClass(answer []byte) (c Class, err error) {
	var d scan.Doc
	if err := d.ScanLax(answer); err != nil {
		return Class{}, fault.Wrap(fault.Malformed, "the upstream's answer is not JSON", err)
	}
	var first scan.Value
	for each := range d.Root().Get("data").All() {
		first = each
		break
	}
	c.Label = first.Get("label").Text()
	for p := range first.Get("probs").All() {
		if f, ok := p.Float(); ok {
			c.P = max(c.P, f)
		}
	}
	n, _ := d.Root().Get("usage").Get("prompt_tokens").Int()
	c.Input = int(min(max(n, 0), math.MaxInt32))
	if c.Label == "" || c.P <= 0 || c.P > 1 {
		return Class{}, fault.New(fault.Malformed, "the upstream's answer names no class, or one that is not probable")
	}
	return c, nil
}
