# Sourced by tests/integration/test_*.sh: the cluster, the peers, and what every test does with them.
#
#   KAFIBER_TEST_BOOTSTRAP  the brokers          KAFIBER_TEST_CLUSTER  their directory, for `node`
#   KAFIBER_TEST_PORT       ports of one's own   KAFIBER_BUILD         kf and the test programs
#
# By hand: tools/kafka with --nodes 3 -- tests/integration/test_NAME.sh (a build in build-dev).
# shellcheck shell=bash
set -eu -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${KAFIBER_TEST_BOOTSTRAP:?start a cluster: tools/kafka with --nodes 3 -- $0}"
bootstrap=$KAFIBER_TEST_BOOTSTRAP
build=${KAFIBER_BUILD:-$root/build-dev}
kf=$build/tools/kf/kf
work=$(mktemp -d "${TMPDIR:-/tmp}/kafiber-test.XXXXXX")
# A topic and a group that no other test and no earlier run has.
unique=$(basename "$0" .sh | sed s/^test_//)-$$-$RANDOM

# What a test started in the background ends with it, whatever happens.
at_end() {
    local status=$? pid
    trap - EXIT
    for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    if [ $status = 0 ]; then rm -rf "$work"; else echo "left for a look: $work"; fi
    exit $status
}
trap at_end EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAILED: $*"
    exit 1
}

# peer CLASS ARGUMENT...: a Java program of tests/integration/peers
peer() { "$root/tools/kafka" java "$@"; }
# node kill|restart|pause|resume N
node() { "$root/tools/kafka" "$1" "$2" --dir "$KAFIBER_TEST_CLUSTER"; }
# create TOPIC PARTITIONS [REPLICAS [KEY=VALUE]...]
create() {
    local topic=$1 partitions=$2 replicas=${3:-$(tr ',' '\n' <<<"$bootstrap" | wc -l)}
    shift $(($# > 3 ? 3 : $#))
    peer Cluster "$bootstrap" create "$topic" "$partitions" "$replicas" "$@"
}

# eventually SECONDS COMMAND...: until it succeeds
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "not within the time: $*"
        sleep 0.2
    done
}

# same WHAT WANTED GOT
same() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }
