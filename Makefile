# The verbs of this repository. `make help` lists them.
CARGO ?= cargo
IMGSWEEP_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test bench build deploy lint fuzz

help: ## List the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

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

build: ## The command, optimised for release: target/release/imgsweep
	$(CARGO) build --locked --release --bin imgsweep

deploy: ## Build the functions and deploy them with AWS SAM
	@test -f template.yaml || { echo "deploy: this version runs on one machine only; the functions and template.yaml are not part of it yet" >&2; exit 1; }
	sam build
	sam deploy
