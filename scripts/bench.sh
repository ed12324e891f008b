#!/usr/bin/env bash
# Runs the benchmark matrix, writes its baseline, and holds runs against it.
#
#   scripts/bench.sh [COMMAND] [OPTIONS]
#
# Commands
#   local (default)  tests, bench-local, regression; needs no server
#   bench-local      the matrix of the local pairs
#   baseline         writes docs/benchmarks/cache_path_bench.json from the latest run (with --run-bench: a new one)
#   regression       holds the latest run (with --run-bench, or if there is none: a new one) against the baseline
#   counts           allocations, instructions, round trips and loads of each row
#   selftest         measures the gate itself: false alarms, or with --inject what it catches
#
# Options
#   --runs N             runs of the matrix (default 1; selftest: 20)
#   --sample-size N      samples of each row (default 60)
#   --threshold R        growth that is a regression (default 0.15)
#   --filter REGEX       rows to run (default: all; selftest: the key rows)
#   --inject slow|alloc  selftest: a hit path that is 30 % slower, or that allocates once more
#   --redis-url URL      not used yet: no pair needs a server
#   --memcached-url URL  not used yet
#   --skip-tests         local: without the tests
#   --run-bench          see baseline and regression
#   -h, --help           this text
#
# Logs: target/bench-logs/<command>-<i>.log. Exit: 0 all well; 1 a regression or a failed step; 2 bad usage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'; }
refuse() {
    echo "error: $1" >&2
    usage >&2
    exit 2
}

command=local runs= samples=60 threshold=0.15 filter= inject= skip_tests= run_bench=
commands=0
for arg in "$@"; do
    case $arg in -h | --help)
        usage
        exit
        ;;
    esac
done
while (($#)); do
    case $1 in
    --runs | --sample-size | --threshold | --filter | --inject | --redis-url | --memcached-url)
        (($# > 1)) || refuse "$1 needs a value"
        case $1 in
        --runs) runs=$2 ;;
        --sample-size) samples=$2 ;;
        --threshold) threshold=$2 ;;
        --filter) filter=$2 ;;
        --inject) inject=$2 ;;
        *) ;;
        esac
        shift
        ;;
    --skip-tests) skip_tests=1 ;;
    --run-bench) run_bench=1 ;;
    local | bench-local | baseline | regression | counts | selftest)
        command=$1
        commands=$((commands + 1))
        ;;
    *) refuse "unknown option $1" ;;
    esac
    shift
done
((commands <= 1)) || refuse "one command at a time"
[[ -z $runs || $runs =~ ^[1-9][0-9]*$ ]] || refuse "--runs $runs: takes a whole number from 1"
[[ $samples =~ ^[1-9][0-9]+$ ]] || refuse "--sample-size $samples: takes a whole number from 10"
[[ $threshold =~ ^[0-9]*\.?[0-9]+$ ]] || refuse "--threshold $threshold: takes a number such as 0.15"
[[ -z $inject || $inject == slow || $inject == alloc ]] || refuse "--inject $inject: takes slow or alloc"
[[ -z $inject || $command == selftest ]] || refuse "--inject belongs to selftest"

target=${CARGO_TARGET_DIR:-target}
logs=$target/bench-logs
baseline=docs/benchmarks/cache_path_bench.json
mkdir -p "$logs"
export CARGO_TERM_COLOR=never
steps=()

# Runs a step into a log, says what it is and how it ended. $1: its name; the rest: the command.
step() {
    local name=$1 log=$logs/$1.log start=$SECONDS status=0
    shift
    printf '== %s: %s\n' "$name" "$*"
    "$@" >"$log" 2>&1 || status=$?
    local ended=ok
    ((status == 0)) || ended="failed ($status), see $log"
    steps+=("$(printf '%-24s %5d s  %s' "$name" $((SECONDS - start)) "$ended")")
    return "$status"
}

table() {
    printf '\n%-24s %7s  %s\n' step time result
    printf '%s\n' "${steps[@]}"
}
trap '((${#steps[@]} == 0)) || table' EXIT

# Runs the matrix $1 times under the name $2.
bench() {
    local i
    local rows
    rows=$(cargo bench --quiet --bench cache_path_bench -- --list ${filter:+"$filter"} 2>/dev/null | wc -l)
    ((rows > 0)) || refuse "--filter $filter: no row matches"
    # Warm-up, the row and its limit in turns, analysis.
    printf '%d rows, %d runs: about %d s each; no server is used\n' "$rows" "$1" $((rows * (60 + 220 * samples / 60) / 100))
    for ((i = 1; i <= $1; i++)); do
        step "$2-$i" cargo bench --bench cache_path_bench -- --sample-size="$samples" ${filter:+"$filter"}
        grep -E '^(limit|none|moka|mini-moka|quick-cache).*time:|^ +time:' "$logs/$2-$i.log" | tail -n "$rows" >/dev/null || true
    done
}

counts() {
    step "$1" bash -c 'cargo run --quiet --release --bin bench_counts -- --json --filter "$1" >"$2"' - "$filter" \
        "$target/bench-counts.jsonl"
}

export_baseline() {
    counts baseline-counts
    step baseline-export cargo run --quiet --release --bin export_bench_baseline -- --counts "$target/bench-counts.jsonl"
    tail -n 1 "$logs/baseline-export.log"
}

# The verdict of the gate, with counts.
check() {
    local status=0
    counts "$1-counts"
    step "$1" cargo run --quiet --release --bin check_bench_regression -- --threshold "$threshold" \
        --counts "$target/bench-counts.jsonl" || status=$?
    grep -E '^\[' "$logs/$1.log" || cat "$logs/$1.log"
    return "$status"
}

has_run() { [[ -f $target/criterion/cache_path_bench.run.json ]]; }

selftest() {
    local total=${runs:-20} hits=0 i word=false_alarms
    [[ -z $inject ]] || word=caught
    filter=${filter:-'^moka\+none/.*/(manual|macro)'}
    samples=${samples:-60}
    # A baseline of this tree and machine, apart from the one under version control.
    local own=$target/bench-selftest.json
    bench 1 selftest-baseline
    counts selftest-baseline-counts
    step selftest-export cargo run --quiet --release --bin export_bench_baseline -- \
        --counts "$target/bench-counts.jsonl" --output "$own"
    if [[ -n $inject ]]; then
        export RUSTFLAGS="${RUSTFLAGS:-} --cfg accelerator_inject=\"$inject\"" CARGO_TARGET_DIR=$target/selftest
        export CRITERION_HOME=$PWD/$target/criterion
    fi
    for ((i = 1; i <= total; i++)); do
        printf 'selftest %d of %d\n' "$i" "$total"
        bench 1 "selftest-$i"
        counts "selftest-$i-counts"
        step "selftest-$i-check" cargo run --quiet --release --bin check_bench_regression -- --baseline "$own" \
            --threshold "$threshold" --counts "$target/bench-counts.jsonl" || hits=$((hits + 1))
    done
    echo "$word=$hits/$total"
    if [[ -z $inject ]]; then ((hits * 20 <= total)); else ((hits * 20 >= total * 19)); fi
}

case $command in
local)
    echo "local: needs no server"
    [[ -n $skip_tests ]] || step local-tests ./scripts/test.sh
    bench "${runs:-1}" local-bench
    if [[ -f $baseline ]]; then check local-regression; else echo "no baseline at $baseline: write one with baseline"; fi
    ;;
bench-local) bench "${runs:-1}" bench-local ;;
baseline)
    if [[ -n $run_bench ]] || ! has_run; then bench "${runs:-1}" baseline-bench; fi
    export_baseline
    ;;
regression)
    if [[ -n $run_bench ]] || ! has_run; then bench "${runs:-1}" regression-bench; fi
    check regression
    ;;
counts)
    counts counts
    cat "$target/bench-counts.jsonl"
    ;;
selftest) selftest ;;
esac
