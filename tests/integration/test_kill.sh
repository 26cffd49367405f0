#!/bin/bash
# seconds: 600
# Members are killed with SIGKILL at 20 random moments, a handler fails for 5 % of the offsets. At
# least once: every record has succeeded at least once. At most once: none was handled twice.
. "$(dirname "$0")/lib.sh"
records=100000

# kills GROUP TOPIC [KEY=VALUE]...: three members; a victim's successor starts at once
kills() {
    local group=$1 topic=$2 n victim pids=()
    shift 2
    for n in 0 1 2; do
        start_member "$group-$n" "$group" "$topic" "$@"
        pids[n]=$pid
    done
    eventually 60 at_least begin 100
    for n in $(seq 20); do
        sleep "$((RANDOM % 2)).$((RANDOM % 10))"
        victim=$((RANDOM % 3))
        kill -KILL "${pids[victim]}"
        wait "${pids[victim]}" 2>/dev/null || true
        start_member "$group-$victim" "$group" "$topic" "$@"
        pids[victim]=$pid
    done
    eventually 180 everything "$group" "$topic"
    for n in 0 1 2; do stop_member "${pids[n]}"; done
}

for semantics in at-least-once at-most-once; do
    topic=$unique-$semantics
    rm -f "$work"/*.journal
    create "$topic" 12
    start_peer "$work/produced" Produce "$bootstrap" "$topic" $records rate=3000 size=100 partitions=12
    producer=$pid
    kills "$topic" "$topic" semantics=$semantics fail=5 session.timeout.ms=3000 \
        heartbeat.interval.ms=500 handler.retry.backoff.ms=20
    wait $producer
    same "records produced" "produced $records" "$(tail -n 1 "$work/produced")"
    if [ $semantics = at-least-once ]; then
        same "records that succeeded" $records "$(distinct 'done')"
        echo "at least once: $records records, $(repeated 'done') of them more than once"
    else
        same "records handled twice" 0 "$(repeated begin)"
        echo "at most once: $(distinct begin) of $records records, none twice"
    fi
done
