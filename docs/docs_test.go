package docs

import (
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"headworks/internal/catalog"
	"headworks/internal/config"
	"headworks/internal/fault"
	"headworks/internal/inference"
	"headworks/internal/record"
)

func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(Files, name)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// anchors returns what links to the headings of a page end in.
func anchors(page string) (all []string) {
	for line := range strings.Lines(page) {
		if text, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && line[0] == '#' {
			all = append(all, strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
					return unicode.ToLower(r)
				}
				return -1
			}, strings.TrimSpace(text)))
		}
	}
	return all
}

// Every link leads somewhere, every page has a title and is reached from the index.
func TestLinks(t *testing.T) {
	all := pages(t)
	indexed := map[string]bool{"README.md": true}
	for name, text := range all {
		if !strings.HasPrefix(text, "# ") {
			t.Errorf("%s does not open with a title", name)
		}
		for _, l := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			file, part, _ := strings.Cut(l[1], "#")
			to := path.Join(path.Dir(name), file)
			if file == "" {
				to = name
			}
			if page, ok := all[to]; !ok || part != "" && !slices.Contains(anchors(page), part) {
				t.Errorf("%s links to %s, which is not there", name, l[1])
			}
			if name == "README.md" {
				indexed[to] = true
			}
		}
	}
	for name := range all {
		if !indexed[name] {
			t.Errorf("README.md does not lead to %s", name)
		}
	}
}

// The reference names every error that can reach a caller, as the table of faults
// has it.
func TestErrorsAreComplete(t *testing.T) {
	page := pages(t)["reference/errors.md"]
	for _, k := range fault.Kinds() {
		i := k.Info()
		row := regexp.MustCompile("(?m)^\\| `" + i.Code + "`.* \\| [0-9]+ \\| `" + i.Name + "` \\|").FindString(page)
		if row == "" {
			t.Errorf("no row for code %s, kind %s", i.Code, i.Name)
			continue
		}
		if i.InBand != "" && !strings.Contains(row, "`"+i.InBand+"`") {
			t.Errorf("the row of %s does not name %s", i.Name, i.InBand)
		}
		if status := strings.Fields(strings.Split(row, "|")[2])[0]; status != strconv.Itoa(i.Status) {
			t.Errorf("%s has status %s, the program says %d", i.Name, status, i.Status)
		}
	}
}

// The reference has every problem of a configuration in the program's own words.
func TestConfigurationProblemsAreComplete(t *testing.T) {
	page := pages(t)["reference/errors.md"]
	for _, c := range config.Codes() {
		title, mend, _ := config.Page(c.String())
		row := "| `" + c.String() + "` | " + title + " | " + strings.ReplaceAll(mend, "|", "\\|") + " |\n"
		if !strings.Contains(page, row) {
			t.Errorf("reference/errors.md lacks the row\n%s", row)
		}
	}
}

// The reference names every field of a configuration.
func TestConfigurationIsComplete(t *testing.T) {
	page := pages(t)["reference/config.md"]
	var visit func(reflect.Type)
	seen := map[reflect.Type]bool{}
	visit = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] {
			return
		}
		seen[of] = true
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			if !regexp.MustCompile("[`.]" + name + "[`.[]").MatchString(page) {
				t.Errorf("reference/config.md does not name %s of %s", name, of)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[config.Config]())
}

// The page of providers has every kind of upstream, with what the program knows of it.
func TestKindsAreComplete(t *testing.T) {
	page := pages(t)["reference/providers.md"]
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	for _, k := range catalog.Kinds() {
		url := code(k.URL)
		switch {
		case k.BuiltIn:
			url = "inside the program"
		case k.URL == "" && k.Port > 0:
			url = "yours; usually port " + strconv.Itoa(int(k.Port))
		case k.URL == "":
			url = "yours"
		}
		var speaks []string
		for _, d := range inference.Dialects() {
			if (k.Speaks | k.Own | k.Versioned).Has(d) {
				speaks = append(speaks, d.String())
			}
		}
		row := "| `" + k.Name + "` | " + k.Title + " | " + url + " | " + code(k.Env) + " | " + strings.Join(speaks, ", ") + " |\n"
		if !strings.Contains(page, row) {
			t.Errorf("reference/providers.md lacks the row\n%s", row)
		}
		m := k.Manner
		if !m.Differs() {
			continue
		}
		var renamed []string
		for _, r := range m.Renamed {
			renamed = append(renamed, "`"+r[0]+"` is `"+r[1]+"`")
		}
		refused := slices.Clone(m.Refused)
		for _, f := range m.InMessages {
			refused = append(refused, "messages."+f)
		}
		for i := range refused {
			refused[i] = "`" + refused[i] + "`"
		}
		row = "| `" + k.Name + "` | " + strings.Join(refused, ", ") + " | " + strings.Join(renamed, ", ") + " |\n"
		if !strings.Contains(page, row) {
			t.Errorf("reference/providers.md lacks the row\n%s", row)
		}
	}
}

// The reference names every column of a Record.
func TestRecordsAreComplete(t *testing.T) {
	page := pages(t)["reference/records.md"]
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(page, -1) {
		named[m[1]] = true
	}
	for _, c := range record.Columns() {
		if !named[c.Name] {
			t.Errorf("no row for column %s", c.Name)
		}
		delete(named, c.Name)
	}
	for _, end := range []record.End{record.OK, record.Failed, record.AbnormalEnd, record.ClientClosed} {
		delete(named, end.String())
	}
	for name := range named {
		t.Errorf("%s is no column", name)
	}
}
