package anthropic

import (
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/scan"
)

// Writer writes a streamed answer as server-sent events. ID and Model are set
// before the first Delta, or by it where they are empty.
type Writer struct {
	ID    string
	Model string

	blocks []int // by our number: the index that their deltas have
	open   bool  // the last one
	kind   inference.DeltaKind
}

// Delta appends the events of one step. Blocks are numbered anew, without gaps:
// clients refuse anything else.
func (w *Writer) Delta(dst []byte, d inference.Delta) []byte {
	switch d.Kind {
	case inference.Begin:
		if w.ID == "" {
			w.ID = d.ID
		}
		if w.Model == "" {
			w.Model = d.Model
		}
		dst = append(dst, "event: message_start\ndata: "+`{"type":"message_start","message":{"id":`...)
		dst = append(scan.AppendString(dst, w.ID), `,"type":"message","role":"assistant"`...)
		dst = scan.AppendString(scan.AppendKey(dst, "model"), w.Model)
		dst = append(dst, `,"content":[],"stop_reason":null,"stop_details":null,"stop_sequence":null,"container":null,"diagnostics":null,"usage":`...)
		return append(appendUsage(dst, d.Usage), "}}\n\n"...)
	case inference.TextDelta, inference.RefusalDelta:
		dst = w.block(dst, d.Index, inference.TextDelta, `{"type":"text","text":""}`)
		return w.delta(dst, d, `{"type":"text_delta","text":`)
	case inference.ThoughtDelta:
		dst = w.block(dst, d.Index, d.Kind, `{"type":"thinking","thinking":"","signature":""}`)
		return w.delta(dst, d, `{"type":"thinking_delta","thinking":`)
	case inference.Signed:
		dst = w.block(dst, d.Index, inference.ThoughtDelta, `{"type":"thinking","thinking":"","signature":""}`)
		return w.delta(dst, d, `{"type":"signature_delta","signature":`)
	case inference.Sealed:
		dst = append(w.begin(dst, d.Index, d.Kind), `{"type":"redacted_thinking","data":`...)
		return append(scan.AppendString(dst, d.Text), "}}\n\n"...)
	case inference.ToolBegin:
		dst = w.begin(dst, d.Index, inference.ToolDelta)
		dst = scan.AppendString(append(dst, `{"type":"tool_use","id":`...), toolID(d.ID))
		dst = scan.AppendString(scan.AppendKey(dst, "name"), d.Name)
		return append(dst, `,"input":{}}}`+"\n\n"...)
	case inference.ToolDelta:
		return w.delta(dst, d, `{"type":"input_json_delta","partial_json":`)
	case inference.End:
		dst = append(w.close(dst), "event: message_delta\ndata: "+`{"type":"message_delta","delta":{`...)
		dst = appendReason(dst, d.Finish, d.StopSequence)
		dst = appendSum(append(dst, `,"container":null},"usage":`...), d.Usage)
		return append(dst, "}\n\n"...)
	}
	return dst
}

// End appends the terminal.
func (w *Writer) End(dst []byte) []byte {
	return append(dst, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

// Fail appends an error in the place of the terminal. Open blocks need no
// closing.
func (w *Writer) Fail(dst []byte, f *fault.Error, requestID string) []byte {
	return append(AppendError(append(dst, "event: error\ndata: "...), f, requestID), "\n\n"...)
}

// KeepAlive appends a ping, which may stand anywhere, also first.
func (w *Writer) KeepAlive(dst []byte) []byte {
	return append(dst, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
}

// block begins a block unless it is the open one.
func (w *Writer) block(dst []byte, index int, kind inference.DeltaKind, empty string) []byte {
	if w.open && w.kind == kind && w.blocks[len(w.blocks)-1] == index {
		return dst
	}
	return append(append(w.begin(dst, index, kind), empty...), "}\n\n"...)
}

// begin closes the open block and appends the beginning of the next.
func (w *Writer) begin(dst []byte, index int, kind inference.DeltaKind) []byte {
	dst = append(w.close(dst), "event: content_block_start\ndata: "+`{"type":"content_block_start"`...)
	dst = appendInt(dst, "index", len(w.blocks))
	w.open, w.kind = true, kind
	w.blocks = append(w.blocks, index)
	return scan.AppendKey(dst, "content_block")
}

func (w *Writer) close(dst []byte) []byte {
	if !w.open {
		return dst
	}
	w.open = false
	dst = append(dst, "event: content_block_stop\ndata: "+`{"type":"content_block_stop"`...)
	return append(appendInt(dst, "index", len(w.blocks)-1), "}\n\n"...)
}

// number returns the number of the last block with that index. Fragments of
// parallel tool calls may come mixed; clients sort them by number.
func (w *Writer) number(index int) int {
	for n := len(w.blocks) - 1; n > 0; n-- {
		if w.blocks[n] == index {
			return n
		}
	}
	return 0
}

func (w *Writer) delta(dst []byte, d inference.Delta, open string) []byte {
	dst = append(dst, "event: content_block_delta\ndata: "+`{"type":"content_block_delta"`...)
	dst = append(scan.AppendKey(appendInt(dst, "index", w.number(d.Index)), "delta"), open...)
	return append(scan.AppendString(dst, d.Text), "}}\n\n"...)
}
