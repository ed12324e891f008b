#!/usr/bin/env bash
# Every test of the workspace. Tests that need a server start it themselves: scripts/servers.sh sees to it that Redis,
# memcached and NATS are installed.
#
#   ./scripts/test.sh            everything
#   ./scripts/test.sh -h, --help this text
#   ACCELERATOR_MODEL_OPS=N      size of the model test's long run (default 1,000,000)
#   ACCELERATOR_SEED=N           its seed
#   ACCELERATOR_SCHEDULES=N      schedules of the slot table's run (default 250,000)
#   ACCELERATOR_SKIP_SERVERS=1   without the tests of servers that are not installed
#   ACCELERATOR_TEST_REDIS_URL, ACCELERATOR_TEST_MEMCACHED_URL, ACCELERATOR_TEST_NATS_URL
#                                servers to use where a test needs any; empty ones of your own, as keys are left behind
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for arg in "$@"; do
    case $arg in -h | --help)
        sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'
        exit
        ;;
    esac
done
if (($# > 0)); then
    printf 'error: unknown option %s\nusage: scripts/test.sh [-h|--help]\n' "$1" >&2
    exit 2
fi

. scripts/sections.sh
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# Nothing is judged by its time or its instructions here, so optimized code is built the faster way. The model test is
# asked of the default members, as the matrix is: with the features of its own crate alone, all would be built twice.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0

section "servers"
./scripts/servers.sh

section "unit, integration and documentation tests, all features"
cargo test --workspace --all-features

section "the facade with default features, and with none"
cargo test --package accelerator
cargo check --package accelerator --no-default-features
cargo check --package accelerator-core --no-default-features

# Much of what the checker does is waiting, so it runs beside what follows: its program is of the other target folder, and
# all of it is made for busy machines.
l2_log=$target/check-l2.log
./scripts/check-l2.sh >"$l2_log" 2>&1 &
l2=$!
# However this ends, it leaves no servers behind.
trap 'wait' EXIT

section "the model test at full length"
ACCELERATOR_MODEL_OPS="${ACCELERATOR_MODEL_OPS:-1000000}" ACCELERATOR_SEED="${ACCELERATOR_SEED:-1}" \
    cargo test --release --test model -- --nocapture

section "the slot table through many schedules, the bus through all states"
ACCELERATOR_SCHEDULES="${ACCELERATOR_SCHEDULES:-250000}" \
    cargo test --release --package accelerator-proofs -- --nocapture

# Times are shown and not judged: machines that run tests are busy. Allocations, round trips and loads are judged;
# instructions depend on the compiler and its options, and are the business of `bench.sh regression`.
section "the benchmark matrix: its rows, a short run of the key rows, the counts of all local rows"
smoke=$target/bench-smoke
counts=$smoke/counts.jsonl
# Apart from the runs that users look at, and without servers.
export CRITERION_HOME=$smoke ACCELERATOR_BENCH_REDIS_URL='' ACCELERATOR_BENCH_MEMCACHED_URL=''
mkdir -p "$smoke"
rows=$(cargo bench --bench cache_path_bench -- --list | wc -l)
echo "$rows rows"
((rows > 0))
cargo bench --bench cache_path_bench -- --sample-size 20 '^moka\+none/' | sed -n '/^row  *ns /,$p'
# Built together with the matrix.
"$target/release/bench_counts" --json --no-instructions >"$counts"
echo "counts of $(wc -l <"$counts") rows in $counts"
"$target/release/check_bench_regression" --only-counts --counts "$counts"
unset CRITERION_HOME ACCELERATOR_BENCH_REDIS_URL ACCELERATOR_BENCH_MEMCACHED_URL

section "stale reads, looked for with real servers, beside the last three"
l2_status=0
wait "$l2" || l2_status=$?
cat "$l2_log"
((l2_status == 0))

section "the crates of the default features"
crates=$(cargo tree --package accelerator --edges normal,build --prefix none --format '{p}' | sed 's/ (.*//' | sort -u | wc -l)
echo "default features compile $crates crates, of at most 50"
[ "$crates" -le 50 ]

sections_end
printf '\nall tests passed\n'
# Says again what was skipped, if anything was.
./scripts/servers.sh
