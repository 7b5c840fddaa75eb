package openai

import (
	"cmp"
	"slices"

	"headworks/internal/catalog"
	"headworks/internal/dialect"
	"headworks/internal/dialect/openai"
	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/scan"
)

// Preset returns the engine of a provider that speaks as OpenAI does, in its own
// manner and no more than what the catalog says of it: completions reach one that only
// chats as a chat.
func Preset(kind catalog.Kind, replicas []fleet.Replica, keys []string) (*engine.HTTP, error) {
	protocols := slices.DeleteFunc(engine.Compatible(), func(p engine.Protocol) bool { return !kind.Speaks.Has(p.Dialect) })
	if m := kind.Manner; m.Differs() {
		protocols[0].Refit = refit(m)
	}
	return engine.NewHTTP(protocols, replicas, engine.Options{Keys: engine.Bearer(keys), Listing: engine.Models()})
}

// refit returns what makes a request of OpenAI's dialect one that a provider of
// that manner takes.
func refit(m catalog.Manner) func([]scan.Edit, []string, *scan.Doc, string) ([]scan.Edit, []string) {
	return func(dst []scan.Edit, dropped []string, d *scan.Doc, model string) ([]scan.Edit, []string) {
		root := d.Root()
		first := len(dst)
		lost := dialect.Fields{Dropped: dropped}
		var more []byte
		dst = scan.CutAll(dst, root, func(field scan.Value) bool {
			key := string(field.Key())
			for _, r := range m.Renamed {
				if key == r[0] {
					if !root.Get(r[1]).Exists() {
						more = append(scan.AppendKey(more, r[1]), field.Raw()...)
					}
					return true
				}
			}
			if slices.Contains(m.Refused, key) {
				lost.DropMember("", field)
				return true
			}
			return key == "models" || key == "stream_options" && m.Unasked
		})
		if name := root.Get("model"); !name.Is(model) {
			dst = append(dst, scan.Replace(name, scan.AppendString(nil, model)))
		}
		if !m.Unasked {
			dst = openai.AskUsage(dst, d)
		}
		if more != nil {
			dst = append(dst, scan.Insert(root, more))
		}
		for message := range root.Get("messages").All() {
			dst = refitMessage(dst, &lost, m, message)
		}
		slices.SortStableFunc(dst[first:], func(a, b scan.Edit) int { return cmp.Compare(a.Start, b.Start) })
		return dst, lost.Dropped
	}
}

func refitMessage(dst []scan.Edit, lost *dialect.Fields, m catalog.Manner, message scan.Value) []scan.Edit {
	dst = scan.CutAll(dst, message, func(field scan.Value) bool {
		refused := slices.Contains(m.InMessages, string(field.Key()))
		if refused {
			lost.DropMember("messages.", field)
		}
		return refused
	})
	if role := message.Get("role"); m.System && role.Is("developer") {
		dst = append(dst, scan.Replace(role, []byte(`"system"`)))
	}
	if m.ToolID == 0 {
		return dst
	}
	dst = fit(dst, message.Get("tool_call_id"), m.ToolID)
	for call := range message.Get("tool_calls").All() {
		dst = fit(dst, call.Get("id"), m.ToolID)
	}
	return dst
}

// fit gives an id of a tool call that a provider would not take one of n letters and
// digits, the same for the same id.
func fit(dst []scan.Edit, id scan.Value, n int) []scan.Edit {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	was := id.Bytes()
	if id.Kind() != scan.String || len(was) == n && !slices.ContainsFunc(was, odd) {
		return dst
	}
	is := []byte{'"'}
	for h := dialect.Session(was); len(is) <= n; h /= uint64(len(letters)) {
		is = append(is, letters[h%uint64(len(letters))])
	}
	return append(dst, scan.Replace(id, append(is, '"')))
}

func odd(c byte) bool {
	return !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z')
}
