#!/usr/bin/env bash
# Runs the benchmark matrix, writes its baseline, and holds runs against it. docs/performance-playbook.md says how to
# use it and how to read what it prints.
#
#   scripts/bench.sh [COMMAND] [OPTIONS]
#
# Commands
#   local (default)  tests, bench-local, regression; needs no server
#   redis, memcached, all
#                    the same with the pairs of one server, or with all pairs
#   bench-local, bench-redis, bench-memcached
#                    the matrix of the local pairs, or of those of one server
#   baseline         writes docs/benchmarks/cache_path_bench.json from the latest run (with --run-bench: a new one)
#   regression       holds the latest run (with --run-bench, or if there is none: a new one) against the baseline
#   counts           allocations, instructions, round trips and loads of each row
#   selftest         measures the gate itself: false alarms, or with --inject what it catches
#
# Options
#   --runs N             runs of the matrix (default 1; selftest: 20)
#   --sample-size N      samples of each row, from 10 (default 60; selftest: 20)
#   --threshold R        growth that is a regression (default 0.15)
#   --filter REGEX       rows to run (default: all; selftest: the key rows)
#   --inject slow|alloc  selftest: a hit path that is 30 % slower, or that allocates once more
#   --redis-url URL      the Redis to use, as redis://127.0.0.1:6379
#   --memcached-url URL  the memcached to use, as 127.0.0.1:11211
#   --skip-tests         without the tests
#   --run-bench          see baseline and regression
#   -h, --help           this text
#
# A command that needs a server and is given none starts one of its own. baseline, regression and counts know the pairs of
# the servers that they are given.
#
# Logs: target/bench-logs/<command>-<i>.log. Criterion's output: target/criterion. Exit: 0 all well; 1 a regression, or a
# step that failed; 2 bad usage. With ACCELERATOR_BENCH_QUICK=1 everything is once and short and built as the tests are, to
# show that it works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'; }
refuse() {
    printf 'error: %s\nusage: scripts/bench.sh [COMMAND] [OPTIONS]; --help lists them\n' "$1" >&2
    exit 2
}

for arg in "$@"; do
    case $arg in -h | --help)
        usage
        exit
        ;;
    esac
done

command= runs= samples= threshold=0.15 filter= inject= skip_tests= run_bench=
redis_url=${ACCELERATOR_BENCH_REDIS_URL:-} memcached_url=${ACCELERATOR_BENCH_MEMCACHED_URL:-}
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
        --redis-url) redis_url=$2 ;;
        --memcached-url) memcached_url=$2 ;;
        esac
        shift
        ;;
    --skip-tests) skip_tests=1 ;;
    --run-bench) run_bench=1 ;;
    local | redis | memcached | all | bench-local | bench-redis | bench-memcached | baseline | regression | counts | selftest)
        [[ -z $command ]] || refuse "$1: one command at a time"
        command=$1
        ;;
    -*) refuse "unknown option $1" ;;
    *) refuse "unknown command $1" ;;
    esac
    shift
done
command=${command:-local}
[[ -z $runs || $runs =~ ^[1-9][0-9]{0,5}$ ]] || refuse "--runs $runs: takes a whole number from 1"
[[ -z $samples || $samples =~ ^[1-9][0-9]{1,5}$ ]] || refuse "--sample-size $samples: takes a whole number from 10"
[[ $threshold =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)$ && $threshold =~ [1-9] ]] ||
    refuse "--threshold $threshold: takes a number above 0, such as 0.15"
[[ -z $inject || $inject == slow || $inject == alloc ]] || refuse "--inject $inject: takes slow or alloc"
[[ -z $inject || $command == selftest ]] || refuse "--inject belongs to selftest"

key_rows='^moka\+none/(single_key|batch)/.*/(manual|macro)'
only_redis='\+redis/|^limit/redis/'
only_memcached='\+memcached/|^limit/memcached/'
bench_profile=bench built=release counted=() packages=()
if [[ -n ${ACCELERATOR_BENCH_QUICK:-} && $ACCELERATOR_BENCH_QUICK != 0 ]]; then
    runs=1 skip_tests=1 bench_profile=dev built=debug counted=(--no-instructions)
    # What the tests of the workspace have built is used.
    packages=(--workspace --all-features)
    only_redis='^moka\+redis/single_key/' only_memcached='^moka\+memcached/single_key/'
    case $command in
    *redis | *memcached) ;;
    all) filter=${filter:-"$key_rows|$only_redis|$only_memcached"} ;;
    *) filter=${filter:-$key_rows} ;;
    esac
fi

# Cargo runs a benchmark in the folder of its crate: what is relative would mean another place there.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR=$target
criterion=${CRITERION_HOME:-$target/criterion}
logs=$target/bench-logs
times=$logs/times
counts=$target/bench-counts.jsonl
mkdir -p "$logs"
touch "$times"

steps=()
table() {
    printf '\n%-44s %8s  %s\n' step time result
    printf '%s\n' "${steps[@]}"
}
trap '((${#steps[@]} == 0)) || table' EXIT

# Runs the rest of the arguments as the step $1: says what runs and how long it will take, shows how far it is, keeps the
# log in $last_log.
step() {
    local name=$1 start=$SECONDS status=0 last ended=ok shown=${*:2}
    last_log=$logs/$command-$((${#steps[@]} + 1)).log
    shift
    last=$(awk -F '\t' -v name="$name" '$1 == name { s = "took " $2 " s last time" } END { print s }' "$times")
    printf '== %s (%s): %s\n' "$name" "${last:-first time here}" "$shown"
    "$@" 2>&1 | tee "$last_log" | awk '/^row [0-9]+ of |^left out: / { print "   " $0; fflush() }' || status=${PIPESTATUS[0]}
    if ((status == 0)); then
        printf '%s\t%s\n' "$name" $((SECONDS - start)) >>"$times"
    else
        ended="exit code $status, see $last_log"
    fi
    steps+=("$(printf '%-44s %6d s  %s' "$name" $((SECONDS - start)) "$ended")")
    return "$status"
}

cargo_bench() { cargo bench --profile "$bench_profile" "${packages[@]}" --bench cache_path_bench "$@"; }

# The matrix, and with it our programs: built by themselves they would have other features, and all would be built twice.
build() {
    [[ -z ${is_built:-} ]] || return 0
    step build cargo_bench --no-run
    is_built=1
}

# Runs the matrix $1 times.
bench() {
    local i rows
    build
    rows=$(cargo_bench --quiet -- --list ${filter:+"$filter"} 2>"$logs/list.log" | wc -l) || {
        cat "$logs/list.log" >&2
        exit 2
    }
    ((rows > 0)) || refuse "--filter $filter: no row matches"
    for ((i = 1; i <= $1; i++)); do
        step "benchmark, run $i of $1" cargo_bench -- --sample-size="${samples:-60}" ${filter:+"$filter"}
        sed -n '/^row  *ns /,$p' "$last_log"
    done
}

# One of our programs.
run() {
    local bin=$1
    shift
    "$target/$built/$bin" "$@"
}

count_into() { run bench_counts --json "${counted[@]}" --filter "$2" >"$1"; }

count() {
    build
    step counts count_into "$counts" "$filter"
}

# Where there is no server for one of the stores $@, starts one; it ends with this script, whose end of the pipe it reads.
start_servers() {
    local line missing=()
    for store in "$@"; do
        local url=${store}_url
        [[ -n ${!url} && ${!url} != *:0 ]] || missing+=("--$store")
    done
    if ((${#missing[@]} > 0)); then
        echo "starting servers: ${missing[*]#--}"
        build
        coproc SERVERS { exec "$target/$built/bench_servers" "${missing[@]}"; }
        while read -r line <&"${SERVERS[0]}" && [[ $line != ready ]]; do
            case $line in
            ACCELERATOR_BENCH_REDIS_URL=*) redis_url=${line#*=} ;;
            ACCELERATOR_BENCH_MEMCACHED_URL=*) memcached_url=${line#*=} ;;
            esac
        done
        [[ $line == ready ]] || {
            echo "error: the servers did not start" >&2
            exit 1
        }
    fi
    export ACCELERATOR_BENCH_REDIS_URL=$redis_url ACCELERATOR_BENCH_MEMCACHED_URL=$memcached_url
}

new_run_if_asked() {
    if [[ -n $run_bench || ! -f $criterion/cache_path_bench.run.json ]]; then bench "${runs:-1}"; fi
}

# Takes the filter of the latest run, as what it did not measure needs no counts, and starts the servers of its rows.
follow_run() {
    local shown servers
    build
    shown=$(run export_bench_baseline --show-run)
    filter=${shown%%$'\n'*}
    servers=
    [[ $shown != *$'\n'* ]] || servers=${shown#*$'\n'}
    # shellcheck disable=SC2086
    start_servers $servers
}

export_baseline() {
    follow_run
    count
    step "export of the baseline" run export_bench_baseline --counts "$counts"
    tail -n 1 "$last_log"
}

# The verdict of the gate, with counts.
check() {
    local status=0
    follow_run
    count
    step gate run check_bench_regression --threshold "$threshold" --counts "$counts" || status=$?
    cat "$last_log"
    return "$status"
}

# One run of the gate on the key rows, against the baseline $1. Exit 0: nothing found; 1: a regression.
selftest_run() {
    selftest_measure "$samples" || return 2
    run check_bench_regression --baseline "$1" --threshold "$threshold" --counts "$counts"
}

selftest_measure() {
    cargo_bench --quiet -- --sample-size="$1" "$filter" && count_into "$counts" "$filter"
}

selftest_baseline() {
    selftest_measure 60 || return 2
    run export_bench_baseline --counts "$counts" --output "$1"
}

# Builds the workspace's own crates with the injection; their dependencies are the same.
inject() {
    local wrapper=$target/inject-$1
    printf '#!/usr/bin/env bash\nexec "$@" --cfg '"'accelerator_inject=\"%s\"'\n" "$1" >"$wrapper"
    chmod +x "$wrapper"
    export RUSTC_WORKSPACE_WRAPPER=$wrapper
}

selftest() {
    local total=${runs:-20} found=0 by_time=0 i status word=false_alarms
    # Apart from the run and the baseline that users look at.
    local own=$target/bench-selftest/baseline.json
    mkdir -p "$target/bench-selftest"
    export CRITERION_HOME=$target/bench-selftest/criterion
    counts=$target/bench-selftest/counts.jsonl
    filter=${filter:-$key_rows}
    samples=${samples:-20}
    build
    step "selftest, the baseline of this tree" selftest_baseline "$own"
    if [[ -n $inject ]]; then
        word=caught
        inject "$inject"
    fi
    for ((i = 1; i <= total; i++)); do
        status=0
        step "selftest, run $i of $total" selftest_run "$own" || status=$?
        ((status < 2)) || exit "$status"
        found=$((found + status))
        # Counts alone would do, but what is measured here is the gate, and most of it is about time.
        ! grep -q '^\[FAIL\] .* x limit/' "$last_log" || by_time=$((by_time + 1))
        sed -n '/^\[FAIL\]/p' "$last_log"
        echo "$word=$found/$i so far"
    done
    echo "by time: $by_time"
    echo "$word=$found/$total"
    if [[ -n $inject ]]; then ((found * 20 >= total * 19)); else ((found * 20 <= total)); fi
}

# Tests, the matrix, the gate.
everything() {
    [[ -n $skip_tests ]] || step tests ./scripts/test.sh
    bench "${runs:-1}"
    check
}

case $command in
local | bench-local | selftest)
    echo "$command: needs no server"
    redis_url='' memcached_url=''
    export ACCELERATOR_BENCH_REDIS_URL='' ACCELERATOR_BENCH_MEMCACHED_URL=''
    ;;
redis | bench-redis)
    memcached_url='' filter=${filter:-$only_redis}
    start_servers redis
    ;;
memcached | bench-memcached)
    redis_url='' filter=${filter:-$only_memcached}
    start_servers memcached
    ;;
all) start_servers redis memcached ;;
baseline | regression | counts) export ACCELERATOR_BENCH_REDIS_URL=$redis_url ACCELERATOR_BENCH_MEMCACHED_URL=$memcached_url ;;
esac
case $command in
local | redis | memcached | all) everything ;;
bench-local | bench-redis | bench-memcached) bench "${runs:-1}" ;;
baseline)
    new_run_if_asked
    export_baseline
    ;;
regression)
    new_run_if_asked
    check
    ;;
counts)
    count
    cat "$counts"
    ;;
selftest) selftest ;;
esac
