# Everything a developer types. `make demo` and `make test` are the two that a new
# user needs; neither needs root, and both say what they left out.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: build demo demo-all test race lint generate bench bench-host kernel-lab packages

build: ## spanctl and spanlab in bin/
	CGO_ENABLED=0 go build -o bin/ ./cmd/...

demo: build ## the main job on the embedded lab, under a minute
	testdata/demo/demo.sh bin

demo-all: build ## the same intents on a switch of each platform, under a minute
	testdata/demo/all.sh bin

test: lint ## the whole suite; as root with the kernel tests
	go tool gotestsum --format pkgname-and-test-fails --hide-summary=output -- -timeout 30m $(TESTFLAGS) ./...

race: ## the suite under the race detector
	SPANCTL_SEQUENCES=50 go test -race -timeout 30m ./...

lint: ## vet and staticcheck
	go vet ./...
	go tool staticcheck ./...
	GOOS=darwin go vet ./cmd/spanctl ./hostmirror/...

generate: ## the README's support table and whatever else is made from code
	go generate ./...

bench: ## the figures of the README, compared within one run
	go test -run "^$$" -bench . -benchtime 1x -timeout 30m ./models/plan ./internal/store ./drivers/transport/ssh ./drivers/peers/fabric ./cmd/spanctl

ROUNDS ?= 60
BENCH ?= .
bench-host: ## what a mirror on this host costs, beside other ways; needs root. LAB=1: on a distribution kernel, ROUNDS=n, BENCH=name
ifdef LAB
	CGO_ENABLED=0 LAB_TIMEOUT=3600 LAB_TOOLS="tc ip nft" LAB_MODULES_MORE="nft_dup_netdev" \
		go test -run "^$$" -bench "$(BENCH)" -benchtime $(ROUNDS)x -timeout 1h -exec "$(CURDIR)/hostmirror/kernellab/run.sh" ./hostmirror/bench
else
	go test -run "^$$" -bench "$(BENCH)" -benchtime $(ROUNDS)x -timeout 1h ./hostmirror/bench
endif

kernel-lab: ## hostmirror's tests on a distribution kernel in a virtual machine
	CGO_ENABLED=0 LAB_TIMEOUT=2400 go test -count=1 -p 1 -timeout 39m -exec "$(CURDIR)/hostmirror/kernellab/run.sh" ./hostmirror/...
	CGO_ENABLED=0 LAB_MEM=1024 go test -count=1 -timeout 5m -run TestHostCapture -exec "$(CURDIR)/hostmirror/kernellab/run.sh" ./cmd/spanctl

packages: ## what the tests need from Debian; needs root
	.ci/packages
