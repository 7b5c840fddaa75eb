// Package azure speaks to OpenAI's models at Azure, in both of its ways: the v1 API,
// where a deployment is named in the body as a model is, and the older one, where it
// stands in the path and the query names a version of the API.
//
// Pictures and sound are asked for by the older API alone: the description of v1 names
// neither.
//
// Its source is Microsoft's reference of Azure OpenAI, v1 and 2024-10-21.
package azure

import (
	"net/url"
	"strings"

	"headworks/internal/engine"
	"headworks/internal/fleet"
	"headworks/internal/inference"
)

// New returns the engine of an upstream's replicas; an empty key is not sent. The
// version is that of the older API; empty for v1.
func New(replicas []fleet.Replica, keys []string, version string) (*engine.HTTP, error) {
	protocols := []engine.Protocol{engine.Chat(), engine.Completions(), engine.Embeddings()}
	if version != "" {
		for _, p := range engine.Passing() {
			switch p.Dialect {
			case inference.Images, inference.Speech, inference.Transcriptions, inference.Translations:
				protocols = append(protocols, p)
			default: // it has no deployments of
			}
		}
	}
	for i := range protocols {
		path := protocols[i].Path
		protocols[i].Target = func(dst []byte, base, _ string, _ bool) []byte {
			return append(append(append(dst, root(base)...), "/v1"...), path...)
		}
		if version != "" {
			query := "?api-version=" + url.QueryEscape(version)
			protocols[i].Target = func(dst []byte, base, model string, _ bool) []byte {
				dst = append(append(dst, root(base)...), "/deployments/"...)
				dst = append(append(dst, url.PathEscape(model)...), path...)
				return append(dst, query...)
			}
		}
	}
	return engine.NewHTTP(protocols, replicas, engine.Options{Keys: credentials(keys)})
}

// root returns the path of a base URL down to openai, whichever part of it the URL
// of the configuration has: that of a resource has none, that of the v1 API has all.
func root(base string) string {
	base = strings.TrimSuffix(base, "/v1")
	if strings.HasSuffix(base, "/openai") {
		return base
	}
	return base + "/openai"
}

// credentials returns the fields of keys: a token of Microsoft Entra ID, which is a
// JSON Web Token (RFC 7519), is a bearer's, and any other one a key of the resource.
func credentials(keys []string) [][][2]string {
	fields := engine.Keyed("api-key", "", keys)
	for i, key := range keys {
		if strings.HasPrefix(key, "eyJ") && strings.Count(key, ".") == 2 {
			fields[i] = [][2]string{{"Authorization", "Bearer " + key}}
		}
	}
	return fields
}
