# Two commands for a newcomer: `make run` and `make test`. Both set up what is missing (.ci/setup says what).
# Everything here is a short line over cargo or the `concord` program; there is no logic to read.

SHELL := /bin/sh
export PATH := $(HOME)/.cargo/bin:$(PATH)
# The folder of the Postgres programs, for the stack and for the tests.
POSTGRES = CONCORD_PG_BIN="$$(.ci/setup --pg-bin)"
STATE_DIR ?= .concord
SEED ?= 1
ARGS ?=

.PHONY: help run test check bench sim mutants db clean setup clients bins fast scripts suite
.DEFAULT_GOAL := help

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: setup bins ## Set up, build, start the whole suite with a story and gentle traffic (ARGS="--headless --accounts 3")
	$(POSTGRES) exec target/debug/concord dev --state-dir $(STATE_DIR) $(ARGS)

test: setup check scripts clients bins fast suite ## Set up and run every test: the quick ones first, the whole suite end to end last

check: ## Format, lints, documentation, dependency rules, pure tests: needs no server
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	cargo test --quiet --locked -p concord --test architecture
	cargo test --quiet --locked -p model -p merge

bench: setup ## Throughput and latency, beside their ceilings (minutes; see crates/concord/README.md)
	cargo build --release --workspace --bins --locked
	$(POSTGRES) target/release/concord bench pipeline $(ARGS)
	$(POSTGRES) target/release/concord bench latency $(ARGS)

sim: ## Seeded worlds over the real services: SEED=7 repeats one run
	cargo build --release --locked -p concord --bin concord
	target/release/concord sim --seed $(SEED) $(ARGS)

mutants: ## Break the core in every named way, each must be noticed (half an hour; see crates/testkit/README.md)
	cargo run --release --locked -p testkit --example mutants -- $(ARGS)

db: ## A psql session on the running stack's database
	@"$$(.ci/setup --pg-bin)/psql" "$$(sed -n 's/^ *"database_url": "\(postgres:[^"]*\/concord\)",*$$/\1/p' $(STATE_DIR)/dev.json)"

clean: ## Remove what was built, and the stack's state
	@[ ! -e $(STATE_DIR)/dev.json ] || { echo "a stack runs in $(STATE_DIR): stop it first"; exit 1; }
	rm -rf target $(STATE_DIR)

setup:
	@.ci/setup

# Third-party NetSuite clients, which the simulator has to please.
clients:
	@.ci/setup --clients

bins:
	cargo build --workspace --bins --locked

# The quick ones first, so that a mistake shows early; the end-to-end tests have the machine to themselves.
fast:
	@if cargo nextest --version >/dev/null 2>&1; then set -x; \
	  $(POSTGRES) cargo nextest run --workspace --locked --no-fail-fast -E 'not binary(/^(end_to_end|bad_input|crash_points|scenarios|real_creates)$$/) | package(testkit)'; \
	else set -x; \
	  $(POSTGRES) cargo test --workspace --locked --no-fail-fast -- --skip both_sides_agree --skip bad_input_is_answered --skip whoever_dies_wherever --skip scenarios_come_out --skip real_creates; \
	fi

# Node and its packages are only needed here.
scripts:
	@.ci/setup --node
	cd deploy/netsuite && npm ci --silent --no-audit --no-fund && npm test --silent

suite:
	@if cargo nextest --version >/dev/null 2>&1; then set -x; \
	  $(POSTGRES) cargo nextest run --workspace --locked --no-fail-fast -E 'package(concord) & binary(/^(scenarios|crash_points|real_creates|bad_input|end_to_end)$$/)'; \
	else set -x; \
	  $(POSTGRES) cargo test --locked --no-fail-fast -p concord --test scenarios --test crash_points --test real_creates --test bad_input --test end_to_end -- --test-threads 1; \
	fi
