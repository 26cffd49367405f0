#!/bin/bash
# seconds: 300
# Ten joins and leaves under load with a handler of 20 ms: nothing is handled twice, since a
# partition is drained and committed before it is given up. SIGTERM under load: exit 0.
. "$(dirname "$0")/lib.sh"
topic=$unique
create "$topic" 12

start_peer /dev/null Produce "$bootstrap" "$topic" 30000 rate=400 partitions=12
producer=$pid
start_member first "$topic" "$topic" sleep=20
first=$pid
eventually 30 at_least 'done' 50
for n in $(seq 5); do
    start_member "other$n" "$topic" "$topic" sleep=20
    other=$pid
    sleep 4
    stop_member "$other"
    sleep 2
done
stop_member "$first"
same "records handled twice in ten rebalances" 0 "$(repeated begin)"

start_member second "$topic" "$topic" sleep=20
wait $producer
eventually 120 at_least 'done' 30000
same "records handled twice after a restart" 0 "$(repeated begin)"
stop_member "$pid"
everything "$topic" "$topic" || fail "the last commit is missing"

# After a partition was revoked none of its records is handled before it is assigned again.
for journal in "$work"/*.journal; do
    late=$(awk '$2 == "assigned" { own[$4] = 1 } $2 == "revoked" || $2 == "lost" { own[$4] = 0 }
                ($2 == "begin" || $2 == "done") && !own[$4]' "$journal" | wc -l)
    same "records handled without owning their partition ($journal)" 0 "$late"
done
