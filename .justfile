# The commands that people type most; `just` lists them. Nothing depends on this file: CI runs .ci/run.

set positional-arguments

_list:
    @{{ just_executable() }} --list --unsorted

# Play real flights through the whole system, e.g. `just demo --year`
demo *options:
    cargo run --release -- demo "$@"

# Serve the HTTP interface on 127.0.0.1:8080
serve *options:
    cargo run --release -- serve "$@"

# Put load on the system and measure it
bench *options:
    cargo run --release -- bench "$@"

# Format, then lint what is there
lint:
    cargo fmt --all
    cargo clippy --locked --workspace --all-targets -- -D warnings

# The quick tests: the rules, the ports in memory, the scenarios in virtual time
quick:
    cargo test -p rendezvous-core
    cargo test -p rendezvous-tests --test scenarios --test interface --test contract

# All tests
test *options:
    cargo test --workspace "$@"

# The rules of each crate, as pages in the browser
doc:
    cargo doc --workspace --no-deps --document-private-items --open

# Everything that must hold before a change lands
ci:
    .ci/run

# Build and deploy the stack to AWS
deploy *options:
    sam build
    sam deploy "$@"

# Make endpoint configurations current on AWS
apply +files:
    cargo run -p rendezvousctl -- apply "$@"

# Verify that a stack, or with --data a local system, works
verify *options:
    cargo run -p rendezvousctl -- verify "$@"
