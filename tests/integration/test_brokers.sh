#!/bin/bash
# seconds: 300
# Brokers are killed with SIGKILL and started again under load, the group's coordinator among them.
# At least once: every record succeeds. At most once: none is handled twice.
. "$(dirname "$0")/lib.sh"
records=20000

for semantics in at-least-once at-most-once; do
    topic=$unique-$semantics
    rm -f "$work"/*.journal
    create "$topic" 12 3 min.insync.replicas=2
    start_peer "$work/produced" Produce "$bootstrap" "$topic" $records rate=700 partitions=12
    producer=$pid
    start_member "$topic-1" "$topic" "$topic" semantics=$semantics fail=1
    first=$pid
    start_member "$topic-2" "$topic" "$topic" semantics=$semantics fail=1
    second=$pid
    eventually 60 at_least begin 100
    for n in 1 2 3; do
        node kill $n
        sleep 2
        node restart $n
        sleep 3
    done
    wait $producer
    same "records produced" "produced $records" "$(tail -n 1 "$work/produced")"
    eventually 120 everything "$topic" "$topic"
    stop_member "$first"
    stop_member "$second"
    if [ $semantics = at-least-once ]; then
        same "records that succeeded" $records "$(distinct 'done')"
        echo "at least once: $records records, $(repeated 'done') of them more than once"
    else
        same "records handled twice" 0 "$(repeated begin)"
        echo "at most once: $(distinct begin) of $records records, none twice"
    fi
done
