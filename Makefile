# Nothing but Go and make is needed for `make demo` and `make test`. The tools
# of the other targets are pinned in tools/ and built by Go when first used,
# which takes some minutes once.

GO ?= go
BUF ?= $(GO) tool -modfile=tools/buf.mod buf
GOLANGCI ?= $(GO) tool -modfile=tools/go.mod golangci-lint
GOFUMPT ?= $(GO) tool -modfile=tools/go.mod gofumpt
GOVULNCHECK ?= $(GO) tool -modfile=tools/go.mod govulncheck

# How long one package's tests may take, how many of them run at once (most wait for
# something, so more than there are processors), and how long one fuzz target runs.
TEST_TIMEOUT ?= 10m
PARALLEL ?= 4
FUZZTIME ?= 10s

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## Servers share calls and elect leaders over NATS while some are killed and stopped; MONITOR=1 goes on and shows them on a web page
	$(GO) run ./examples/demo $(if $(MONITOR),--forever --monitor)

.PHONY: test
test: ## Run the tests
	$(GO) test -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) ./...

# The runtime's tests keep time, and the detector makes everything slow: they have
# the machine for themselves. The packages that are left out run in one goroutine (and
# build many programs in their tests), or are tested as other packages too.
RACELESS = /runtime|/internal/(repo|codegen)|/cmd/aegis/internal/(root|scaffold|lintoptions|demonstration|clidoc)
.PHONY: race
race: ## Run the tests with the race detector (needs a C compiler)
	@cc=$$($(GO) env CC); command -v $${cc%% *} >/dev/null || { \
		echo "make race: the race detector needs cgo, and there is no C compiler '$$cc'."; \
		echo "Install one (Debian: apt-get install gcc libc6-dev) or name yours in CC."; \
		exit 1; }
	CGO_ENABLED=1 $(GO) test -race -parallel $(PARALLEL) -timeout $(TEST_TIMEOUT) ./runtime
	CGO_ENABLED=1 $(GO) test -race -timeout $(TEST_TIMEOUT) $$($(GO) list ./... | grep -Ev '($(RACELESS))$$')

.PHONY: generate
generate: ## Generate the code of all protos with the plugin of this tree, docs/cli.md, llms.txt and the monitor's openapi.json
	$(BUF) generate
	$(BUF) generate --config runtime/aegiskeda/internal/externalscaler/buf.yaml --template runtime/aegiskeda/internal/externalscaler/buf.gen.yaml
	$(BUF) generate --config internal/codegen/golden.buf.yaml --exclude-path proto/aegis
	$(BUF) build --config internal/codegen/golden.buf.yaml --exclude-path proto/aegis --exclude-imports -o internal/codegen/golden/image.binpb
	$(BUF) build --config internal/codegen/mistakes.buf.yaml --exclude-path proto/aegis --exclude-imports -o internal/codegen/mistakes/image.binpb
	$(BUF) build --config internal/codegen/against.before.buf.yaml --exclude-path proto/aegis -o internal/codegen/against/before.binpb
	$(BUF) build --config internal/codegen/against.after.buf.yaml --exclude-path proto/aegis -o internal/codegen/against/after.binpb
	$(GO) run ./cmd/aegis/internal/clidoc
	$(GO) generate ./runtime/aegismonitor/internal/openapi

.PHONY: checkgenerate
checkgenerate: generate ## Fail unless the committed generated code is what make generate gives
	@git --no-pager diff --exit-code -- '*.pb.go' '*.aegis.go' '*.binpb' docs/cli.md llms.txt runtime/aegismonitor/internal/openapi/openapi.json || { \
		echo "make checkgenerate: generated code differs from what is committed (above)."; \
		echo "Commit what make generate wrote, or undo the change that led to it."; \
		exit 1; }
	@new=$$(git ls-files --others --exclude-standard -- '*.pb.go' '*.aegis.go' '*.binpb'); \
	test -z "$$new" || { \
		echo "make checkgenerate: generated files that are not committed:"; echo "$$new"; \
		echo "Add them to the commit."; \
		exit 1; }

# The sources of the monitor's page, and the one target that needs Node and npm: what it
# writes is committed, so that nobody else needs them.
PAGE = runtime/aegismonitor/internal/page

.PHONY: page
page: ## Build the monitor's page from its TypeScript, after its checks and tests; commit it (needs Node 20 and npm)
	cd $(PAGE) && npm ci --no-audit --no-fund && npm run check && npm test && npm run build

.PHONY: checkpage
checkpage: page ## Fail unless the committed page is what make page gives
	@git --no-pager diff --exit-code --stat -- $(PAGE)/dist && \
	test -z "$$(git ls-files --others --exclude-standard -- $(PAGE)/dist)" || { \
		echo "make checkpage: the page differs from what is committed."; \
		echo "Commit what make page wrote, or undo the change that led to it."; \
		exit 1; }

.PHONY: buftest
buftest: ## Compare what buf generates, and the mistakes it tells, with aegis generate; ARGS=-update keeps its hashes
	$(GO) test -tags buftest -count 1 -timeout 10m ./cmd/aegis/internal/generate $(ARGS)

.PHONY: usertest
usertest: ## Follow the quick start of docs/buf.md in an empty folder, word for word
	$(GO) test -tags usertest -count 1 -timeout 15m ./internal/usertest

.PHONY: natstest
natstest: ## Use the real nats command line tool on running services
	$(GO) test -tags natstest -count 1 -timeout 10m ./internal/natstest

.PHONY: oldnatstest
oldnatstest: ## Run services on NATS servers of older versions, which it builds
	$(GO) test -tags oldnatstest -count 1 -timeout 10m ./internal/oldnatstest

.PHONY: test-browser
test-browser: ## Test the monitor's page in Chromium (needs npm and chromium); pictures go to build/pictures
	cd internal/browsertest && npm ci --silent --no-audit --no-fund && $(GO) vet ./... && $(GO) test -count 1 -timeout 15m ./...

.PHONY: pictures
pictures: test-browser ## Take the pictures of docs/monitor.md anew
	@mkdir -p docs/images
	@for p in overview-1440-light:overview-light overview-1440-dark:overview-dark service-1440-light:service overview-390-light:phone; do \
		cp "build/pictures/$${p%:*}.png" "docs/images/monitor-$${p#*:}.png"; done

.PHONY: monitorload
monitorload: ## Measure a monitor of 1,000 instances with 100 open pages, and how soon it shows dead leaders; ARGS= has options (-h)
	$(GO) run ./internal/monitorload $(ARGS)

.PHONY: deploytest
deploytest: ## Test the rules and the dashboard in deploy with Prometheus's own code, which it builds
	cd runtime/aegismonitor/internal/deploytest && $(GO) test -count 1 -timeout 15m ./...

.PHONY: howtotest
howtotest: ## Test the pages in docs/howto that need an SQL database, which it builds
	cd examples/howto/ledger/ledgertest && $(GO) vet ./... && $(GO) test -count 1 -timeout 5m ./...

.PHONY: kubetest
kubetest: ## Test Kubernetes: the way into a cluster, the manifests, rollouts and an upgrade of NATS; ARGS=-short closes connections sooner
	cd internal/kubetest && $(GO) vet ./... && $(GO) test -count 1 -timeout 15m $(ARGS) $$($(GO) list ./... | grep -v rollout)
	cd internal/kubetest && $(GO) test -count 1 -timeout 15m $(ARGS) ./rollout # alone, as it judges calls by their deadlines

.PHONY: lint
lint: ## Run golangci-lint, gofumpt and buf lint
	$(GOLANGCI) run
	@bad=$$($(GOFUMPT) -l .); test -z "$$bad" || { \
		echo "make lint: not formatted, run make fmt:"; echo "$$bad"; exit 1; }
	$(BUF) lint

.PHONY: fmt
fmt: ## Format Go code and protos
	$(GOFUMPT) -w .
	$(BUF) format -w

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what is linked (asks the Go vulnerability database)
	$(GOVULNCHECK) ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	@grep -rn --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | \
	while IFS=: read -r file _ target; do \
		name=$${target#func }; \
		echo "fuzz $$(dirname $$file) $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" || exit 1; \
	done

.PHONY: bench
bench: ## Measure against hand-written nats.go; some minutes
	$(GO) run ./internal/bench

.PHONY: rest
rest: ## Measure what instances cost that nobody calls (docs/idle.md)
	$(GO) run ./internal/bench --only rest

.PHONY: fault
fault: ## Kill, freeze and cut off leaders, workers and NATS, judge the histories; SCENARIO= picks some, ARGS= has options (-h)
	$(GO) run ./internal/fault $(ARGS)

# Steps of each world of the election's simulation.
STEPS ?= 20000000

.PHONY: sim
sim: ## Simulate the election for STEPS steps in each of its worlds
	$(GO) test ./runtime/election -run TestSimulation -sim.steps=$(STEPS) -timeout 0

.PHONY: ci
ci: ## Run everything that a change has to pass
	.ci/run
