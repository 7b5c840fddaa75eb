package converse

import (
	"strings"

	"headworks/internal/dialect"
	"headworks/internal/scan"
)

// Mark marks the end of the system prompt with a cachePoint, for the models that keep
// prompts (Bedrock User Guide, "Prompt caching": Claude and Nova). Where the part is
// too short to be kept, nothing is added; callers' own marks do not come this far.
func Mark(dst []scan.Edit, d *scan.Doc, model, _ string) []scan.Edit {
	if !strings.Contains(model, "anthropic.claude") && !strings.Contains(model, "amazon.nova") {
		return dst
	}
	system, tools := d.Root().Get("system"), d.Root().Get("toolConfig")
	if system.Kind() != scan.Array || len(system.Raw())+len(tools.Raw()) < dialect.MarkedBytes {
		return dst
	}
	var last scan.Value
	for last = range system.All() {
		if last.Get("cachePoint").Exists() {
			return dst
		}
	}
	if last.Kind() != scan.Object {
		return dst
	}
	return append(dst, scan.Replace(last, append(append([]byte(nil), last.Raw()...), `,{"cachePoint":{"type":"default"}}`...)))
}
