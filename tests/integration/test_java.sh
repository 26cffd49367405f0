#!/bin/bash
# seconds: 240
# A group shared with Java's own consumer: each partition has one owner, all records are handled,
# through joins and leaves of both kinds.
. "$(dirname "$0")/lib.sh"

for assignor in range cooperative-sticky; do
    topic=$unique-$assignor
    create "$topic" 6
    rm -f "$work"/*.journal "$work"/java*
    start_member ours1 "$topic" "$topic" partition.assignment.strategy=$assignor
    ours1=$pid
    start_peer "$work/java1" Member "$bootstrap" "$topic" "$topic" $assignor
    java1=$pid
    eventually 60 grep -q 'assigned .' "$work/java1"
    start_member ours2 "$topic" "$topic" partition.assignment.strategy=$assignor
    ours2=$pid
    eventually 60 grep -q ' assigned ' "$work/ours2.journal"
    start_peer "$work/java2" Member "$bootstrap" "$topic" "$topic" $assignor
    java2=$pid
    eventually 60 grep -q 'assigned .' "$work/java2"
    all=("$work/ours1.journal" "$work/ours2.journal" "$work/java1" "$work/java2")
    eventually 60 owned_once "$topic" 6 "${all[@]}"

    peer Produce "$bootstrap" "$topic" 6000 partitions=6 rate=1000 >/dev/null
    eventually 60 everything "$topic" "$topic"
    kill -TERM $java1
    stop_member "$ours1"
    wait $java1 || true
    peer Produce "$bootstrap" "$topic" 6000 partitions=6 start=6000 rate=1000 >/dev/null
    eventually 60 everything "$topic" "$topic"
    eventually 60 owned_once "$topic" 6 "${all[@]}"

    handled=$({ journals | awk '$2 == "done" {print $4, $5}'; awk '$1 == "record" {print $3, $4}' "$work"/java?; } | sort | uniq -c)
    same "records handled under $assignor" 12000 "$(wc -l <<<"$handled")"
    echo "$assignor: 12000 records, $(awk '$1 > 1' <<<"$handled" | wc -l) of them twice," \
        "$(journals | grep -c ' done ') by ours"
    stop_member "$ours2"
    kill -TERM $java2
    wait $java2 || true
done
