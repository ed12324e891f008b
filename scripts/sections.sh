# shellcheck shell=bash
# Sourced by the scripts that the gate consists of: names their sections, and says at the end where the time went.
#
#   section NAME     ends the section before, begins one, prints its name as a heading
#   sections_end     ends the last one; the outermost script prints the table
#
# The table has two columns: seconds that passed, and seconds of the processors (user and system, of all programs that a
# section ran and waited for). The second says little about a busy machine; compare by it.

# Whoever is first makes the file and prints it; scripts that it calls add to it.
if [[ -z ${ACCELERATOR_SECTIONS:-} ]]; then
    ACCELERATOR_SECTIONS=$(mktemp)
    export ACCELERATOR_SECTIONS
    sections_own=1
else
    sections_own=
fi
section_name=

# Processor time of the children that were waited for, in hundredths of a second, to $section_cpu. `times` knows it of the
# shell that runs it alone, so its output takes the way through a file.
section_clock() {
    local line
    times >"$ACCELERATOR_SECTIONS.times"
    { read -r line && read -r line; } <"$ACCELERATOR_SECTIONS.times"
    section_cpu=$(awk -F '[ms ]+' '{ printf "%d", ($1 * 60 + $2 + $3 * 60 + $4) * 100 }' <<<"$line")
}

section_close() {
    [[ -n $section_name ]] || return 0
    local before=$section_began_cpu
    section_clock
    printf '%s\t%d\t%d\n' "$section_name" $((SECONDS - section_began)) $((section_cpu - before)) >>"$ACCELERATOR_SECTIONS"
    section_name=
}

section() {
    section_close
    printf '\n== %s\n' "$*"
    section_name=$*
    section_began=$SECONDS
    section_clock
    section_began_cpu=$section_cpu
}

sections_end() {
    section_close
    [[ -n $sections_own ]] || return 0
    awk -F '\t' '
        function row(name, wall, cpu) { printf "%-76s %7d %9d\n", name, wall, cpu }
        BEGIN { printf "\n%-76s %7s %9s\n", "section", "seconds", "processor" }
        { row($1, $2, $3 / 100); wall += $2; cpu += $3 / 100 }
        END { row("together", wall, cpu) }
    ' "$ACCELERATOR_SECTIONS"
    rm -f "$ACCELERATOR_SECTIONS" "$ACCELERATOR_SECTIONS.times"
}
