// Runs Argo CD's health scripts as Argo CD does. The two Lua modules are those that Argo CD 3.5 requires, at the same
// versions; `tests/gitops.rs` is who uses this.

module bailiwick.dev/hack/argocd-lua

go 1.26.0

require (
	github.com/yuin/gopher-lua v1.1.2
	go.yaml.in/yaml/v3 v3.0.4
	layeh.com/gopher-json v0.0.0-20190114024228-97fed8db8427
)
