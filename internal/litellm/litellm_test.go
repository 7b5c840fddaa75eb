package litellm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"

	"headworks/internal/catalog"
	"headworks/internal/config"
)

var update = flag.Bool("update", false, "write what comes out into the files of testdata")

// variables are set to what each of them may hold, whatever its name.
func variables(name string) (string, bool) {
	switch {
	case strings.HasPrefix(name, "VERTEX"):
		return account, true
	case strings.HasPrefix(name, "AWS_"):
		return "eu-central-1", true
	case strings.HasSuffix(name, "_BASE"):
		return "https://" + strings.ToLower(strings.ReplaceAll(name, "_", "-")) + ".example.com", true
	default:
		return "sk-0123456789-" + name, true
	}
}

const account = `{"type": "service_account"}`

// TestExamples reads configurations of others, as LiteLLM's documentation has them.
// What is made of one is a configuration that is accepted, and the notes have its
// lines. -update writes both.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		src := a.Files[0].Data
		made, c, err := Import(src, func(kind string) bool { _, ok := catalog.Find(kind); return ok })
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var notes strings.Builder
		for _, n := range c.Notes {
			fmt.Fprintf(&notes, "%d  %s: %s\n", n.Line, n.Path, n.Words)
			if n.Line < 1 || n.Line > strings.Count(string(src), "\n") {
				t.Errorf("%s: line %d is none of the file: %s", file, n.Line, n.Words)
			}
		}
		next := &txtar.Archive{Comment: a.Comment, Files: []txtar.File{a.Files[0], {Name: "headworks.yaml", Data: made}, {Name: "notes", Data: []byte(notes.String())}}}
		if *update {
			if err := os.WriteFile(file, txtar.Format(next), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got, want := string(txtar.Format(next)), string(txtar.Format(a)); got != want {
			t.Errorf("%s: got\n%s", file, got)
		}
		from := config.Lookup{Env: variables, File: func(string) ([]byte, error) { return []byte(account), nil }}
		if _, report := config.Parse("headworks.yaml", made, from); !report.OK() {
			t.Errorf("%s: what is made of it is not valid:\n%s\n%s", file, report.Text(""), made)
		}
	}
}

func all(string) bool { return true }

// TestSecretsStay: no secret of the file is in what is made of it, nor in a note.
func TestSecretsStay(t *testing.T) {
	src := `
model_list:
  - model_name: a
    litellm_params: {model: openai/a, api_key: sk-canary-1}
  - model_name: b
    litellm_params: {model: azure/b, api_base: "https://x.openai.azure.com", api_key: sk-canary-2, azure_ad_token: sk-canary-3}
  - model_name: c
    litellm_params: {model: bedrock/c, aws_access_key_id: sk-canary-4, aws_secret_access_key: sk-canary-5}
litellm_settings: {default_team_settings: [{langfuse_secret: sk-canary-6}]}
general_settings: {master_key: sk-canary-7, database_url: "postgres://u:sk-canary-8@h/d"}
environment_variables: {KEY: sk-canary-9}
router_settings: {redis_password: sk-canary-10}
`
	made, c, err := Import([]byte(src), all)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	told.WriteString(string(made))
	for _, n := range c.Notes {
		told.WriteString(n.Path + n.Words)
	}
	if strings.Contains(told.String(), "canary") {
		t.Errorf("a secret is told:\n%s", told.String())
	}
	for _, want := range []string{"${OPENAI_API_KEY}", "${AZURE_API_KEY}", "${LITELLM_MASTER_KEY}"} {
		if !strings.Contains(string(made), want) {
			t.Errorf("no reference %s in\n%s", want, made)
		}
	}
}

// TestKindsThatAreNotHere: a deployment of a kind that this program does not have is
// left out and named; where none is left there is no file.
func TestKindsThatAreNotHere(t *testing.T) {
	src := "model_list: [{model_name: a, litellm_params: {model: groq/a}}, {model_name: b, litellm_params: {model: gpt-4o}}]"
	made, c, err := Import([]byte(src), func(kind string) bool { return kind == "openai" })
	if err != nil || c.Skipped != 1 || c.Models != 1 || len(c.Notes) != 1 || strings.Contains(string(made), "groq") {
		t.Errorf("%+v, %v\n%s", c, err, made)
	}
	if _, c, err := Import([]byte(src), func(string) bool { return false }); err == nil || len(c.Notes) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestOrderAndAnchors: an order of deployments is kept, YAML's anchors are read.
func TestOrderAndAnchors(t *testing.T) {
	src := `
x: &openai {api_key: os.environ/K}
model_list:
  - {model_name: m, litellm_params: {model: openai/second, order: 2, api_key: os.environ/K}}
  - {model_name: m, litellm_params: {model: openai/first, order: 1, api_key: os.environ/K}}
router_settings: {model_group_alias: {n: m, m: m, o: nothing}}
`
	made, c, err := Import([]byte(src), all)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Models map[string]struct {
			Policy  string
			Targets []struct{ Model string }
		}
	}
	if err := yaml.Unmarshal(made, &f); err != nil {
		t.Fatalf("%v\n%s", err, made)
	}
	if m := f.Models["m"]; m.Policy != "" || len(m.Targets) != 2 || m.Targets[0].Model != "first" {
		t.Errorf("%+v", f)
	}
	if len(f.Models["n"].Targets) != 2 || len(f.Models) != 2 {
		t.Errorf("%+v", f)
	}
	if len(c.Notes) != 3 { // two aliases, one section
		t.Errorf("%+v", c.Notes)
	}
}

func TestNoConfiguration(t *testing.T) {
	for _, src := range []string{"", "a: [", "[]", "a: b", "model_list: []", "model_list: null", "model_list: [1, {}, {model_name: x}]", "--- \n---\n"} {
		if made, _, err := Import([]byte(src), all); err == nil {
			t.Errorf("%q became\n%s", src, made)
		}
	}
}

// FuzzImport: whatever the file, what is made of it is YAML.
func FuzzImport(f *testing.F) {
	script, err := os.ReadFile("../../test/scripts/import-litellm.txtar")
	if err != nil {
		f.Fatal(err)
	}
	_, example, _ := strings.Cut(string(script), "-- config.yaml --\n")
	example, _, _ = strings.Cut(example, "-- want.yaml --")
	f.Add([]byte(example))
	f.Add([]byte("model_list: [{model_name: \"a: #\\n\", litellm_params: {model: 'openai/\t\"x'}}]"))
	f.Add([]byte("model_list: &a [*a]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		made, _, err := Import(src, all)
		if err != nil {
			return
		}
		var v map[string]any
		if err := yaml.Unmarshal(made, &v); err != nil {
			t.Errorf("%v\n%s", err, made)
		}
	})
}
