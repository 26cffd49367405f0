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

# What a test started in the background ends with it, whatever happens; what else it has to clear
# away stands in a clean_up of its own. Its verdict stays what it was.
clean_up() { :; }
at_end() {
    local status=$? pid
    trap - EXIT
    clean_up || true
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
# start_peer FILE CLASS ARGUMENT...: in the background; $pid is the Java process itself, so that a
# signal reaches it
start_peer() {
    local file=$1
    shift
    "$root/tools/kafka" java "$@" >"$file" &
    pid=$!
}
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

# ---- members of ours, and what their journals say ------------------------------------------------

member=${KAFIBER_MEMBER:-$build/tests/integration_member}
[ -x "$member" ] || fail "no $member: where is the build? (KAFIBER_BUILD)"

# start_member NAME GROUP TOPIC [KEY=VALUE]...: in the background; its process id is in $pid
start_member() {
    local name=$1 group=$2 topic=$3
    shift 3
    : >>"$work/$name.journal"
    "$member" "$bootstrap" "$group" "$topic" "$work/$name.journal" "$@" 2>>"$work/$name.log" &
    pid=$!
}

# stop_member PID [SECONDS]: SIGTERM, and exit 0 within the time
stop_member() {
    local status=0 deadline=$((SECONDS + ${2:-35}))
    kill -TERM "$1"
    while kill -0 "$1" 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || fail "a member did not end within ${2:-35} s of SIGTERM"
        sleep 0.1
    done
    wait "$1" || status=$?
    same "exit after SIGTERM" 0 $status
}

journals() { cat "$work"/*.journal 2>/dev/null || true; }
# times WORD: how often each record stands in the journals: "COUNT TOPIC PARTITION OFFSET"
times() {
    journals | awk -v word="$1" '$2 == word { n[$3 " " $4 " " $5]++ } END { for (r in n) print n[r], r }'
}
distinct() { times "$1" | wc -l; }
repeated() { times "$1" | awk '$1 > 1' | wc -l; }
at_least() { [ "$(distinct "$1")" -ge "$2" ]; }
# everything GROUP TOPIC: whether the group has committed to the end
everything() {
    local ends committed
    ends=$(peer Cluster "$bootstrap" ends "$2" | awk '$3 > 0 {print $1, $3}')
    committed=$(peer Cluster "$bootstrap" committed "$1" | awk -v t="$2" '$1 == t && $3 > 0 {print $2, $3}')
    [ "$(sort <<<"$ends")" = "$(sort <<<"$committed")" ]
}
# owned_once TOPIC PARTITIONS FILE...: by "assigned", "revoked", "lost" lines each partition is
# held once; a Java peer's output counts as well
owned_once() {
    local topic=$1 partitions=$2
    shift 2
    [ "$(owners "$topic" "$@")" = "$(seq 0 $((partitions - 1)) | sed 's/$/ 1/')" ]
}
owners() {
    local topic=$1
    shift
    cat "$@" | awk -v t="$topic" '
        function hold(p, by) { held[p] += by }
        $2 ~ /^(assigned|revoked|lost)$/ && $3 == t { hold($4, $2 == "assigned" ? 1 : -1) }
        $1 ~ /^(assigned|revoked|lost)$/ {
            for (i = 2; i <= NF; i++) {
                p = $i; sub(/.*-/, "", p)
                if ($i == t "-" p) hold(p, $1 == "assigned" ? 1 : -1)
            } }
        END { for (p in held) if (held[p]) print p, held[p] }' | sort -n
}
