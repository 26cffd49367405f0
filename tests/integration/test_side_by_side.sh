#!/bin/bash
# seconds: 120
# Scripted exchanges, side by side: what a real broker of one node answers to the requests of
# side_by_side/*.tsv, in every version, ours answers: side_by_side.py. What may differ is written in
# docs/broker-apis.md.
. "$(dirname "$0")/lib.sh"

port=${KAFIBER_TEST_PORT:-18192}
real=127.0.0.1:$port ours=127.0.0.1:$((port + 10))
at_exit() { "$root/tools/kafka" stop --now --remove --dir "$work/kafka" >/dev/null 2>&1 || true; }
trap 'at_exit; at_end' EXIT

"$kf" broker --listen "$ours" --racks r1 --config transaction.state.log.num.partitions=4 \
    --config transaction.state.log.min.isr=1 >"$work/broker" &
"$root/tools/kafka" start --nodes 1 --port "$port" --dir "$work/kafka" --set offsets.topic.num.partitions=50 \
    --set group.min.session.timeout.ms=6000 --set auto.create.topics.enable=true >/dev/null
eventually 10 test -s "$work/broker"
python3 "$root/tests/integration/side_by_side.py" "$kf" "$real" "$ours" "$unique" \
    "$root"/tests/integration/side_by_side/*.tsv || fail "ours (+) answers otherwise than Kafka (-)"
