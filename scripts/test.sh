#!/usr/bin/env bash
# Every test of the workspace. Tests that need a server start it themselves: scripts/servers.sh sees to it that Redis and
# memcached are installed.
#
#   ./scripts/test.sh            everything
#   ACCELERATOR_MODEL_OPS=N      size of the model test's long run (default 1,000,000)
#   ACCELERATOR_SEED=N           its seed
#   ACCELERATOR_SCHEDULES=N      schedules of the slot table's long run (default 1,000,000)
#   ACCELERATOR_SKIP_SERVERS=1   without the tests of servers that are not installed
#   ACCELERATOR_TEST_REDIS_URL, ACCELERATOR_TEST_MEMCACHED_URL
#                                servers to use where a test needs any; empty ones of your own, as keys are left behind
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "servers"
./scripts/servers.sh

step "unit, integration and documentation tests, all features"
cargo test --workspace --all-features

step "the facade with default features, and with none"
cargo test --package accelerator
cargo check --package accelerator --no-default-features
cargo check --package accelerator-core --no-default-features

step "the model test at full length"
ACCELERATOR_MODEL_OPS="${ACCELERATOR_MODEL_OPS:-1000000}" ACCELERATOR_SEED="${ACCELERATOR_SEED:-1}" \
    cargo test --release --package accelerator-core --test model -- --nocapture

step "the slot table through a million schedules"
ACCELERATOR_SCHEDULES="${ACCELERATOR_SCHEDULES:-1000000}" \
    cargo test --release --package accelerator-proofs -- --nocapture

step "stale reads, looked for with real servers"
./scripts/check-l2.sh

step "the crates of the default features"
crates=$(cargo tree --package accelerator --edges normal,build --prefix none --format '{p}' | sed 's/ (.*//' | sort -u | wc -l)
echo "default features compile $crates crates, of at most 50"
[ "$crates" -le 50 ]

printf '\nall tests passed\n'
# Says again what was skipped, if anything was.
./scripts/servers.sh
