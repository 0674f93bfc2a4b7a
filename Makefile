# Everything a developer types. `make help` lists it.
#
# Release binaries are built once for all that runs them: the images, the lab, the demo, the benchmarks.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

TARGET := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET)/release
STAMP := $(RELEASE)/.all-binaries
SOURCES := Cargo.toml Cargo.lock $(shell find click crds operator sidecar e2e -name '*.rs' -o -name Cargo.toml)

MOVES ?= 20
FLOWS ?= 1000
PPS ?= 5000
ONLY ?= .
CHECK ?= licenses bans sources
SECONDS ?= 60

export ANF_RELEASE := $(abspath $(RELEASE))

.PHONY: help demo test test-fast test-rust test-devices test-chart test-kind-cluster test-cluster test-lab lab bench \
  release images cluster-up cluster-down fmt lint reference crds deny fuzz clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

## The main job

demo: $(STAMP) ## a real cluster from nothing, traffic, and 20 live moves of the NAT (MOVES=, FLOWS=, PPS=)
	e2e/on-cluster $(RELEASE)/anf-demo --moves $(MOVES) --flows $(FLOWS) --pps $(PPS)

lab: $(STAMP) ## the same moves without Kubernetes, in network namespaces, in seconds (MOVES=, FLOWS=, PPS=, BUSY=1)
	e2e/install-deps.sh
	$(RELEASE)/anf-lab --moves $(MOVES) --flows $(FLOWS) --pps $(PPS) $(if $(BUSY),--busy)

bench: $(STAMP) ## the measured figures; ONLY=REGEX for a part
	e2e/install-deps.sh
	$(RELEASE)/anf-bench --only '$(ONLY)'

## Tests

test: test-fast test-devices test-kind-cluster test-chart test-cluster test-lab ## all tests, the cluster's included (needs root)

test-fast: test-rust ## what needs neither cluster nor root
	@if command -v helm >/dev/null; then charts/test.sh; else echo "no helm in PATH: the chart's tests run with make test"; fi

test-rust:
	cargo test --workspace --no-fail-fast

test-devices: ## tunnels, virtual Ethernet devices and interfaces of the kernel, in a network namespace (needs root)
	e2e/install-deps.sh
	cargo test --workspace --lib --no-run
	unshare --net cargo test --workspace --lib device::real -- --ignored --test-threads=1

test-kind-cluster: cluster-up
	kind-cluster/check

test-chart: cluster-up
	eval "$$(kind-cluster/cluster env)" && charts/test.sh

test-cluster: $(STAMP) ## the demo with fewer moves, and every fault, on the cluster
	e2e/on-cluster $(RELEASE)/anf-cluster-test

test-lab: $(STAMP) ## handovers with processes killed, frozen and cut off, in network namespaces
	e2e/install-deps.sh
	cargo test --workspace --test lab -- --ignored --test-threads=1

## Parts

release: $(STAMP) ## the release binaries

$(STAMP): $(SOURCES)
	cargo build --release --workspace --bins
	@touch $@

images: cluster-up $(STAMP) ## build our images and load them into the cluster
	CARGO_TARGET_DIR=$(abspath $(TARGET)) kind-cluster/cluster images

cluster-up: ## the cluster alone
	kind-cluster/cluster up

cluster-down: ## delete the cluster, and stop the Docker daemon that was started for it
	kind-cluster/cluster down --docker

reference: ## write docs/elements, a page for each class, from the descriptors
	cargo run -q -p anf-sidecar -- elements --write docs/elements

crds: ## generate the definitions from the types, and copy them into the chart
	cargo run --quiet -p anf-crds --bin gen-crds
	charts/sync-crds.sh

fmt: ## format the sources
	cargo fmt --all

lint: ## format check, clippy without warnings, the chart
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

deny: ## licences, sources and doubled dependencies, offline; make deny CHECK=advisories asks the advisory database
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny $(if $(filter advisories,$(CHECK)),,--offline) check $(CHECK)

fuzz: ## every fuzz target, SECONDS= each (60), from the tests' samples on
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	cd sidecar && mkdir -p fuzz/corpus/text && cargo fuzz run --sanitizer none text \
	  fuzz/corpus/text ../click/tests/click/samples ../examples -- -max_total_time=$(SECONDS) -max_len=8192
	cd sidecar && for target in frame packet; do mkdir -p fuzz/corpus/$$target fuzz/seeds/$$target && \
	  cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(SECONDS) || exit; done

clean: ## remove what was built here; the caches of the cluster stay
	cargo clean
