#!/bin/bash
# seconds: 300
# Scripted exchanges, side by side: what a real broker of one node answers to the requests of
# side_by_side/*.tsv, in every version, ours answers: side_by_side.py. What may differ is written in
# docs/broker-apis.md.
#
# Both are asked by the clock of the machine: where it stands still for a while, a session of one of
# them ends. So another answer counts when it comes in each of three runs.
. "$(dirname "$0")/lib.sh"

port=${KAFIBER_TEST_PORT:-18192}
real=127.0.0.1:$port ours=127.0.0.1:$((port + 10))
stop_real() { "$root/tools/kafka" stop --now --remove --dir "$work/kafka" >/dev/null 2>&1; }
clean_up() { stop_real; }

compare() { # RUN
    rm -f "$work/broker"
    "$kf" broker --listen "$ours" --racks r1 --config transaction.state.log.num.partitions=4 \
        --config transaction.state.log.min.isr=1 >"$work/broker" &
    local broker=$! status=0
    "$root/tools/kafka" start --nodes 1 --port "$port" --dir "$work/kafka" --set offsets.topic.num.partitions=50 \
        --set group.min.session.timeout.ms=6000 --set auto.create.topics.enable=true >/dev/null
    eventually 10 test -s "$work/broker"
    python3 "$root/tests/integration/side_by_side.py" "$kf" "$real" "$ours" "$unique-$1" \
        "$root"/tests/integration/side_by_side/*.tsv || status=$?
    kill "$broker"
    wait "$broker" || true
    stop_real || true
    return $status
}

for run in 1 2 3; do
    compare $run && exit
done
fail "ours (+) answers otherwise than Kafka (-)"
