# Every target works on a fresh machine with Go, make and git. "make help" lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# .env holds CHURN_* settings of this machine; .env.example lists them.
-include .env
export

GO        ?= go
TOOLS     := $(CURDIR)/.tools
BIN       := $(CURDIR)/bin
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X telco-churn-mlops/internal/app.version=$(VERSION)

# Pinned tools. A tool is installed under a name that holds its version, so that a change of the pin installs it anew.
NATS_SERVER_VERSION := v2.15.2
NATS_CLI_VERSION    := v0.5.1
VERSITYGW_VERSION   := v1.8.0
STATICCHECK_VERSION := v0.8.2
ACTIONLINT_VERSION  := v1.7.12

DATA     ?=
FUZZTIME ?= 20s
COUNT    ?= 5

comma := ,
# The walk through the pages needs a browser; without one "make test" says so and leaves it out.
BROWSER := $(firstword $(foreach name,chromium chromium-browser google-chrome google-chrome-stable,$(shell command -v $(name) 2>/dev/null)))

##@ Run

.PHONY: demo
demo: build ## Play the whole loop once: train, promote, serve, drift, retrain (DATA=file.csv plays it on the real file, KEEP=1 leaves it up)
	$(BIN)/churn demo $(if $(DATA),--data $(DATA)) $(if $(KEEP),--keep)

.PHONY: dev
dev: build ## Run everything on this machine until Ctrl-C, without Docker (DATA=file.csv)
	$(BIN)/churn up $(if $(DATA),--data $(DATA))

.PHONY: train
train: build ## Ask the running loop for a run that goes to Staging
	$(BIN)/churn train --target staging

.PHONY: train-promote
train-promote: build ## Ask the running loop for a run that goes to Production if it is better
	$(BIN)/churn train --target production

.PHONY: stack-up
stack-up: ## Run the loop as containers: three NATS servers, MinIO, each service, two inference instances
	docker compose up --build --detach --wait

.PHONY: stack-down
stack-down: ## Stop the containers and remove their volumes
	docker compose down --volumes --remove-orphans

##@ Build and check

.PHONY: build
build: ## Build bin/churn and bin/inference, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/churn ./cmd/inference

.PHONY: cross
cross: ## Build for linux and darwin, amd64 and arm64, into dist/
	for os in linux darwin; do for arch in amd64 arm64; do \
	  echo "$$os/$$arch"; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/$$os-$$arch/ ./cmd/churn ./cmd/inference; \
	done; done

# What only computes: counting coverage under the race detector slows its loops sevenfold, so the two are run apart there. What measures is run without it.
PURE     = ./model/... ./internal/synth
MEASURES = ./bench/...
# What the detector slows tenfold or forbids: trainings and files by the dozen, and counts of allocations.
SLOWED   = ./trainer ./cmd/churn ./inference
# Much of a test of services is waiting, so that one package and one test more than there are processors share them.
MORE     = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
# "make lint" vets all of it, with all tags.
GOTEST   = PATH="$(TOOLS):$$PATH" $(GO) test -vet=off -p $(MORE) -parallel $(MORE)

.PHONY: test
test: tools-test ## All tests: with the race detector, S3 against a real server, separate processes; prints the coverage
	$(GOTEST) -race -shuffle=on $(PURE)
	@$(if $(BROWSER),:,echo "no Chromium or Chrome on the PATH: the browser test of the pages is left out")
	$(GOTEST) -race -shuffle=on -tags s3,processes$(if $(BROWSER),$(comma)browser) -covermode=atomic -coverprofile=coverage.out \
	  $$($(GO) list ./... | grep -v -e '/model$$' -e '/model/' -e '/internal/synth$$' -e '/bench/')
	$(GOTEST) -covermode=atomic -coverprofile=coverage.pure.out $(PURE) $(MEASURES)
	$(GOTEST) -covermode=atomic -coverprofile=coverage.slowed.out -run 'CrossValidation|Seeds|Strangers|Allocate' $(SLOWED)
	tail -q -n +2 coverage.pure.out coverage.slowed.out >> coverage.out && rm coverage.pure.out coverage.slowed.out
	$(GO) tool cover -func=coverage.out | tail -1

.PHONY: screenshots
screenshots: ## Walk through the pages in Chromium and take the pictures in docs/screenshots anew
	$(GO) test -tags browser -count 1 -run TestConsole ./internal/e2e -screenshots

.PHONY: lint
lint: tools-lint ## gofmt, go vet, staticcheck, actionlint
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet -tags s3,processes,browser ./...
	$(TOOLS)/staticcheck -tags s3,processes,browser ./...
	$(TOOLS)/actionlint

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s)
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $$pkg; \
	  done; done

.PHONY: soak
soak: ## Kill drift at many more random moments, with the race detector (some minutes)
	$(GO) test -race -tags soak -timeout 30m -run Kill ./drift

.PHONY: promotions
promotions: tools-test ## Sixteen clients promote at once, 200 times, through two registries that lose half of their acks, in one process and as two over HTTP (two minutes)
	PATH="$(TOOLS):$$PATH" $(GO) test -count 1 -v -tags processes -run TestSixteenPromoteOverHTTP ./internal/e2e -promotion-rounds 200
	$(GO) test -count 1 -v -run TestSixteenPromoteAtOnce ./registry -promotion-rounds 200

.PHONY: bench
bench: ## Run every benchmark COUNT (5) times
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) ./...

.PHONY: bench-learner
bench-learner: ## Measure the learner against XGBoost, scikit-learn, leaves and pandas, and rewrite the tables (QUICK=1: a minute, nothing rewritten; HUGE=1: 10,000,000 rows too; DATA=file.csv)
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/bench-learner ./bench/learner
	$(BIN)/bench-learner $(if $(DATA),-data $(DATA)) $(if $(HUGE),-huge) $(if $(QUICK),-quick,-out docs/learner-bench.md$(comma)README.md)

.PHONY: bench-registry
bench-registry: ## Measure searches, start-up and memory at up to 300,000 runs, and log-batch against an empty handler, and rewrite the tables (SHORT=1: seconds, nothing rewritten)
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/bench-registry ./bench/registry
	$(BIN)/bench-registry $(if $(SHORT),-short,-out docs/registry-bench.md)

.PHONY: bench-serving
bench-serving: build ## Measure an instance against the transports under it, Python servers (PEERS=DIR) and its own promises, and rewrite the tables (SHORT=1: less than a minute, nothing rewritten)
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/bench-serving ./bench/serving
	$(BIN)/bench-serving $(if $(DATA),-data $(DATA)) $(if $(PEERS),-peers $(PEERS)) $(if $(SHORT),-short,-out docs/serving-bench.md$(comma)README.md)

##@ Tools, installed at pinned versions under .tools/

# $(call install,name,module@version): the stamp makes it happen once per version.
define install
$(TOOLS)/.$(1)-$(3): 
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) GOFLAGS= $(GO) install $(2)@$(3)
	@rm -f $(TOOLS)/.$(1)-*; touch $$@
endef
$(eval $(call install,nats-server,github.com/nats-io/nats-server/v2,$(NATS_SERVER_VERSION)))
$(eval $(call install,nats,github.com/nats-io/natscli/nats,$(NATS_CLI_VERSION)))
$(eval $(call install,versitygw,github.com/versity/versitygw/cmd/versitygw,$(VERSITYGW_VERSION)))
$(eval $(call install,staticcheck,honnef.co/go/tools/cmd/staticcheck,$(STATICCHECK_VERSION)))
$(eval $(call install,actionlint,github.com/rhysd/actionlint/cmd/actionlint,$(ACTIONLINT_VERSION)))

.PHONY: tools tools-test tools-lint
tools: tools-test tools-lint ## Install everything that tests and lint need
tools-test: $(TOOLS)/.nats-server-$(NATS_SERVER_VERSION) $(TOOLS)/.nats-$(NATS_CLI_VERSION) $(TOOLS)/.versitygw-$(VERSITYGW_VERSION)
tools-lint: $(TOOLS)/.staticcheck-$(STATICCHECK_VERSION) $(TOOLS)/.actionlint-$(ACTIONLINT_VERSION)

.PHONY: clean
clean: ## Remove what was built; the store in .churn stays
	rm -rf $(BIN) dist coverage.out coverage.*.out

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9_-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
