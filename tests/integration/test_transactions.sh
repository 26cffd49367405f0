#!/bin/bash
# seconds: 60
# Java's transactional producer and who reads committed: against our broker and a real one, the same
# course brings the same lines.
. "$(dirname "$0")/lib.sh"

ours=127.0.0.1:${KAFIBER_TEST_PORT:-18192}
"$kf" broker --listen "$ours" >"$work/broker" &
eventually 10 test -s "$work/broker"

# Beside each other: both mostly wait.
start_peer "$work/real.txt" Transact "$bootstrap" "$unique"
peer Transact "$ours" "$unique" >"$work/ours.txt"
wait "$pid"
diff "$work/real.txt" "$work/ours.txt" || fail "our broker's course is another one"
same "lines of the course" 12 "$(wc -l <"$work/ours.txt")"
cat "$work/ours.txt"

# librdkafka adds partitions itself (the protocol's first version).
if command -v kcat >/dev/null; then
    seq 1000 | kcat -P -b "$ours" -t "$unique" -X transactional.id="$unique" 2>"$work/kcat.log"
    same "records of kcat's transaction" 1000 \
        "$(kcat -C -e -q -b "$ours" -t "$unique" -X isolation.level=read_committed | wc -l)"
fi
