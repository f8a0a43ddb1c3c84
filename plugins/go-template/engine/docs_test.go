package engine

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const pagePath = "../../../docs/templates.md"

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pageData is what the page gives as the data of its examples; keys and certificates, which it only names, are those of
// the cases.
func pageData(t *testing.T, page string) []Datum {
	t.Helper()
	_, after, found := strings.Cut(page, "The data are:\n\n```yaml\n")
	text, _, ended := strings.Cut(after, "\n```")
	if !found || !ended {
		t.Fatal("the page does not say what the data are")
	}
	values := map[string]string{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	var data []Datum
	for name, value := range values {
		data = append(data, Datum{[]string{name}, []byte(value)})
	}
	for name, value := range peerData(t) {
		if _, given := values[name]; !given {
			data = append(data, Datum{[]string{name}, value})
		}
	}
	return data
}

func TestExamplesOfThePageComeOutAsItSays(t *testing.T) {
	page := page(t)
	data := pageData(t, page)
	lines := 0
	for _, block := range regexp.MustCompile("(?s)```text\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for _, line := range strings.Split(strings.TrimSpace(block[1]), "\n") {
			lines++
			source, want, ok := strings.Cut(line, "  =>  ")
			if !ok {
				t.Errorf("%s: the line does not say what comes of it", line)
				continue
			}
			got, err := renderText(t, source, data, Settings{})
			described := strings.HasPrefix(want, "(") && strings.HasSuffix(want, ")")
			if shown := strings.ReplaceAll(got, "\n", "⏎"); err != nil || got == "" || !described && shown != want {
				t.Errorf("%s\ngot  %s, %v\nwant %s", source, shown, err, want)
			}
		}
	}
	if lines < 80 {
		t.Errorf("only %d examples were found", lines)
	}
}

func TestRecipesOfThePageRender(t *testing.T) {
	page := page(t)
	_, recipes, _ := strings.Cut(page, "## Recipes")
	found := regexp.MustCompile(`\.(?:crt|key|p12): ["'](\{\{.*\}\})["']`).FindAllStringSubmatch(recipes, -1)
	if len(found) < 4 {
		t.Fatalf("only %d recipes were found", len(found))
	}
	data := pageData(t, page)
	for _, recipe := range found {
		if got, err := renderText(t, recipe[1], data, Settings{}); err != nil || got == "" {
			t.Errorf("%s: %v", recipe[1], err)
		}
	}
}

func TestThePageHasAnExampleOfEveryFunction(t *testing.T) {
	page := page(t)
	examples := strings.Join(regexp.MustCompile("(?s)```text\n.*?```").FindAllString(page, -1), "")
	for name := range functions() {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(examples) {
			t.Errorf("no example has %s", name)
		}
	}
}
