#!/usr/bin/env bash
# Runs every command of docs/performance-playbook.md as it is written there, so that the playbook stays true. Everything is
# short (ACCELERATOR_BENCH_QUICK): that a command works is shown here, not how fast anything is.
#
#   scripts/playbook.sh            all of them
#   scripts/playbook.sh --kinds    one of each kind, as the gate does: without blocks that are marked `sh by command`
#   scripts/playbook.sh --list     shows them (with --kinds before it: those) and runs nothing
#   scripts/playbook.sh -h|--help  this text
#
# What can't run here (no valgrind; no server, with ACCELERATOR_SKIP_SERVERS=1) is said. Exit: 0 all ran; 1 one did not;
# 2 bad usage. The gate may say that there is a regression: so short a look proves none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

blocks='^```sh( by command)?$'
if [[ ${1:-} == --kinds ]]; then
    blocks='^```sh$'
    shift
fi

# The lines of the fenced blocks, each once.
commands() {
    awk -v blocks="$blocks" '
        fenced && /^```$/ { fenced = on = 0; next }
        !fenced && /^```/ { fenced = 1; on = $0 ~ blocks; next }
        on && NF && !seen[$0]++
    ' docs/performance-playbook.md
}

case ${1:-} in
'') ;;
--list)
    commands
    exit
    ;;
-h | --help)
    sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'
    exit
    ;;
*)
    printf 'error: unknown option %s\nusage: scripts/playbook.sh [--kinds] [--list] [-h|--help]\n' "$1" >&2
    exit 2
    ;;
esac

. scripts/sections.sh
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
folder=$target/playbook
rm -rf "$folder"
mkdir -p "$folder"
# Apart from the runs that users look at.
export ACCELERATOR_BENCH_QUICK=1 CRITERION_HOME=$folder/criterion
# Built the faster way, as by test.sh, and the same.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0
baseline=docs/benchmarks/cache_path_bench.json
# The commands write a baseline. What was there before comes back, even if that is none.
if [[ -f $baseline ]]; then cp "$baseline" "$folder/baseline.json"; fi
trap 'if [[ -f $folder/baseline.json ]]; then cp "$folder/baseline.json" "$baseline"; else rm -f "$baseline"; fi' EXIT

mapfile -t lines < <(commands)
((${#lines[@]} > 0)) || {
    echo "no command found" >&2
    exit 1
}
if [[ ! -f $baseline ]]; then
    echo "there is no baseline ($baseline): one of a short look, for these commands alone"
    ./scripts/bench.sh baseline --run-bench >"$folder/baseline.log" 2>&1 </dev/null || {
        cat "$folder/baseline.log"
        exit 1
    }
fi

# Why a line can't run here.
lacks() {
    local program
    case $1 in
    # The CI runs it by itself.
    ./scripts/test.sh) echo "run apart from these" ;;
    *callgrind*) command -v valgrind >/dev/null || echo "valgrind is not installed" ;;
    *redis | *redis\ * | *memcached* | *all)
        [[ ${ACCELERATOR_SKIP_SERVERS:-} == 1 ]] || return 0
        for program in redis-server memcached; do
            command -v "$program" >/dev/null || echo "$program is not installed"
        done
        ;;
    esac
}

section "the commands of the playbook"
failed=0 skipped=0
for i in "${!lines[@]}"; do
    why=$(lacks "${lines[i]}" | head -n 1)
    if [[ -n $why ]]; then
        printf '%3d/%d SKIPPED: %s  %s\n' $((i + 1)) "${#lines[@]}" "$why" "${lines[i]}"
        skipped=$((skipped + 1))
        continue
    fi
    status=0 start=$SECONDS
    bash -c "${lines[i]}" >"$folder/$((i + 1)).log" 2>&1 </dev/null || status=$?
    printf '%3d/%d %5d s  exit %d  %s\n' $((i + 1)) "${#lines[@]}" $((SECONDS - start)) "$status" "${lines[i]}"
    # A verdict of the gate is an answer, whichever it is.
    if ((status > 1)) || { ((status == 1)) && ! grep -qE '^(\[FAIL\]|caught=|false_alarms=)' "$folder/$((i + 1)).log"; }; then
        failed=$((failed + 1))
        cat "$folder/$((i + 1)).log"
    fi
done
((failed == 0)) || {
    echo "$failed of ${#lines[@]} commands failed"
    exit 1
}
sections_end
echo "$((${#lines[@]} - skipped)) of ${#lines[@]} commands ran, $skipped skipped"
