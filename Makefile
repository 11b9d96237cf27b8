# The verbs of this repository. `make help` lists them.
CARGO ?= cargo
IMGSWEEP_ARGS ?=
PEERS_ARGS ?=
FUZZ_SECONDS ?= 120
FUZZ_TARGETS = target_url list_reader header_probe jpeg_skim measure

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-peers build deploy lint fuzz quality

help: ## List the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: ## Build, check a generated corpus on this machine, show the report (ONCE=1: end after it)
	$(CARGO) run --locked --profile demo --bin imgsweep -- demo $(if $(ONCE),--once) $(IMGSWEEP_ARGS)

test: lint ## Everything that must hold: formatting, lints, every test
	$(CARGO) test --locked --workspace

lint: ## Formatting and lints only
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

bench: ## Rate of the split; rate of the whole pipeline beside the bare fetch-and-measure loop
	$(CARGO) build --locked --release --bin imgsweep --bin pipeline-overhead --bin split-rate
	target/release/split-rate
	target/release/pipeline-overhead

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

deploy: ## Build the functions and deploy them with AWS SAM
	@test -f template.yaml || { echo "deploy: this version runs on one machine only; the functions and template.yaml are not part of it yet" >&2; exit 1; }
	sam build
	sam deploy

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
