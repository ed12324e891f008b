#!/usr/bin/env bash
# Runs every command of docs/performance-playbook.md as it is written there, so that the playbook stays true. Everything is
# short (ACCELERATOR_BENCH_QUICK): that a command works is shown here, not how fast anything is.
#
#   scripts/playbook.sh [--list] [-h|--help]
#
# Exit: 0 all ran; 1 one did not; 2 bad usage. A gate may say "regression" (1): so short a look has no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The lines of its fenced blocks.
commands() { awk '/^```sh$/ { on = 1; next } /^```/ { on = 0 } on && NF' docs/performance-playbook.md; }

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
    printf 'error: unknown option %s\nusage: scripts/playbook.sh [--list] [-h|--help]\n' "$1" >&2
    exit 2
    ;;
esac

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
folder=$target/playbook
rm -rf "$folder"
mkdir -p "$folder"
# Apart from the runs that users look at. The baseline is put back.
export ACCELERATOR_BENCH_QUICK=1 CRITERION_HOME=$folder/criterion
baseline=docs/benchmarks/cache_path_bench.json
cp "$baseline" "$folder/baseline.json"
trap 'cp "$folder/baseline.json" "$baseline"' EXIT

mapfile -t lines < <(commands)
((${#lines[@]} > 0)) || {
    echo "no command found" >&2
    exit 1
}
failed=0
for i in "${!lines[@]}"; do
    # The CI runs it by itself.
    [[ ${lines[i]} != ./scripts/test.sh ]] || continue
    status=0 start=$SECONDS
    bash -c "${lines[i]}" >"$folder/$((i + 1)).log" 2>&1 </dev/null || status=$?
    printf '%3d/%d %5d s  exit %d  %s\n' $((i + 1)) "${#lines[@]}" $((SECONDS - start)) "$status" "${lines[i]}"
    case $status:${lines[i]} in
    0:* | 1:*regression* | 1:./scripts/bench.sh | 1:*selftest*) ;;
    *)
        failed=$((failed + 1))
        cat "$folder/$((i + 1)).log"
        ;;
    esac
done
((failed == 0)) || {
    echo "$failed of ${#lines[@]} commands failed"
    exit 1
}
echo "all ${#lines[@]} commands ran"
