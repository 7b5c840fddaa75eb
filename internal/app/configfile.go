package app

import (
	"fmt"
	"os"
	"path/filepath"

	"headworks/internal/config"
)

// ConfigFile is what a configuration is called unless somebody says otherwise.
const ConfigFile = "headworks.yaml"

// WriteConfig writes a file to begin with to path, and the schema that editors
// complete it from beside it, and returns what it wrote. A file that is there is
// left alone unless force is set; a schema is always that of this program.
func WriteConfig(path string, force bool) ([]string, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !force {
		flags |= os.O_EXCL
	}
	// A configuration may come to hold secrets.
	f, err := os.OpenFile(path, flags, 0o600)
	if os.IsExist(err) {
		return nil, fmt.Errorf("%s is there already; --force overwrites it", path)
	}
	if err != nil {
		return nil, err
	}
	_, err = f.Write(config.Init())
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	schema := filepath.Join(filepath.Dir(path), config.SchemaName)
	if err := os.WriteFile(schema, config.Schema(), 0o644); err != nil {
		return []string{path}, err
	}
	return []string{path, schema}, nil
}

// FirstConfig returns a file to begin with.
func FirstConfig() []byte { return config.Init() }

// ConfigSchema returns the JSON Schema of a configuration.
func ConfigSchema() []byte { return config.Schema() }

// CheckConfig reads and checks a file. The Config is nil if the report is not OK.
func CheckConfig(path string) (*config.Config, *config.Report) { return config.Load(path) }

// ExplainConfig returns the settings of a checked file at a path and below it.
func ExplainConfig(c *config.Config, path string) ([]config.Value, error) {
	return config.Explain(c, path)
}

// CompareConfigs returns what differs between two checked files, the same in words,
// and which of it only a restart brings about.
func CompareConfigs(was, now *config.Config) (changes []config.Change, words, restart []string) {
	found := config.Diff(was, now)
	return append([]config.Change{}, found...), append([]string{}, config.Summary(found)...), append([]string{}, config.Restart(found)...)
}

// Nearest returns which of the names a word was probably meant to be; empty if none.
func Nearest(word string, names []string) string { return config.Nearest(word, names) }
