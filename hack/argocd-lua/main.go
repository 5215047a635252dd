// argocd-lua runs the cases of Argo CD health checks as Argo CD runs the scripts of argocd-cm.
//
//	argocd-lua DIRECTORY...
//
// Each directory holds health.lua, health_test.yaml and the objects that the cases name, in the layout of Argo CD's own
// resource_customizations. Argo CD runs its own cases with every Lua library open, and the scripts of argocd-cm with
// few: a script that passes there may fail for its users. Here they are closed.
//
// Prints a line for each case; ends with 1 if one fails.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"
	yaml "go.yaml.in/yaml/v3"
	luajson "layeh.com/gopher-json"
)

// As long as Argo CD lets a script run.
const limit = time.Second

// What Argo CD takes for a health status.
var statuses = []string{"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}

type health struct {
	Status  string `json:"status" yaml:"status"`
	Message string `json:"message" yaml:"message"`
}

type cases struct {
	Tests []struct {
		InputPath    string `yaml:"inputPath"`
		HealthStatus health `yaml:"healthStatus"`
	} `yaml:"tests"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: argocd-lua DIRECTORY...")
		os.Exit(2)
	}
	failed := false
	for _, directory := range os.Args[1:] {
		if err := run(directory); err != nil {
			fmt.Printf("FAILED %s: %v\n", directory, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// run runs every case of a directory, and says of each that fails what is wrong with it.
func run(directory string) error {
	script, err := os.ReadFile(filepath.Join(directory, "health.lua"))
	if err != nil {
		return err
	}
	var all cases
	if err := read(filepath.Join(directory, "health_test.yaml"), &all); err != nil {
		return err
	}
	if len(all.Tests) == 0 {
		return fmt.Errorf("no cases")
	}
	wrong := 0
	for _, test := range all.Tests {
		var object map[string]any
		err := read(filepath.Join(directory, test.InputPath), &object)
		var found health
		if err == nil {
			found, err = check(string(script), object)
		}
		name := filepath.Join(directory, test.InputPath)
		switch {
		case err != nil:
			fmt.Printf("FAILED %s: %v\n", name, err)
			wrong++
		case found != test.HealthStatus:
			fmt.Printf("FAILED %s: %+v, not %+v\n", name, found, test.HealthStatus)
			wrong++
		default:
			fmt.Printf("ok %s %s\n", name, found.Status)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d cases", wrong, len(all.Tests))
	}
	return nil
}

// check runs a script on an object.
func check(script string, object map[string]any) (health, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	libraries := []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}}
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return health{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	state.SetContext(ctx)
	// By way of JSON: numbers and times are then what they are in an object of an API server.
	input, err := json.Marshal(object)
	if err != nil {
		return health{}, err
	}
	decoded, err := luajson.Decode(state, input)
	if err != nil {
		return health{}, err
	}
	state.SetGlobal("obj", decoded)
	if err := state.DoString(script); err != nil {
		return health{}, err
	}
	result := state.Get(-1)
	if result.Type() != lua.LTTable {
		return health{}, fmt.Errorf("it returned no table, but %s", result.Type())
	}
	encoded, err := luajson.Encode(result)
	if err != nil {
		return health{}, err
	}
	var found health
	if err := json.Unmarshal(encoded, &found); err != nil {
		return health{}, fmt.Errorf("it returned %s: %w", encoded, err)
	}
	if !slices.Contains(statuses, found.Status) {
		return health{}, fmt.Errorf("%q is no health status", found.Status)
	}
	return found, nil
}

// read reads a YAML file.
func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
