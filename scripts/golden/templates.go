// Fills in what Go's text/template makes of the templates in tests/golden/go_templates.json:
//
//	go run scripts/golden/templates.go tests/golden/go_templates.json
//
// Run it with Go 1.19, the version that last built docker-machine in Debian, after a case was added.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type testCase struct {
	Data     string `json:"data"`
	Template string `json:"template"`
	Output   string `json:"output"`
	Error    string `json:"error,omitempty"`
}

type table struct {
	About string                     `json:"about"`
	Data  map[string]json.RawMessage `json:"data"`
	Cases []testCase                 `json:"cases"`
}

func compact(value interface{}) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func pretty(value interface{}) string {
	text, err := json.MarshalIndent(value, "", "    ")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// line is JSON on one line, readable: without escapes for HTML.
func line(value interface{}) string {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return strings.TrimSpace(buffer.String())
}

func fill(c *testCase, data json.RawMessage) {
	c.Output, c.Error = "", ""
	var document interface{}
	if err := json.Unmarshal(data, &document); err != nil {
		panic(err)
	}
	functions := template.FuncMap{"json": compact, "prettyjson": pretty}
	parsed, err := template.New("").Funcs(functions).Parse(c.Template)
	if err == nil {
		var out bytes.Buffer
		err = parsed.Execute(&out, document)
		c.Output = out.String()
	}
	if err != nil {
		c.Error = err.Error()
	}
}

func main() {
	path := os.Args[1]
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var all table
	if err := json.Unmarshal(text, &all); err != nil {
		panic(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "{\n\"about\": %s,\n\"data\": %s,\n\"cases\": [\n", line(all.About), line(all.Data))
	for n := range all.Cases {
		c := &all.Cases[n]
		fill(c, all.Data[c.Data])
		comma := ","
		if n == len(all.Cases)-1 {
			comma = ""
		}
		fmt.Fprintf(&out, "%s%s\n", line(c), comma)
	}
	out.WriteString("]\n}\n")
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		panic(err)
	}
}
