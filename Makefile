# Everything is set up in .venv (Python) and target (Rust); nothing else is written to but the caches of pip and cargo.
# The comment after `##` is what `make help` prints.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# One environment and one target folder: two recipes at once would only wait for each other, or break the environment.
.NOTPARALLEL:

PYTHON ?= python3
# How many test processes; most tests wait for a process or a timer, so it may be more than there are cores.
TEST_WORKERS ?= auto
# How many histories each property test tries in `make soak`.
SOAK_CASES ?= 100000
# How many seconds `make soak` lets the fuzzer try each kind of message.
FUZZ_SECONDS ?= 60
# What `make bench` measures of executors and the server, all when empty; `ziet-bench --help` names the sections.
SECTIONS ?=
# More arguments for pytest (`make test`) or for the benchmark (`make bench`).
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# maturin installs into the environment that is named here, not into one that happens to be active.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX PYTHONHOME
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# In CI the lock file must be right as it is.
LOCKED := $(if $(CI),--locked)
RUST_VERSION = $(shell sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)

# Cargo shows its progress; maturin then only copies what is built, and is heard when that fails.
define install
@cargo build $(LOCKED) --package ziet $(1)
@said=$$($(BIN)/maturin develop $(LOCKED) $(1) 2>&1) || { echo "$$said" >&2; exit 1; }
endef

# The seeds and the recorded messages are where it begins; what it finds on the way is kept in fuzz/corpus for the next time.
# Its flags are those of a nightly compiler, and the variable makes the stable one take them. It needs a C++ compiler.
define fuzz
mkdir -p fuzz/corpus/$(1)
RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) run $(1) fuzz/corpus/$(1) fuzz/seeds/$(1) crates/ziet-core/tests/vectors/$(1) -- \
    -max_total_time=$(FUZZ_SECONDS) -malloc_limit_mb=256 -verbosity=0
endef

CARGO_FUZZ := $(or $(shell command -v cargo-fuzz),$(CURDIR)/.tools/bin/cargo-fuzz)
HYPERFINE := $(or $(shell command -v hyperfine),$(CURDIR)/.tools/bin/hyperfine)

.PHONY: help demo test lint build generate bench soak clean debug prerequisites

help: ## Print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \2/p' $(firstword $(MAKEFILE_LIST)) | awk '{ printf "  make %-8s", $$2; $$1 = $$2 = ""; print }'

demo: build $(VENV)/.demo ## Build the program and run the example on real data
	@printf '\n%s\n%s\n\n' \
	    'The project examples/flights reads every flight that was to leave New York in 2013 and finds the airline that left latest.' \
	    'Its first download is refused on purpose: watch it being retried after 2 seconds.'
	@cd examples/flights && ../../$(BIN)/ziet run --local action report_delays
	@printf '\n%s\n' 'examples/flights/README.md shows how to check the answer, and examples/flights/actions.py how little code it takes.'

test: debug $(VENV)/.test $(VENV)/.demo ## Run all tests: Rust, Python, and the installed program (by root: also as nobody)
	cargo test $(LOCKED) --workspace --quiet
	$(BIN)/python -m pytest --numprocesses=$(TEST_WORKERS) --dist=worksteal $(ARGS)
# Whoever picks some tests wants just those.
ifeq ($(ARGS),)
	$(BIN)/python tests/as_nobody.py --numprocesses=$(TEST_WORKERS) --dist=worksteal
endif

lint: prerequisites $(VENV)/.build $(VENV)/.test $(VENV)/.lint ## Check format, lints, documentation and types
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets --quiet -- -D warnings
	cargo rustc $(LOCKED) --package ziet-worker --lib --profile=check --quiet -- --cfg ziet_other_os -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(LOCKED) --workspace --no-deps --document-private-items --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/pyright --project pyproject.toml --warnings

build: $(VENV)/.build ## Build the release program as .venv/bin/ziet
	$(call install,--release)

generate: prerequisites ## Write anew what is generated: docs/reference, openapi.json and the recorded messages
	UPDATE_REFERENCE=1 cargo test $(LOCKED) --quiet --package ziet reference
	UPDATE_OPENAPI=1 cargo test $(LOCKED) --quiet --package ziet-server --lib reference
	UPDATE_VECTORS=1 cargo test $(LOCKED) --quiet --package ziet-core --test wire

bench: build $(VENV)/.test $(HYPERFINE) ## Measure start-up, reloads, executors, the server, and its clients
	@cargo build $(LOCKED) --release --package ziet-bench
	@$(BIN)/python bench/start_up.py --hyperfine $(HYPERFINE) $(ARGS)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python bench/reload.py
	@env -u PYTHONDONTWRITEBYTECODE target/release/ziet-bench --python $(BIN)/python $(SECTIONS)
ifeq ($(SECTIONS),)
	@printf '\n%s\n' 'Clients in Python:'
	@$(BIN)/python bench/clients.py
	@printf '\n%s\n' 'All duties on, as in a sandbox:'
	@env -u PYTHONDONTWRITEBYTECODE target/release/ziet-bench --python $(BIN)/python --sandbox throughput
endif

soak: debug $(VENV)/.test $(VENV)/.demo $(CARGO_FUZZ) ## Run the long tests: more random histories, the fuzzer, pytest's marked soak
	PROPTEST_CASES=$(SOAK_CASES) cargo test $(LOCKED) --workspace --quiet -- --include-ignored
	$(call fuzz,from_executor)
	$(call fuzz,from_zygote)
	$(BIN)/python -m pytest -m soak --timeout=3600 $(ARGS) || [ $$? -eq 5 ]  # 5: no test has the mark

clean: ## Remove everything that was built or installed here
	rm -rf target fuzz/target fuzz/corpus $(VENV) .tools .pytest_cache .ruff_cache .hypothesis
	find python tests examples bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The tests drive the debug program: it builds in a fraction of the time and checks more. It takes the place of the release
# program in .venv/bin until the next `make build`, which only copies what is already built.
debug: $(VENV)/.build
	$(call install)

prerequisites:
	@missing=; need() { echo "missing: $$1" >&2; missing=1; }; \
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	    need 'Python 3.10 or later as $(PYTHON): apt install python3 python3-venv, or name another with make PYTHON=…'; \
	elif ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
	    need 'the venv module of $(PYTHON): apt install python3-venv'; \
	fi; \
	command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null \
	    || need 'a C compiler: apt install gcc libc6-dev, or xcode-select --install on macOS'; \
	rust=$$(rustc --version 2>/dev/null | cut -d' ' -f2) || true; \
	if ! command -v cargo >/dev/null || [ -z "$$rust" ]; then \
	    need 'Rust $(RUST_VERSION) or later: install rustup (rustup.rs)'; \
	elif [ "$$(printf '%s\n' $(RUST_VERSION) "$$rust" | sort -V | head -1)" != $(RUST_VERSION) ]; then \
	    need "Rust $(RUST_VERSION) or later, this is $$rust: rustup update stable"; \
	fi; \
	[ -z "$$missing" ]

$(BIN)/python: | prerequisites
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'

# The dependency groups of pyproject.toml: each installed when first needed, and again when that file has changed.
$(VENV)/.build $(VENV)/.test $(VENV)/.lint: $(VENV)/.%: pyproject.toml | prerequisites $(BIN)/python
	$(PIP) install --group $*
	@touch $@

# --no-deps: of this package only the data files are read (see the file).
$(VENV)/.demo: examples/flights/requirements.txt | $(BIN)/python
	$(PIP) install --no-deps --requirement $<
	@touch $@

# The newest that builds with `rust-version`.
$(CURDIR)/.tools/bin/hyperfine:
	cargo install hyperfine --version '=1.20.0' --locked --root .tools

$(CURDIR)/.tools/bin/cargo-fuzz:
	cargo install cargo-fuzz --version '=0.13.2' --locked --root .tools
