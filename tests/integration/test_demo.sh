#!/bin/bash
# seconds: 120
# What the README promises of tools/demo: it ends by itself within 30 s, with nothing lost; on the
# embedded broker and on real Kafka, where it leaves nothing behind.
. "$(dirname "$0")/lib.sh"

# demo ARGUMENT...: its exit code and its account
demo() {
    local start=$SECONDS status=0
    "$kf" demo "$@" >"$work/out" 2>"$work/err" || status=$?
    cat "$work/out" "$work/err"
    same "exit" 0 $status
    [ $((SECONDS - start)) -le 30 ] || fail "it took $((SECONDS - start)) s"
    same "stored, handled, lost" "100,000 100,000 0" \
        "$(awk '/orders stored/ {s = $3} /^ +handled  / {h = $2} /^ +lost/ {l = $2} END {print s, h, l}' "$work/out")"
    grep -q 'killed with SIGKILL$' "$work/out" || fail "nobody was killed"
    grep -q 'drained, committed, left: exit 0' "$work/out" || fail "the survivor did not end cleanly"
}

demo
demo -b "$bootstrap"
same "topics left behind" "" "$("$kf" topic list -b "$bootstrap" | grep kafiber-demo || true)"
same "groups left behind" "" "$("$kf" group list -b "$bootstrap" | grep kafiber-demo || true)"
