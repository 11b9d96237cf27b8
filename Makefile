# The verbs of this repository. `make help` lists them.
CARGO ?= cargo
IMGSWEEP_ARGS ?=
PEERS_ARGS ?=
FUZZ_SECONDS ?= 120
ROWS ?= 1000000
ENVIRONMENT ?= development
ARCHITECTURE ?= arm64
# cargo-lambda and the C compiler it uses lie beside sam.
SAM = PATH="$(CURDIR)/.venv/aws/bin:$$PATH" SAM_CLI_TELEMETRY=0 sam
CHECK_API_EXAMPLES ?= 100
DYNOXIDE_VERSION = 3.2.0
CZKAWKA_VERSION = 12.0.2
CZKAWKA ?= .venv/duplicates/bin/czkawka_cli
CARGO_DENY_VERSION = 0.20.2
CARGO_MACHETE_VERSION = 0.9.2
# What `imgsweep bench --save` writes into its files. Not for tests: the command would be compiled anew after every commit.
build bench bench-gate: export IMGSWEEP_REVISION = $(shell git rev-parse --short HEAD 2> /dev/null)
# The functions whose package is named as the function is; vision's is not.
FUNCTIONS = upload api fan-out analyze emit-metrics finalize janitor
FUZZ_TARGETS = target_url list_reader header_probe jpeg_skim measure

.DEFAULT_GOAL := help
.PHONY: help demo test audit advisories bench bench-gate bench-latency bench-peers bench-coldstart bench-vision build build-functions deploy local local-check lint faults fuzz quality bench-answers check-exports compare-duplicates

help: ## List the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

demo: ## Build, check a generated corpus on this machine, show the report (ONCE=1: end after it)
	$(CARGO) run --locked --profile demo --bin imgsweep -- demo $(if $(ONCE),--once) $(IMGSWEEP_ARGS)

test: ## Set up what the tests need and run them all
	@$(MAKE) --no-print-directory -j3 .venv/emulators/.installed .browser build-tests
	@$(MAKE) --no-print-directory -j2 .waiting-tests .computing-tests
	$(CARGO) test --locked --workspace $(addprefix --test ,$(TIMED_TESTS))
	$(CARGO) test --locked --workspace --doc

# Two lanes beside each other: tests that wait for stand-ins for AWS or for a browser, and all others. What is judged by the clock comes after both.
TEST_FILES = $(wildcard */tests/*.rs */*/tests/*.rs) $(patsubst %/main.rs,%,$(wildcard */tests/*/main.rs */*/tests/*/main.rs))
WAITING_TESTS = aws emulated faults page pool_on_dynamodb
TIMED_TESTS = scenarios
COMPUTING_TESTS = $(filter-out $(WAITING_TESTS) $(TIMED_TESTS),$(sort $(basename $(notdir $(TEST_FILES)))))

.PHONY: build-tests .waiting-tests .computing-tests
build-tests:
	$(CARGO) build --locked --workspace --bins --tests

.waiting-tests:
	$(CARGO) test --locked --workspace $(addprefix --test ,$(WAITING_TESTS))

.computing-tests:
	$(CARGO) test --locked --workspace --lib $(addprefix --test ,$(COMPUTING_TESTS))

faults: .venv/emulators/.installed ## Storms of faults at length, services that refuse for a minute, a full disk (needs root to mount one); about 20 minutes
	STORM_SEEDS=200 STORM_CHUNKS=200 AWS_STORM_SEEDS=20 $(CARGO) test --locked --workspace --test faults -- --include-ignored --nocapture
	VISION_ROWS=10000 $(CARGO) test --locked --workspace --test vision -- pay_once:: --nocapture
	OUTAGE_SECONDS=60 $(CARGO) test --locked --workspace --test aws -- faults:: --nocapture

check-page: .browser ## The page in a browser: a person's way through it, accessibility, an outage (needs chromium and chromium-driver)
	$(CARGO) test --locked --workspace --test page

check-api: .venv/api/.installed ## Generated requests against every operation of /openapi.json (CHECK_API_EXAMPLES an operation)
	$(CARGO) build --locked --bin imgsweep
	tests/api/check.sh target/debug/imgsweep .venv/api/bin/schemathesis $(CHECK_API_EXAMPLES)

screenshots: .browser ## Pictures of the page at both widths: docs/images
	mkdir -p docs/images
	IMGSWEEP_SCREENSHOTS=$(CURDIR)/docs/images $(CARGO) test --locked --workspace --test page

# What the browser test needs: two Debian packages, installed by name where that may be done, and a package that is in no other place.
.PHONY: .browser check-page check-api screenshots
.browser: tests/page/node_modules/.installed
	@command -v chromedriver > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null \
		&& apt-get update -qq && apt-get install -y -qq chromium chromium-driver; } \
		|| { echo 'The page is tested in a browser: install the Debian packages chromium and chromium-driver' >&2; exit 1; }

tests/page/node_modules/.installed: tests/page/package-lock.json
	npm ci --silent --no-fund --no-audit --prefix tests/page
	touch $@

.venv/api/.installed: tests/api/requirements.txt
	python3 -m venv .venv/api
	.venv/api/bin/pip install --quiet --requirement $<
	touch $@

# The stand-ins for AWS that tests run against. dynoxide is a program of its own, because a build can link only one version of SQLite.
.venv/emulators/.installed: shared/aws-emulators/requirements.txt
	python3 -m venv .venv/emulators
	.venv/emulators/bin/pip install --quiet --requirement $<
	CFLAGS=-O2 CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install --locked --debug --root .venv/emulators \
		--version $(DYNOXIDE_VERSION) --no-default-features --features cli,http-server,native-sqlite dynoxide-rs
	touch $@

lint: .venv/aws/.installed ## Formatting and lints: Rust, and the template
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	.venv/aws/bin/cfn-lint template.yaml
	AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint

audit: .venv/tools/.installed ## Licences, sources and bans of dependencies; dependencies that nobody uses
	.venv/tools/bin/cargo-deny --locked check bans licenses sources
	.venv/tools/bin/cargo-machete --skip-target-dir

advisories: .venv/tools/.installed ## Known flaws of dependencies, from the RustSec advisory database (needs the internet)
	.venv/tools/bin/cargo-deny --locked check advisories

# Compiled once: some minutes, which is why `make test` does without.
.venv/tools/.installed: Makefile
	$(CARGO) install --locked --root .venv/tools --version $(CARGO_DENY_VERSION) cargo-deny
	$(CARGO) install --locked --root .venv/tools --version $(CARGO_MACHETE_VERSION) cargo-machete
	touch $@

bench: ## Rate of the split; rate of the whole pipeline beside the bare fetch-and-measure loop
	$(CARGO) build --locked --release --bin imgsweep --bin pipeline-overhead --bin split-rate
	target/release/split-rate
	target/release/pipeline-overhead

bench-gate: ## Whether bench --compare tells a build that is a fifth slower from one that is not, beside a noisy neighbour (some 20 minutes)
	$(CARGO) build --locked --profile demo --bin imgsweep --bin bench-gate
	target/demo/bench-gate target/demo/imgsweep

bench-latency: ## Rows a second over 400 hosts 100 ms away; what 1,000 rows of stuck hosts cost the others
	$(CARGO) build --locked --release --bin imgsweep --bin distant-hosts
	target/release/distant-hosts
	target/release/distant-hosts stuck

bench-vision: ## How the pool of keys adapts, with its plot; what the levels of the cache answer
	$(CARGO) run --locked -p vision --example adaptation -- docs/images/vision-adaptation.svg
	$(CARGO) test --locked -p caching --test levels a_warm_cache -- --nocapture

bench-coldstart: ## Start of every function beside a function that does nothing
	$(CARGO) build --locked --release $(addprefix -p ,$(FUNCTIONS)) -p vision-function
	$(CARGO) build --locked --release --bin hello-lambda --bin cold-start
	strip $(addprefix target/release/,$(FUNCTIONS) vision)
	target/release/cold-start

bench-peers: .venv/peers/.installed ## imgsweep beside img2dataset and lychee, same list, same server (PEERS_ARGS=--help)
	$(CARGO) build --locked --release --bin imgsweep --bin fetch-limit
	$(CARGO) build --locked --release -p sample-origin --example corpus_sizes --example serve
	python3 tests/peers/compare.py $(PEERS_ARGS)

.venv/peers/.installed: tests/peers/requirements.txt
	python3 -m venv .venv/peers
	.venv/peers/bin/pip install --quiet --requirement $<
	touch $@

build: ## The command, optimised for release: target/release/imgsweep
	$(CARGO) build --locked --release --bin imgsweep

build-functions: .venv/aws/.installed ## The Lambda functions, for ARCHITECTURE (arm64): .aws-sam/build
	@$(CARGO) metadata --locked --format-version 1 > /dev/null
	$(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE)

deploy: build-functions ## Build the functions and deploy them with AWS SAM to ENVIRONMENT (development)
	$(SAM) deploy --config-env $(ENVIRONMENT)

local: local-build ## The HTTP API on http://127.0.0.1:3000 in containers, over stand-ins for AWS (needs Docker)
	.venv/emulators/bin/python tests/sam/local_check.py --serve

local-check: local-build ## Every function in its container with its events, over stand-ins for AWS (needs Docker)
	.venv/emulators/bin/python tests/sam/local_check.py

# Containers run on this machine's processor.
.PHONY: local-build
local-build: .venv/emulators/.installed
	$(MAKE) build-functions ARCHITECTURE=$(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)

.venv/aws/.installed: tests/sam/requirements.txt
	python3 -m venv .venv/aws
	.venv/aws/bin/pip install --quiet --requirement $<
	touch $@

bench-answers: ## The end of a batch of ROWS (1000000) synthetic rows: report with duplicates, every table; fails beyond what is promised
	$(CARGO) build --locked --release --bin answers
	$(CARGO) build --locked --release -p duplicates --example search_rate
	target/release/examples/search_rate check 50000
	target/release/answers $(ROWS)

check-exports: .venv/exports/.installed ## Tables of ROWS rows opened with DuckDB, pandas and polars, held against the NDJSON cell by cell
	$(CARGO) build --locked --release --bin answers --bin imgsweep
	rm -rf target/exports
	target/release/answers $(ROWS) target/exports
	target/release/imgsweep export target/exports --format ndjson,ndjson.zst,csv,parquet,sqlite
	target/release/imgsweep export target/exports -o target/exports/by-outcome --format parquet --partition outcome
	mv target/exports/by-outcome/results target/exports/results
	.venv/exports/bin/python tests/exports/check.py target/exports

.venv/exports/.installed: tests/exports/requirements.txt
	python3 -m venv .venv/exports
	.venv/exports/bin/pip install --quiet --requirement $<
	touch $@

compare-duplicates: .venv/duplicates/.installed $(CZKAWKA) ## Near duplicates of a corpus whose answer is known, beside imagededup's and czkawka's (CZKAWKA= to leave that out)
	$(CARGO) build --locked --profile demo -p imaging -p duplicates -p sample-origin --example measure --example find_in_rows --example near_duplicates
	rm -rf target/near-duplicates
	target/demo/examples/near_duplicates target/near-duplicates 120
	.venv/duplicates/bin/python tests/duplicates/compare.py target/near-duplicates \
		--measure target/demo/examples/measure --find target/demo/examples/find_in_rows $(if $(CZKAWKA),--czkawka $(CZKAWKA))

.venv/duplicates/bin/czkawka_cli:
	$(CARGO) install --locked --root .venv/duplicates --version $(CZKAWKA_VERSION) czkawka_cli

.venv/duplicates/.installed: tests/duplicates/requirements.txt
	python3 -m venv .venv/duplicates
	.venv/duplicates/bin/pip install --quiet --requirement $<
	.venv/duplicates/bin/pip install --quiet --no-deps imagededup==0.3.3.post2
	touch $@

quality: .venv/quality/.installed ## What is measured of a generated corpus beside what Pillow and imagehash measure
	$(CARGO) build --locked --profile demo -p imaging --example measure --example write_corpus
	rm -rf target/quality
	target/demo/examples/write_corpus target/quality 300 demo bench
	.venv/quality/bin/python tests/quality/compare_with_imagehash.py --generate target/demo/examples/measure target/quality

.venv/quality/.installed: tests/quality/requirements.txt
	python3 -m venv .venv/quality
	.venv/quality/bin/pip install --quiet --requirement $<
	touch $@

fuzz: ## Mutated bytes at everything untrusted bytes reach: FUZZ_SECONDS (120) a target, ends at the first crash
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { echo 'cargo-fuzz is missing; install it with: cargo install --locked cargo-fuzz' >&2; exit 1; }
	$(CARGO) run --locked --manifest-path fuzz/seeds/Cargo.toml
	# Without a sanitizer the stable tool chain will do, and there is hardly any unsafe code that one could watch over.
	set -e; for target in $(FUZZ_TARGETS); do \
		$(CARGO) fuzz run --sanitizer none $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=32768 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1; \
	done
