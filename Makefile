# make      build, lint, test: what CI runs
# make help lists the targets

GO      ?= go
FUZZ    ?= 20s
HOT     := $(addprefix ./internal/,scan wire flow sim record facts meter identity)

.PHONY: all help build test bench lint fuzz
all: build lint test

help:
	@echo "build  bin/headworks, static"
	@echo "test   go vet, then all tests with the race detector"
	@echo "bench  ours beside a bare httputil.ReverseProxy, in one run"
	@echo "lint   gofmt, go vet, golangci-lint where it is installed"
	@echo "fuzz   each fuzz target for FUZZ=$(FUZZ)"

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/headworks ./cmd/headworks

# The official clients live in a module of their own, so that their libraries are
# not ours. Those for Node come by npm, in exact versions; a lock file would name a
# registry.
test:
	@test/servers.sh
	$(GO) vet ./...
	$(GO) test -race $(TESTFLAGS) ./...
	$(GO) test $(TESTFLAGS) -run 'Allocate' ./internal/identity
	$(GO) test $(TESTFLAGS) -run 'Ladder|Default|Overload|ScalingCosts' ./internal/sim
	$(GO) test $(TESTFLAGS) -run 'CACM|Questions' ./internal/app ./internal/engine/lexical
	@if command -v node >/dev/null && command -v npm >/dev/null && (cd test/sdk/node && npm install --prefer-offline --loglevel=error); then :; else \
		echo "SKIPPED the clients for Node: node and npm cannot install them here"; \
	fi
	@if (cd test/sdk && $(GO) mod download); then \
		cd test/sdk && $(GO) vet ./... && $(GO) test $(TESTFLAGS) ./...; \
	else \
		echo "SKIPPED test/sdk: its modules, the official clients, cannot be had here"; \
	fi

# The whole beside its floor and its rival, then the parts that are on every
# request's way. What it means: docs/explanation/measured.md.
bench: build
	$(GO) run ./test/bench -headworks bin/headworks
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 200ms $(HOT)

lint:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "gofmt: $$bad"; exit 1; fi
	$(GO) vet ./...
	@if command -v golangci-lint >/dev/null; then \
		golangci-lint run ./...; \
	else \
		echo "SKIPPED golangci-lint: not installed"; \
	fi

# go test takes one fuzz target at a time.
fuzz:
	@set -e; \
	for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "== $$(dirname $$file) $$target"; \
			(cd $$(dirname $$file) && $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ) .); \
		done; \
	done
