#!/usr/bin/env bash
# Looks for stale reads with real servers, several processes and interruptions; see `accelerator-checker --help`.
#
#   ./scripts/check-l2.sh           small: for every run of the tests
#   ./scripts/check-l2.sh --full    ten million operations per backend, as many with interruptions, both beside write
#                                   guards, and the same over a bus: hours
#
#   ACCELERATOR_SKIP_SERVERS=1      leaves out a server that is not installed, and says so
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
"")
    # What the tests of the workspace have built is used. It is theirs only together with a test: by itself the program
    # would have less features, and half of what is below it would be built again.
    cargo build --workspace --all-features --bin accelerator-checker --test tidy
    checker=${CARGO_TARGET_DIR:-target}/debug/accelerator-checker
    ops=60000 guarded=20000 restarts=5 stops=3 processes=4 envelopes=10000
    # The machine runs other tests: a message may take longer.
    told=(--ops 10000 --keys 1000 --bound-ms 1000) chaos=restart=1,stop=1,kill=3
    ;;
--full)
    cargo build --release --package accelerator-checker
    checker=${CARGO_TARGET_DIR:-target}/release/accelerator-checker
    ops=10000000 guarded=10000000 restarts=200 stops=50 processes=32 envelopes=100000
    told=(--ops 10000000) chaos=restart=200,stop=50,kill=1000
    ;;
*)
    sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
    ;;
esac

# run WANTED-EXIT-CODE ARGUMENT...
run() {
    local wanted=$1 code=0
    shift
    printf '\n-- accelerator-checker %s\n' "$*"
    json=$("$checker" "$@" --json) || code=$?
    printf '%s\n' "$json"
    [ "$code" -eq "$wanted" ] || {
        echo "exit code $code, and not $wanted" >&2
        exit 1
    }
    case $json in
    *$'\n'* | "" | [!{]*)
        echo "stdout is not one line of JSON" >&2
        exit 1
        ;;
    esac
}

run 0 envelopes --n "$envelopes"
run 0 storm
run 0 storm --batch
for backend in redis memcached; do
    program=$backend
    [ "$backend" = redis ] && program=redis-server
    if [ "${ACCELERATOR_SKIP_SERVERS:-}" = 1 ] && ! command -v "$program" >/dev/null; then
        echo "skipped, as $program is not installed and ACCELERATOR_SKIP_SERVERS=1: the checker on $backend"
        continue
    fi
    run 0 --backend "$backend" --ops "$ops"
    run 0 --backend "$backend" --ops "$ops" --chaos "restart=$restarts,stop=$stops"
    # Loads that outlast their leases, and a server that stands still again and again.
    run 0 --backend "$backend" --ops "$ops" --slow-loads 700
    run 0 --backend "$backend" --ops "$ops" --pauses 250
    run 0 --backend "$backend" --ops "$guarded" --guards
    run 0 --backend "$backend" --ops "$guarded" --guards --chaos "stop=$stops"
    # Known to see: without leases there is something to find.
    run 1 --backend "$backend" --ops 100000 --no-leases
    run 0 cold-key --backend "$backend" --processes "$processes" --tasks 1000
    run 1 cold-key --backend "$backend" --processes "$processes" --tasks 1000 --no-leases
    run 0 cold-key --backend "$backend" --processes "$processes" --tasks 1000 --kill-holder
done

# An L1 in each process, and a bus.
for program in redis-server memcached nats-server; do
    if [ "${ACCELERATOR_SKIP_SERVERS:-}" = 1 ] && ! command -v "$program" >/dev/null; then
        echo "skipped, as $program is not installed and ACCELERATOR_SKIP_SERVERS=1: the checker on a bus"
        exit
    fi
done

# finds ARGUMENT...: there is something to find, and it is found.
finds() {
    run 1 "$@"
    case $json in *'"stale_beyond_bound":0,"stale_at_rest":0,'*)
        echo "found nothing stale, where there must be something" >&2
        exit 1
        ;;
    esac
}

run 0 bus --l2 redis --bus redis "${told[@]}" --chaos "$chaos"
run 0 bus --l2 memcached --bus redis "${told[@]}"
# Messages that are lost without a word.
run 0 bus --l2 none --bus redis "${told[@]}" --loss 20
run 0 bus --l2 none --bus nats "${told[@]}"
# Known to see: without a bus (L1 alone is in the tests), and with one whose caches notice no loss.
finds bus --l2 redis --bus none --ops 10000 --keys 1000
finds bus --l2 none --bus redis --ops 10000 --keys 1000 --loss 20 --blind
if [ "${1:-}" = --full ]; then
    run 0 bus --l2 redis --bus redis "${told[@]}"
    run 0 bus --l2 memcached --bus redis "${told[@]}" --chaos "$chaos"
    run 0 bus --l2 none --bus redis "${told[@]}"
    run 0 bus --l2 none --bus redis "${told[@]}" --chaos "$chaos"
    run 0 bus --l2 none --bus nats "${told[@]}" --chaos "${chaos%,kill=*}"
    run 0 fleet
fi
