# Two commands for a fresh machine: `make demo` and `make test`. What they need is installed by scripts/setup.

CHENGMAI := target/fast/chengmai
LIBRARY := .cache/clickhouse/26.7/libchdb.so

.PHONY: demo test setup screens clickhouse kafka build check rust-test screens-test real-test e2e bench bench-smoke clean

## Everything embedded, a simulated Yan'an, the screens on http://127.0.0.1:8080
demo: setup screens clickhouse build
	$(CHENGMAI) demo $(DEMO)

## Everything that proves it
test: setup check clickhouse kafka screens screens-test rust-test real-test e2e bench-smoke
	@echo "all tests passed"

## Packages that the build needs and that are not there
setup:
	@scripts/setup

## The screens
screens: dashboards/dist/index.html
dashboards/dist/index.html: $(shell find dashboards/src dashboards/index.html dashboards/package.json dashboards/vite.config.ts 2>/dev/null)
	cd dashboards && npm ci --no-audit --no-fund && npm run build
	@touch $@

## The ClickHouse library, fetched once
clickhouse: $(LIBRARY)
$(LIBRARY):
	sinks/fetch-library.sh

## Apache Kafka for the tests, fetched once
kafka:
	tests/kafka.sh install

build:
	cargo build --profile fast

## Format, lints, licences
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --profile fast -- -D warnings
	@scripts/deny

rust-test:
	cargo test --workspace --profile fast

screens-test:
	cd dashboards && npm run lint && npm test

## Input that nobody here made, against independent recomputation
real-test: build
	python3 -m unittest discover -s tests/real -p 'test_*.py'
	tests/real/run.sh $(CHENGMAI)

## The screens in a real browser against a running engine
e2e: build screens clickhouse
	tests/e2e.sh $(CHENGMAI)

## Throughput: the reference workload with every contestant that can be installed
bench: clickhouse
	cargo build --release
	target/release/chengmai bench city-5 --output target/bench/city-5

## A short one that fails on wrong answers only; its figures stay in target/bench/smoke
bench-smoke: build
	$(CHENGMAI) bench smoke --output target/bench/smoke

clean:
	cargo clean
	rm -rf dashboards/dist dashboards/node_modules .cache
