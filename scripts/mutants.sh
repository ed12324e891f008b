#!/usr/bin/env bash
# Builds every known weakening of the concurrency code and shows that a proof catches it.
#
#   scripts/mutants.sh [--only NAME] [--list] [-h]
#
# A weakening is a file proofs/mutants/NAME.diff (proofs/src/mutants.rs says how to write one). The tree is copied, and
# the proofs are built and run there: first without any, which must pass. Then each is put into the copy, and must make a
# proof fail, or hang until the time limit. Prints one line each and `killed n/n`. The source that ships knows of none.
# What is changed in level/bus/ alone is shown to the model of the bus, all states of its small plans. That model has
# weakenings of its own, which are options of it: `refuted n/n`.
#
# Exit: 0 all caught; 1 a survivor, or the proofs fail without a weakening; 2 a weakening doesn't fit or doesn't compile,
# or bad usage.
#
# ACCELERATOR_SCHEDULES  schedules of one run, default 24000
# MUTANTS_SECONDS        time limit of one run, default 60
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//'; }

only='' list=''
while (($#)); do
    case $1 in
    --only)
        only=${2:?--only needs a name}
        shift
        ;;
    --list) list=1 ;;
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

root=$PWD
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants
export CARGO_TARGET_DIR=$folder
# Nobody debugs these builds.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0
export ACCELERATOR_SCHEDULES=${ACCELERATOR_SCHEDULES:-24000} RUST_BACKTRACE=0
seconds=${MUTANTS_SECONDS:-60}
logs=$folder/logs
# The tree as it was when this began, and the copy that is built.
source=$folder/source copy=$folder/copy
mkdir -p "$logs"

cargo build --quiet --package accelerator-proofs --bin mutate
# The proofs in the copy have a program of the same name.
cp "$folder/debug/mutate" "$folder/mutate"
mutate=$folder/mutate

mapfile -t names < <("$mutate" list "$root")
[[ -z $list ]] || {
    printf '%s\n' "${names[@]}"
    exit
}
if [[ -n $only ]]; then
    printf '%s\n' "${names[@]}" | grep -qxF -- "$only" || {
        echo "no mutant $only; see --list" >&2
        exit 2
    }
    names=("$only")
fi
((${#names[@]} > 0)) || {
    echo "there are no mutants" >&2
    exit 2
}

# What git knows or would take, as it is now. Each file is new to cargo: it goes by their times, and the last build here
# may have been one with a mutant.
rm -rf "$source" "$copy"
mkdir -p "$source"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do if [[ -f $file ]]; then printf '%s\0' "$file"; fi; done |
    tar --null --files-from=- --create --file=- | tar --extract --touch --file=- --directory="$source"
cp -r "$source" "$copy"

# The tests of the table come first: they catch most, and leave the engine's unbuilt.
targets=(--lib "--test engine_races")

# Builds the tests $2 of the copy, for the mutant $1, and prints the program.
build() {
    local log=$logs/$1.build
    # The scheduler is worth optimizing, as it is built once.
    # shellcheck disable=SC2086
    (cd "$copy" && cargo test -p accelerator-proofs $2 --no-run \
        --config 'profile.dev.package."*".opt-level=2' --message-format=json-render-diagnostics) 2>"$log" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' || {
        cat "$log" >&2
        echo "$1: does not compile" >&2
        return 1
    }
}

# Whether all tests of the copy pass in time; $1: the mutant in it.
passes() {
    local log=$logs/$1.run target program status=0
    : >"$log"
    for target in "${targets[@]}"; do
        # More than one line: the program of the package that its own tests may run.
        program=$(build "$1" "$target") || exit 2
        program=${program##*$'\n'}
        (cd "$copy/proofs" && timeout --kill-after=5 "$seconds" "$program") >>"$log" 2>&1 || status=$?
        ((status == 0)) || return 1
    done
}

# Whether the model of the bus keeps its promises in the copy; $1: the mutant in it.
model_passes() {
    (cd "$copy" && cargo build --quiet --release --package accelerator-proofs --bin bus_model) 2>"$logs/$1.build" || {
        cat "$logs/$1.build" >&2
        echo "$1: does not compile" >&2
        exit 2
    }
    timeout --kill-after=5 "$seconds" "$folder/release/bus_model" --small >"$logs/$1.run" 2>&1
}

# What failed, for the report.
catchers() {
    sed -n '/^broken: /{s//the model: /p;q}' "$logs/$1.run"
    sed -n 's/^test \(runner::\)\{0,1\}\([a-z0-9_:]*\) .*FAILED$/\2/p' "$logs/$1.run" | sort -u |
        awk 'NR <= 2 { printf "%s%s", sep, $0; sep = ", " } END { if (NR > 2) printf " and %d more", NR - 2 }'
}

passes none || {
    cat "$logs/none.run" >&2
    echo "the proofs fail without a mutant" >&2
    exit 1
}
model_passes none || {
    cat "$logs/none.run" >&2
    echo "the model of the bus fails without a mutant" >&2
    exit 1
}
printf '%-32s passes\n' '(none)'
"$folder/release/bus_model" --weak >"$logs/model.run" || {
    cat "$logs/model.run" >&2
    exit 1
}
printf '%-32s %s\n' '(options of the model)' "$(tail -n 1 "$logs/model.run")"

killed=0
for name in "${names[@]}"; do
    changed=$("$mutate" apply "$name" "$source" "$copy") || {
        echo "$name: does not fit" >&2
        exit 2
    }
    of=passes
    grep -qv '^accelerator-core/src/level/bus/' <<<"$changed" || of=model_passes
    if "$of" "$name"; then
        printf '%-32s SURVIVES\n' "$name"
    else
        killed=$((killed + 1))
        by=$(catchers "$name")
        printf '%-32s killed by %s\n' "$name" "${by:-the time limit}"
    fi
    while IFS= read -r file; do cp "$source/$file" "$copy/$file"; done <<<"$changed"
done

echo "killed $killed/${#names[@]}"
((killed == ${#names[@]}))
