// Package docs holds the documentation, so that it is inside the binary and can be
// searched and read without a network.
package docs

import "embed"

// Files is the documentation as it stands in this folder, in Markdown.
//
//go:embed *.md howto reference explanation decisions
var Files embed.FS
