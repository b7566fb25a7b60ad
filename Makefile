# Each target does its own set-up on a bare Debian 12 with Rust, and is quick the second time. Needs root, for apt and for boxes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubejudge/tools/bin:$(PATH)
target := $(or $(CARGO_TARGET_DIR),target)
runner := CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER
stage := @e2e/stage
# Tests that start servers run by themselves: they would starve those that measure time.
servers := package(e2e) & kind(test)
# The same features as the whole workspace's tests, so that nothing is compiled again.
sandbox_tests := cargo nextest run --locked --workspace -E

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: runner-binary
runner-binary:
	$(stage) "set-up for the demo" e2e/setup demo
	$(stage) "build of sandbox-runner" cargo build --locked --release -p sandbox-runner

.PHONY: demo
demo: runner-binary ## Judge manifests/examples in boxes on this machine: a table of expected and actual verdicts
	$(stage) "demo" $(target)/release/sandbox-runner judge --expect manifests/languages manifests/examples

.PHONY: demo-gvisor
demo-gvisor: runner-binary ## The same in a gVisor container, as uid 65532 without capabilities
	$(stage) "gVisor" e2e/cluster/build runsc
	$(stage) "demo in gVisor" e2e/gvisor/run --bind $(target)/release/sandbox-runner:/mnt/sandbox-runner --bind manifests:/mnt/manifests -- \
		/mnt/sandbox-runner judge --expect --cache-dir /tmp/cache /mnt/manifests/languages /mnt/manifests/examples

.PHONY: test
test: ## All tests, as root; those of the sandbox again as an ordinary user and in gVisor; the demo in gVisor
	$(stage) "set-up for the tests" e2e/setup test helm
	$(stage) "servers of Kubernetes 1.20 and 1.36, gVisor" e2e/cluster/build crd-server runsc kubernetes kubectl
	$(stage) "build of all programs and tests" cargo build --locked --workspace --all-targets
	$(stage) "tests" cargo nextest run --locked --workspace -E 'not ($(servers))'
	$(stage) "tests on real servers" cargo nextest run --locked --workspace -E '$(servers)' --test-threads 4
	$(stage) "tests of the sandbox as an ordinary user" env $(runner)=$(CURDIR)/e2e/as-user $(sandbox_tests) 'package(sandbox) & kind(test)'
	$(stage) "tests of the limits where /proc is masked" env $(runner)=$(CURDIR)/e2e/masked-proc $(sandbox_tests) 'binary_id(sandbox::limits)'
	$(stage) "tests of the sandbox in gVisor" env $(runner)=$(CURDIR)/e2e/gvisor/run-test $(sandbox_tests) 'package(sandbox) & kind(test)'
	@$(MAKE) --no-print-directory demo-gvisor

.PHONY: chart
chart: ## The Helm chart's tests alone: renders by Helm 3 and 4, schemas, policies, rights, and installs on a real API server
	$(stage) "set-up for the chart" e2e/setup test helm
	$(stage) "the cluster's parts" e2e/cluster/build kubernetes kubectl
	$(stage) "build of operator and worker" cargo build --locked -p operator -p sandbox-runner
	$(stage) "tests of the chart" cargo nextest run --locked --workspace -E 'binary_id(e2e::chart)' --test-threads 4

.PHONY: chart-files
chart-files: ## Write again what the chart has from elsewhere, manifests/install.yaml, and the renders that the tests compare with
	e2e/setup test helm
	e2e/chart/generate
	KUBEJUDGE_BLESS=1 cargo nextest run --locked --workspace -E 'binary_id(e2e::chart) & test(renders_are)'

.PHONY: chain
chain: ## API server, Redis, operator and worker on this machine: kubectl applies manifests/examples and sees each verdict
	$(stage) "set-up for the chain" e2e/setup test
	$(stage) "the cluster's parts" e2e/cluster/build crd-server kubernetes kubectl
	$(stage) "build of operator and worker" cargo build --locked --release -p operator -p sandbox-runner
	$(stage) "chain" e2e/chain

.PHONY: e2e
e2e: ## In pods under gVisor on a node of this machine: images, Helm, the examples, and pods killed, drained, scaled and upgraded under load
	@$(MAKE) --no-print-directory images
	$(stage) "set-up for the node" e2e/setup test helm
	$(stage) "the cluster's parts" e2e/cluster/build
	$(stage) "build of all programs and tests" cargo build --locked --workspace --all-targets
	@e2e/node/run

MODE ?= node
cluster_parts := $(if $(filter control-plane,$(MODE)),crd-server kubernetes kubectl)

.PHONY: images
images: ## Build the container images without a registry, and run the programs in them
	$(stage) "set-up for the images" e2e/setup images
	$(stage) "images" e2e/images/build
	$(stage) "the programs in their images" e2e/images/test

.PHONY: cluster-up
cluster-up: ## Start a Kubernetes node on this machine, a fresh one, with our CRDs and Languages; MODE=control-plane: without containers
	$(stage) "the cluster's parts" e2e/cluster/build $(cluster_parts)
	$(stage) "start of the cluster" e2e/cluster/up $(MODE)
	@e2e/cluster/kinds

.PHONY: cluster-down
cluster-down: ## Stop it and remove its state
	e2e/cluster/down

.PHONY: lint
lint: ## Formatting, clippy, licences and bans of dependencies, shell scripts
	$(stage) "set-up for lint" e2e/setup lint
	$(stage) "rustfmt" cargo fmt --all --check
	$(stage) "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
	$(stage) "cargo deny" cargo deny --locked check licenses bans sources
	$(stage) "shellcheck" bash -c "find . \( -name .git -o -name target \) -prune -o -type f -print0 | \
		xargs -0 awk 'FNR == 1 && /^#!.*sh$$/ {print FILENAME} {nextfile}' | xargs -t shellcheck -x"
	$(stage) "mutants apply" bash -ec 'for patch in e2e/mutants/*.patch; do patch --quiet --dry-run -p1 <"$$patch"; done'

.PHONY: bench
bench: ## Figures of boxes, whole judgings and the chain beside floors measured in the same run
	$(stage) "set-up for the benchmarks" bash -ec 'e2e/setup bench && e2e/cluster/build runsc kubernetes'
	$(stage) "build for the benchmarks" cargo build --locked --release -p operator -p sandbox-runner -p e2e --bins
	$(stage) "benchmarks" $(target)/release/bench

.PHONY: mutants
mutants: ## Break the product in known ways and see that a test fails
	$(stage) "set-up for the tests" e2e/setup test
	$(stage) "mutants" e2e/mutants/run

.PHONY: crds
crds: ## Write the YAML of the custom resources again, from their Rust types
	cargo run --locked -p crds --example crdgen

.PHONY: fmt
fmt: ## Format the Rust code
	cargo fmt --all

.PHONY: clean
clean: ## Remove what cargo built; the cluster's parts stay in ~/.cache/kubejudge
	cargo clean
