package vllm

import (
	"headworks/internal/engine"
	"headworks/internal/scan"
)

// transfer is the field that says where a prompt was read, in requests and answers.
const transfer = "kv_transfer_params"

// own are the fields that say from which hosts the engine fetches what another one made:
// KV blocks, and what an encoder made of pictures. What stands in vllm_xargs
// ends where those end too, in extra_args of SamplingParams (ChatCompletionRequest in
// vllm/entrypoints/openai/chat_completion/protocol.py).
func own() []string {
	const encoded, extra = "ec_transfer_params", "vllm_xargs."
	return []string{transfer, encoded, extra + transfer, extra + encoded}
}

// keep asks to read a prompt and to keep its KV blocks for another engine.
const keep = `,"stream":false,"max_tokens":1,"` + transfer + `":{"do_remote_decode":true,"do_remote_prefill":false,` +
	`"remote_engine_id":null,"remote_block_ids":null,"remote_host":null,"remote_port":null}`

// handover is how vLLM's engines with a connector for KV caches (NixlConnector and
// those of its kind) hand over a prompt: the one that reads it is asked for one token
// and says where the blocks are, which the one that decodes is told and fetches. As
// vLLM's own proxy has it (tests/v1/kv_connector/nixl_integration/toy_proxy_server.py).
func handover() *engine.Handover {
	return &engine.Handover{
		Prefill: func(dst []byte, d *scan.Doc) []byte {
			root, again := d.Root(), keep
			if root.Get("tool_choice").Is("required") {
				return nil // one token is no call of a tool, and some versions fail over that
			}
			edits := scan.CutAll(nil, root, func(m scan.Value) bool {
				switch string(m.Key()) {
				case transfer, "stream", "stream_options", "max_tokens", "min_tokens", "min_completion_tokens":
					return true
				case "n", "best_of", "response_format": // of the answer alone: one token follows no schema
					return true
				case "max_completion_tokens":
					again += `,"max_completion_tokens":1`
					return true
				}
				return false
			})
			return scan.Splice(dst, d.Bytes(), append(edits, scan.Insert(root, []byte(again))))
		},
		Take: func(dst []byte, d *scan.Doc, handed []byte) []byte {
			root := d.Root()
			edits := scan.CutAll(nil, root, func(m scan.Value) bool { return string(m.Key()) == transfer })
			if handed != nil {
				edits = append(edits, scan.Insert(root, append([]byte(`,"`+transfer+`":`), handed...)))
			}
			return scan.Splice(dst, d.Bytes(), edits)
		},
		Handed: func(answer *scan.Doc) []byte {
			if v := answer.Root().Get(transfer); v.Kind() == scan.Object && v.Len() > 0 {
				return v.Raw()
			}
			return nil
		},
	}
}
