# Everything a person or a machine does with this tree. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.tools/bin:$(HOME)/.cargo/bin:$(PATH)
export ASTRO_TELEMETRY_DISABLED := 1

part = @printf '\n== %s  (%s)\n' '$(1)' "$$(date +%T)"
target_dir = $(or $(CARGO_TARGET_DIR),target)
# What is shipped knows AWS; plain `cargo build` leaves it out and takes less than half as long.
aws = --features common/aws,hermes/aws,worker/aws
# Both kinds of tests are picked by name out of the whole workspace: everything is built once, with the same features.
tests_of = $(addprefix --test ,$(basename $(notdir $(wildcard $(1)/tests/*.rs))) $(notdir $(patsubst %/main.rs,%,$(wildcard $(1)/tests/*/main.rs))))

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20 | sed 's/^/  make /'

.PHONY: setup
setup: ## install what building and the demo need (as root or with sudo)
	$(call part,set-up)
	@scripts/setup base rust node

.PHONY: agent
agent: ## install the pinned Claude Code CLI for the tests
	@scripts/setup agent

.PHONY: build
build: setup ## build all programs (debug)
	cargo build --workspace --bins --locked $(aws)

.PHONY: demo
demo: setup ## a mail in, a changed site out; ONCE=1 ends after one mail, DATA_DIR=... keeps the data there
	$(call part,build)
	cargo build --workspace --bins --locked $(aws)
	$(call part,demo)
	@$(target_dir)/debug/demo --site examples/site $(if $(ONCE),--once) $(if $(DATA_DIR),--data-dir '$(DATA_DIR)') $(if $(LISTEN),--listen '$(LISTEN)')

.PHONY: test
test: test-setup ## set up and run all tests; every part runs, whatever the one before it said
	@red=; for part in test-unit test-integration test-e2e; do $(MAKE) --no-print-directory $$part || red="$$red $$part"; done; \
	  [ -z "$$red" ] || { echo "red:$$red"; exit 1; }

.PHONY: test-setup
test-setup: setup
	@scripts/setup bubblewrap strace chromium agent endpoints

.PHONY: test-unit
test-unit: ## tests of the pure rooms
	$(call part,unit tests)
	cargo test --workspace --lib --bins --locked $(aws) --no-fail-fast

.PHONY: test-integration
test-integration: ## each program against the local cloud, real git and real files
	$(call part,integration tests)
	cargo test --workspace $(foreach room,common hermes openapi worker,$(call tests_of,$(room))) --locked $(aws) --no-fail-fast

.PHONY: test-e2e
test-e2e: test-setup ## the whole loop through the real programs
	$(call part,end-to-end tests)
	cargo build --workspace --bins --locked $(aws)
	cargo test --workspace $(call tests_of,e2e) --locked $(aws) --no-fail-fast

.PHONY: test-fresh
test-fresh: ## the demo in a chroot of a fresh Debian with an empty home (as root or with sudo)
	@scripts/test-fresh

.PHONY: lint
lint: ## format, clippy, licences and bans, Dockerfiles, scripts, the state machine
	$(call part,lint)
	@scripts/setup base rust node hadolint shellcheck asl deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked $(aws) -- -D warnings
	cargo deny --log-level warn check --hide-inclusion-graph --allow duplicate bans licenses sources
	hadolint Dockerfile.hermes Dockerfile.worker
	shellcheck --external-sources scripts/* .ci/run
	asl-validator --json-path deploy/email-processor.asl.json

.PHONY: audit
audit: ## known weaknesses of what is built in (needs the advisory database from the network)
	@scripts/setup base rust deny
	cargo deny check advisories

.PHONY: bench
bench: setup $(if $(PARTS),,bench-rivals) ## speed and memory, printed as tables; PARTS="idle mails ..." only these (PARTS=? lists them)
	cargo build --workspace --bins --release --locked $(aws)
	$(call part,bench)
	@$(target_dir)/release/bench $(PARTS)

.PHONY: bench-rivals
bench-rivals: setup ## checkouts and publications beside git, s5cmd, the AWS CLI and rclone; what a mail costs over the endpoint
	@scripts/setup endpoints rivals
	cargo build --workspace --bins --release --locked $(aws)
	PATH='$(CURDIR)/.tools/rivals/venv/bin:'"$$PATH" cargo bench --workspace --locked $(aws) --bench rivals

.PHONY: chaos
chaos: setup ## 10,000 seeded schedules against the claims; SEED=n plays one, SCHEDULES=n so many
	cargo build --workspace --bin chaos --locked $(aws)
	$(call part,chaos)
	@$(target_dir)/debug/chaos

.PHONY: reliability
reliability: setup ## kill -9, SIGSTOP and SIGTERM at every named point of a job x ROUNDS=50, USERS=200 at once TIMES=10, a storm of MAILS=10000
	cargo build --workspace --bins --locked $(aws)
	$(call part,reliability)
	@$(target_dir)/debug/reliability

.PHONY: corpus
corpus: setup ## scores of mail understanding on real mails with expected answers (CORPUS=../shared/emails), and on made ones (SEED=2026)
	$(call part,corpus)
	@if [ -d '$(or $(CORPUS),../shared/emails)' ]; then \
	  cargo build --workspace --bin hermes --bin corpus --release --locked $(aws) && $(target_dir)/release/corpus --corpus '$(or $(CORPUS),../shared/emails)' && $(target_dir)/release/corpus --made $(or $(SEED),2026); \
	  else echo "skipped: there is no corpus of mails at $(or $(CORPUS),../shared/emails); CORPUS names another place"; fi

.PHONY: bench-mail
bench-mail: ## reading a mail beside npm mailparser and Python; mails made to cost too much
	@scripts/setup base rust node rivals
	RIVALS='$(CURDIR)/.tools/rivals' cargo bench --workspace --locked $(aws) --bench mail
	cargo test --workspace --release --locked $(aws) --test bombs -- --nocapture

.PHONY: fuzz
fuzz: ## bytes of the world against parse, instruction and envelopes, FUZZ_SECS=900 each
	@scripts/setup base rust fuzz
	@for target in parse:mails instruction:mails envelopes:envelopes; do \
	  $(MAKE) --no-print-directory fuzz-$${target%%:*} seeds=$${target##*:} || exit 1; done

.PHONY: fuzz-parse fuzz-instruction fuzz-envelopes
fuzz-parse fuzz-instruction fuzz-envelopes: fuzz-%:
	$(call part,fuzz $*)
	@mkdir -p fuzz/corpus/$*
	cargo fuzz run --sanitizer none $* fuzz/corpus/$* fuzz/seeds/$(or $(seeds),mails) -- -dict=fuzz/mail.dict -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -max_total_time=$(or $(FUZZ_SECS),900)

.PHONY: openapi
openapi: ## write openapi/hermes.json and the client generated from it anew
	@scripts/setup base rust oas3gen
	cargo build --quiet --locked --workspace --bin hermes $(aws)
	$(target_dir)/debug/hermes openapi > openapi/hermes.json.new
	mv openapi/hermes.json.new openapi/hermes.json
	oas3-gen generate client-mod --quiet --no-ordered-collections -i openapi/hermes.json -o $(target_dir)/openapi-client
	mv $(target_dir)/openapi-client/{client,types}.rs openapi/src/generated/
	sha256sum < openapi/hermes.json | cut -d' ' -f1 > openapi/src/generated/SOURCE.sha256

.PHONY: clean
clean: ## remove what was built and installed below this folder
	rm -rf target fuzz/target .tools e2e/agent/node_modules examples/site/node_modules examples/site/dist examples/site/.astro
