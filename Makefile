# Everything a person types. `make demo` and `make test` are the two that the README speaks of.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE ?= $(or $(BAILIWICK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bailiwick)
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_CYCLONEDX := $(CACHE)/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx
ACTIONLINT_VERSION := $(shell sed -n 's|.*rhysd/actionlint v\([^ ]*\).*|\1|p' hack/actionlint/go.mod)
ACTIONLINT := $(CACHE)/actionlint-$(ACTIONLINT_VERSION)/actionlint
MDBOOK_VERSION := 0.5.4
MDBOOK := $(CACHE)/mdbook-$(MDBOOK_VERSION)/bin/mdbook

.PHONY: help demo test test-versions e2e check lint docs audit image bench bench-full bench-neighbors bench-own bench-policies generate tools

help: ## Show what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## A cluster with the quickstart, until Ctrl-C (ONESHOT=1: ends by itself; CLUSTER=existing: yours)
	@hack/demo

# Cluster tests mostly wait: two for each core keep it busy. More than four beside the cores would only take memory.
CORES := $(shell getconf _NPROCESSORS_ONLN)
test test-versions: export RUST_TEST_THREADS ?= $(shell echo $$(($(CORES) < 4 ? 2 * $(CORES) : $(CORES) + 4)))

test: lint docs tools ## Everything: format, lints, licences, links, unit, property, golden, chart and cluster tests
	@hack/e2e/run --whether
	cargo test --package bailiwick --doc
	cargo test --workspace --all-targets --no-fail-fast

e2e: ## The image in Pods of the chart on a real node: take-over, upgrade, rollback (root, Linux)
	@hack/e2e/run

# VERSIONS: by default the oldest and the newest supported one, which hack/control-plane/src/pins.rs names.
VERSIONS ?= $(shell cargo run --quiet --package control-plane -- versions | sed -n '1p;$$p')
CORE := main_job:: claims:: revocation:: suspensions:: policies:: lifecycle_of_the_chart:: crds_of_the_chart:: examples::

test-versions: ## The core of the cluster tests on the oldest and the newest Kubernetes (VERSIONS="1.34 1.35": on those)
	failed=; for version in $(VERSIONS); do \
	  echo "Kubernetes $$version"; export BAILIWICK_KUBERNETES=$$version; \
	  cargo test --package control-plane --test lifecycle two_instances && \
	  cargo test --test cluster -- $(CORE) || failed+=" $$version"; \
	done; [ -z "$$failed" ] || { echo "failed on$$failed"; exit 1; }

check: ## The quick part of `make test`: no cluster
	cargo test --workspace --lib --bins --test core --test docs --test generated --test render
	cargo test --package bailiwick --doc

lint: $(CARGO_DENY) $(ACTIONLINT) ## Format, clippy, workflows, licences and sources of what we depend on
	cargo fmt --all --check
	# A shellcheck on this machine would make the result depend on its version.
	$(ACTIONLINT) -shellcheck= -pyflakes=
	cargo clippy --workspace --all-targets -- -D warnings
	# Advisories need a database from outside of the package registries: `make audit`, where that can be reached.
	$(CARGO_DENY) --log-level error check bans licenses sources

docs: $(MDBOOK) ## The documentation as a site, in target/book, after its links are checked
	cargo run --quiet --package book -- check
	$(MDBOOK) build

audit: $(CARGO_DENY) ## Known vulnerabilities in what we depend on (reaches the advisory database)
	$(CARGO_DENY) check advisories

.PHONY: sbom
sbom: $(CARGO_CYCLONEDX) ## What the binary is built from (CycloneDX), in target/bailiwick.cdx.json
	# It writes one for each package, beside its Cargo.toml. The one for amd64 has all that the one for arm64 has.
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
	  $(CARGO_CYCLONEDX) cyclonedx --format json --spec-version 1.5 --target x86_64-unknown-linux-musl
	mkdir -p $${CARGO_TARGET_DIR:-target}
	sed 's|path+file://$(CURDIR)|bailiwick|g' bailiwick.cdx.json >$${CARGO_TARGET_DIR:-target}/bailiwick.cdx.json
	rm bailiwick.cdx.json hack/*/*.cdx.json

image: ## The operator's image: a static binary, FROM scratch (docker, podman or buildah)
	@hack/image

bench: bench-tools ## How fast and small at 10 and 100 organizations (ten minutes)
	$(BENCH) scale --operator "$$(hack/static-binary)" --organizations 10,100 --json docs/benchmarks/small.json --pictures docs/benchmarks/small

bench-full: bench-tools ## The same up to 1,000 organizations, 10,000 users and 20,000 bindings (an hour)
	$(BENCH) scale --operator "$$(hack/static-binary)" --organizations 10,100,1000 --runs 3,3,1 --json docs/benchmarks/full.json --pictures docs/benchmarks

bench-neighbors: tools ## What the most expensive organization costs a quiet one beside it: time and memory (ten minutes)
	BAILIWICK_OPERATOR="$$(hack/static-binary)" cargo test --test alone -- --nocapture

bench-own: bench-tools ## How soon people may enter their own Pods, and what 20,000 of them cost (ten minutes)
	$(BENCH) own --operator "$$(hack/static-binary)"

bench-policies: bench-tools ## What each admission policy costs a write
	$(BENCH) policies

BENCH := target/bare/bench

.PHONY: bench-tools
bench-tools: tools
	cargo build --profile bare --package control-plane --package bench

generate: ## Write what is generated: CRDs and their copies in the charts, reference tables, the settings of Argo CD
	cargo run --quiet --bin bailiwick -- crds --out crds
	cp crds/*.yaml charts/bailiwick/crds/
	cp crds/*.yaml charts/bailiwick-crds/files/
	BAILIWICK_GENERATE=1 cargo test --quiet --test generated

tools: ## Build (once) or find etcd, kube-apiserver, kube-controller-manager, kubectl and helm
	cargo run --quiet --package control-plane -- tools

# Not optimized, and not for a debugger: that takes minutes and saves none.
$(CARGO_DENY):
	CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --debug --version $(CARGO_DENY_VERSION) --locked --root $(dir $(@D))

$(CARGO_CYCLONEDX):
	CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-cyclonedx --debug --version $(CARGO_CYCLONEDX_VERSION) --locked --root $(dir $(@D))

$(ACTIONLINT):
	cd hack/actionlint && CGO_ENABLED=0 GOWORK=off go build -mod=readonly -trimpath -o $@ github.com/rhysd/actionlint/cmd/actionlint

# Without its server and its file watcher. To read along while writing: `make docs`, and reload the page.
$(MDBOOK):
	CARGO_PROFILE_DEV_DEBUG=0 cargo install mdbook --debug --version $(MDBOOK_VERSION) --locked --no-default-features \
	  --features search --root $(dir $(@D))
