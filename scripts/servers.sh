#!/usr/bin/env bash
# Makes sure that the servers are there which tests start: redis-server, memcached and nats-server.
#
#   ./scripts/servers.sh
#
# As root it installs what is missing from Debian's packages; else it says what to run. Tests start servers of their own
# on free ports: it doesn't matter whether the packages have started one, on its usual port.
#
#   ACCELERATOR_SKIP_SERVERS=1   go on without what is missing: tests that need it are skipped, and say so
#
# Exit: 0 all there, or skipped; 1 something is missing.
set -euo pipefail

missing() {
    local program
    for program in redis-server memcached nats-server; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

mapfile -t packages < <(missing)
((${#packages[@]} > 0)) || exit 0

if [[ ${ACCELERATOR_SKIP_SERVERS:-} == 1 ]]; then
    echo "SKIPPED: all tests that need ${packages[*]}, not installed (ACCELERATOR_SKIP_SERVERS=1)"
    exit 0
fi

install="apt-get install --yes --no-install-recommends ${packages[*]}"
if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    echo "installing ${packages[*]} from the packages of the system"
    export DEBIAN_FRONTEND=noninteractive
    # The lists of a fresh machine are empty or old.
    $install -qq >/dev/null 2>&1 || {
        apt-get update -qq
        $install -qq >/dev/null
    }
    mapfile -t packages < <(missing)
    ((${#packages[@]} > 0)) || exit 0
fi

echo "error: ${packages[*]} not found, and tests start them. On Debian, as root:" >&2
echo "    apt-get update && $install" >&2
echo "Without them: ACCELERATOR_SKIP_SERVERS=1 skips the tests that need them." >&2
exit 1
