#!/usr/bin/env bash
# Builds every known weakening of the concurrency code and shows that a proof catches it.
#
#   scripts/mutants.sh [--only NAME] [--list] [-h]
#
# A weakening is a `#[cfg(accelerator_mutant = "NAME")]` in accelerator-core; the names are read from its source. First
# the proofs must pass without any. Then each is built (nothing but the workspace's own crates is built anew) and must
# make a proof fail, or hang until the time limit. Prints one line each and `killed n/n`.
#
# Exit: 0 all caught; 1 a survivor, or the proofs fail without a weakening; 2 a weakening doesn't compile, or bad usage.
#
# ACCELERATOR_SCHEDULES  schedules of one run, default 24000
# MUTANTS_SECONDS        time limit of one run, default 60
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'; }

# `grep` on each occurrence, so that several on one line count.
mutants() {
    grep -rhoE 'accelerator_mutant = "[a-z0-9-]+"' accelerator-core/src | sed 's/.*"\(.*\)"/\1/' | sort -u
}

only=
while (($#)); do
    case $1 in
    --only)
        only=${2:?--only needs a name}
        shift
        ;;
    --list)
        mutants
        exit
        ;;
    -h | --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

mapfile -t names < <(mutants)
if [[ -n $only ]]; then
    printf '%s\n' "${names[@]}" | grep -qxF -- "$only" || {
        echo "no mutant $only; see --list" >&2
        exit 2
    }
    names=("$only")
fi

export CARGO_TARGET_DIR=$PWD/target/mutants
export ACCELERATOR_SCHEDULES=${ACCELERATOR_SCHEDULES:-24000}
# Nobody debugs these builds; the scheduler is worth optimizing, as it is built once.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
export RUST_BACKTRACE=0
seconds=${MUTANTS_SECONDS:-60}
logs=$CARGO_TARGET_DIR/logs
mkdir -p "$logs"

# Cargo calls it for the workspace's own crates only: their dependencies are built once for all mutants.
wrapper=$CARGO_TARGET_DIR/with-mutant
cat >"$wrapper" <<'WRAPPER'
#!/usr/bin/env bash
exec "$@" ${ACCELERATOR_MUTANT:+--cfg "accelerator_mutant=\"$ACCELERATOR_MUTANT\""}
WRAPPER
chmod +x "$wrapper"

# The tests of the table come first: they catch most, and leave the engine's unbuilt.
targets=(--lib "--test engine_races")

# Builds the tests $2 with the mutant $1 (none, if empty) and prints the program.
build() {
    local mine=$wrapper-${1:-none} log=$logs/${1:-none}.build
    # A name of its own: cargo tells builds apart by the wrapper's path.
    ln -sf with-mutant "$mine"
    # shellcheck disable=SC2086
    ACCELERATOR_MUTANT=$1 RUSTC_WORKSPACE_WRAPPER=$mine cargo test -p accelerator-proofs $2 --no-run \
        --config 'profile.dev.package."*".opt-level=2' --message-format=json-render-diagnostics 2>"$log" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' || {
        cat "$log" >&2
        echo "${1:-without a mutant}: does not compile" >&2
        return 1
    }
}

# Whether all tests pass in time, with the mutant $1 (none, if empty).
passes() {
    local log=$logs/${1:-none}.run target program status=0
    : >"$log"
    for target in "${targets[@]}"; do
        program=$(build "$1" "$target") || exit 2
        (cd proofs && timeout --kill-after=5 "$seconds" "$program") >>"$log" 2>&1 || status=$?
        # Each is some megabytes.
        rm -f "$program"
        ((status == 0)) || return 1
    done
}

# What failed, for the report.
catchers() {
    sed -n 's/^test \(runner::\)\{0,1\}\([a-z0-9_:]*\) .*FAILED$/\2/p' "$logs/$1.run" | sort -u |
        awk 'NR <= 2 { printf "%s%s", sep, $0; sep = ", " } END { if (NR > 2) printf " and %d more", NR - 2 }'
}

passes '' || {
    cat "$logs/none.run" >&2
    echo "the proofs fail without a mutant" >&2
    exit 1
}
printf '%-32s passes\n' '(none)'

killed=0
for name in "${names[@]}"; do
    if passes "$name"; then
        printf '%-32s SURVIVES\n' "$name"
    else
        killed=$((killed + 1))
        by=$(catchers "$name")
        printf '%-32s killed by %s\n' "$name" "${by:-the time limit}"
    fi
done

echo "killed $killed/${#names[@]}"
((killed == ${#names[@]}))
