#!/bin/bash
# seconds: 240
# A partition whose handler is slow or blocks delays no other, and costs nobody's membership.
. "$(dirname "$0")/lib.sh"

# handled TOPIC PARTITION: how many records of all others than PARTITION are done
others() { journals | awk -v t="$1" -v p="$2" '$2 == "done" && $3 == t && $4 != p' | wc -l; }

# 1,200 records a second for 20 s, a twelfth of them to a partition that takes 200 ms for each
topic=$unique-slow
create "$topic" 12
start_member slow "$topic" "$topic" slow=0:200
eventually 30 owned_once "$topic" 12 "$work/slow.journal"
peer Produce "$bootstrap" "$topic" 24000 rate=1200 partitions=12 >/dev/null
done_elsewhere=$(others "$topic" 0)
echo "the other 11 partitions: $done_elsewhere of 22000 handled when the last was acknowledged"
[ "$done_elsewhere" -ge 21560 ] || fail "less than 98 %"
stop_member "$pid"

# blocked for 60 s under a session timeout of 10 s
topic=$unique-blocked
create "$topic" 12
start_member blocked "$topic" "$topic" slow=3:60000 session.timeout.ms=10000
eventually 30 owned_once "$topic" 12 "$work/blocked.journal"
peer Produce "$bootstrap" "$topic" 12 partitions=12 >/dev/null
peer Produce "$bootstrap" "$topic" 24000 rate=500 partitions=12 >/dev/null
same "records of the others handled while one is blocked" 22011 "$(sleep 1; others "$topic" 3)"
eventually 30 at_least 'done' 22012
same "changes of ownership" 12 "$(grep -cE ' (assigned|revoked|lost) ' "$work/blocked.journal")"
kill -KILL "$pid"
