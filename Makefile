# The words people type. `make demo` and `make test` install what a Debian 12 machine lacks, as root or through sudo.
SHELL := /bin/bash
SINK ?= kafka
FUZZ_SECONDS ?= 60
SEEDS ?= 10000
FIRST ?= 1
VERSIONS ?= 14 15 16 17 18
PYTHON ?= /usr/bin/python3
BENCH_WORDS := SCENARIO ROWS ROUNDS SECONDS SINK HOST VERSION PEER NETNS PROFILE
MINUTES ?= 10
PG ?= 15
BROKERS ?= 1

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 24

demo: ## see changes of a real PostgreSQL arrive in a real Kafka; SINK=stdout shows them without Kafka
	@scripts/setup build demo
	@scripts/build release
	@$(PYTHON) scripts/demo --sink $(SINK)

build: ## the release binary, build/release/outboxx
	@scripts/setup build
	@scripts/build release

test: ## all tests; the last line is "N passed, N failed"
	@scripts/setup build demo test
	@$(PYTHON) tests/run unit integration e2e

test-unit: ## unit tests and the rules of the architecture
	@scripts/setup build test
	@$(PYTHON) tests/run unit

test-integration: ## tests with a private PostgreSQL and Kafka
	@scripts/setup build demo test
	@$(PYTHON) tests/run integration

test-e2e: ## the program as a black box, from SQL to a real consumer
	@scripts/setup build demo test
	@$(PYTHON) tests/run e2e

test-matrix: ## the tests that depend on PostgreSQL's version, on each of VERSIONS (14 15 16 17 18)
	@scripts/setup build demo test
	@for version in $(VERSIONS); do $(PYTHON) tests/run --postgres $$version integration || exit; done

simulation: ## the core between simulated servers: SEEDS runs (10000) from seed FIRST
	@scripts/setup build test
	@scripts/build dev simulation
	@build/dev/simulation --seeds $(SEEDS) --first $(FIRST)

mutants: ## builds deliberate mistakes, one after the other; each must make its test fail
	@scripts/setup build demo test
	@tests/mutants/run

check: ## formatting and clang-tidy
	@scripts/setup build test check
	@scripts/check

format: ## formats all sources
	@scripts/setup check
	@git ls-files --cached --others --exclude-standard '*.h' '*.cc' | xargs clang-format-19 -i

asan: ## unit and short integration tests with AddressSanitizer and UBSan
	@scripts/setup build demo test
	@$(PYTHON) tests/run --preset asan unit integration e2e

tsan: ## the same with ThreadSanitizer
	@scripts/setup build demo test
	@$(PYTHON) tests/run --preset tsan unit integration e2e

bench-micro: ## benchmarks of the parts, and a replay from memory into a real broker
	@scripts/setup build demo micro
	@bench/micro/run --rounds $(or $(ROUNDS),5)

bench-instructions: ## instructions per row against the baseline; UPDATE=1 writes the baseline anew
	@scripts/setup build micro
	@bench/micro/instructions $(if $(UPDATE),--update)

fuzz: ## each fuzz target for FUZZ_SECONDS (60)
	@scripts/setup build check
	@scripts/fuzz $(FUZZ_SECONDS)

bench: ## benchmark beside pg_recvlogical and others; bench/README.md has the words, e.g. SCENARIO=burst ROUNDS=5 NETNS=1
	@scripts/setup build demo bench
	@scripts/build release outboxx bench_client
	@$(PYTHON) bench/run $(foreach word,$(BENCH_WORDS),$(if $($(word)),$(word)=$($(word))))

soak: ## load and faults for MINUTES (10) under an independent oracle; SEED, DELIVERY, BROKERS, ...: tests/soak/README.md
	@scripts/setup build demo test
	@scripts/build release outboxx
	@PYTHONPATH=tests $(PYTHON) -m soak --minutes $(MINUTES) --pg $(PG) --brokers $(BROKERS) $(if $(SEED),--seed $(SEED)) \
	    $(if $(DELIVERY),--delivery $(DELIVERY)) $(if $(RATE),--rate $(RATE)) $(if $(FAULTS),--faults "$(FAULTS)") $(if $(GAP),--gap $(GAP))

soak-resources: ## memory with ten million rows, Kafka down for ten minutes, 10,000 tables, ...: half an hour; ONLY="tables columns"
	@scripts/setup build demo test
	@scripts/build release outboxx
	@PYTHONPATH=tests $(PYTHON) -m soak.resources $(ONLY)

clean: ## removes build/
	rm -rf build

.PHONY: help demo build test test-unit test-integration test-e2e test-matrix check format asan tsan bench bench-micro bench-instructions fuzz clean simulation mutants soak soak-resources
