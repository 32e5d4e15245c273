# Everything is a short call of cargo or of a script; read those for the details.
.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-peer soak setup clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Who runs the demo's pipeline: native, or kafka-connect for Debezium's connectors on a real Kafka.
ENGINE ?= native

demo: ## Watch a pipeline copy, follow, be killed, recover and prove itself. ENGINE=kafka-connect: the same on Kafka Connect.
	@bash scripts/setup.sh $(if $(filter kafka-connect,$(ENGINE)),connect,demo)
	cargo build --release --locked -p segcdc -p segcdc-sandbox -p segcdc-demo
	@target/release/segcdc-demo --engine $(ENGINE)

test: ## Run every test; the last line counts them.
	@bash scripts/setup.sh test
	@bash scripts/test.sh

check: ## Format, lints, layers, sizes, licences, documentation, generated pages.
	@bash scripts/setup.sh check
	cargo xtask ci

bench: ## Measure the native engine beside its limits, and how its cost grows; takes minutes. PAGE=file.md writes it there, AMOUNTS='--bench-rounds 1' bounds it, '--bench-part growth' is one part.
	@bash scripts/setup.sh demo
	cargo build --release --locked -p segcdc -p segcdc-sandbox -p segcdc-demo
	@target/release/segcdc-demo --bench $(AMOUNTS) $(if $(PAGE),--page $(PAGE))

bench-peer: ## Measure the native engine beside Kafka Connect, on the same data; takes minutes. PAGE=file.md writes it there, AMOUNTS='--rows 50000' bounds it.
	@bash scripts/setup.sh connect
	cargo build --release --locked -p segcdc -p segcdc-sandbox -p segcdc-demo
	@target/release/segcdc-demo --peer $(AMOUNTS) $(if $(PAGE),--page $(PAGE))

soak: ## Fuzz the decoders and repeat the kill loop for a long time.
	@bash scripts/setup.sh test
	@bash scripts/soak.sh

setup: ## Get what the checks and the tests need.
	@bash scripts/setup.sh

clean: ## Remove everything that was built or fetched into the checkout.
	cargo clean
	rm -rf .cache fuzz/target fuzz/artifacts
