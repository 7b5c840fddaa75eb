package litellm

import (
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

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
	told := string(made)
	for _, n := range c.Notes {
		told += n.Path + n.Words
	}
	if strings.Contains(told, "canary") {
		t.Errorf("a secret is told:\n%s", told)
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
