# `make test` is everything that CI runs; `make demo` shows keyporter at work on a real node.
# All that is built for the tests themselves lies in a cache outside the tree.

CACHE := $(or $(KEYPORTER_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keyporter)
DENY_VERSION := 0.20.2
DENY_ROOT := $(CACHE)/tools/cargo-deny-$(DENY_VERSION)
DENY := $(DENY_ROOT)/bin/cargo-deny

# Without Go (status 3) the tests run on and report what they leave out; a broken build stops here.
WITH_ASSETS := assets=$$(tests/control-plane/build.sh) || [ $$? -eq 3 ] && KUBEBUILDER_ASSETS=$$assets

.PHONY: test lint deny advisories shells chart cert-manager control-plane node node-packages demo bench bench-full \
	bench-micro bench-build faults fuzz
.NOTPARALLEL:

# The tests come last, so that their result is what a reader sees at the end.
test: lint deny advisories shells chart cert-manager node
	$(WITH_ASSETS) cargo test --locked

lint:
	cargo fmt --check
	cargo fmt --check --manifest-path tests/bench/Cargo.toml
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	@cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy $(BENCH_CARGO) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

# It looks at the dependencies of every platform, of which a build here downloads its own alone.
deny: $(DENY)
	cargo fetch --locked
	$(DENY) --offline check bans licenses sources

# Fetching needs a network that not every machine has; what was fetched is binding.
advisories: $(DENY)
	@if timeout 120 $(DENY) fetch db; then $(DENY) --offline check advisories; \
	else echo 'left out: advisories, because the advisory database cannot be fetched here'; fi

$(DENY):
	@echo 'builds cargo-deny $(DENY_VERSION) once, some minutes, into $(DENY_ROOT)'
	cargo install --locked --root $(DENY_ROOT) --version $(DENY_VERSION) cargo-deny

# Helm renders it for its own tests here; on the API server the trials `chart::` of `cargo test` install it.
chart:
	@tools=$$(tests/chart-tools/build.sh) || [ $$? -eq 3 ] && \
	if [ -z "$$tools" ]; then echo 'left out: chart, because Helm cannot be built without Go'; \
	else tests/chart-tools/check.sh "$$tools"; fi

# cert-manager's controllers, with which the trial `cert_manager::` of `cargo test` runs.
cert-manager:
	@tests/cert-manager/build.sh >/dev/null || [ $$? -eq 3 ]

# What reads completions and the manual.
shells:
	tests/packages.sh shells bash fish groff man-db zsh

# The programs of the test cluster: see tests/control-plane/build.sh.
control-plane:
	tests/control-plane/build.sh

# The programs of the node that the tests run containers on: see tests/node/main.rs. The packages are Debian's.
node: node-packages
	tests/node/programs/build.sh >/dev/null || [ $$? -eq 3 ]

node-packages:
	tests/packages.sh node buildah busybox-static containerd containernetworking-plugins git iproute2 nftables openssh-client \
		openssh-server runc

# Each target for so many seconds of a processor, one after the other: `make fuzz SECONDS=600`.
SECONDS := 60
fuzz:
	SECONDS_EACH=$(SECONDS) tests/fuzz/run.sh

# Where a node cannot be, it shows the admission alone.
demo: node
	tests/chart-tools/build.sh >/dev/null || [ $$? -eq 3 ]
	cargo build --locked --bin keyporter --example demo
	$(WITH_ASSETS) cargo run --locked --quiet --example demo

# What an admission costs: see tests/bench/README.md. It shares what is compiled with the product, and nothing else.
BENCH_CARGO := --locked --manifest-path tests/bench/Cargo.toml --target-dir target
BENCH := target/release/keyporter-bench

bench: bench-build
	$(BENCH) instructions --quick
	$(BENCH) load

bench-full: bench-build
	$(BENCH) instructions
	$(BENCH) load --full
	$(BENCH) scale

# The program while connections go wrong, then a soak of so many minutes.
MINUTES := 10
faults: bench-build
	$(BENCH) faults --minutes $(MINUTES)

bench-build:
	tests/packages.sh bench util-linux valgrind
	cargo build --locked --release
	cargo build --release $(BENCH_CARGO)

bench-micro:
	CRITERION_HOME=$(CURDIR)/target/criterion cargo bench $(BENCH_CARGO)
