#!/bin/bash
# seconds: 120
# Java's consumer with group.protocol=consumer against kf broker: subscriptions by list and by
# pattern, two members that share, static members, commits, and a classic member beside a new one.
. "$(dirname "$0")/lib.sh"

port=${KAFIBER_TEST_PORT:-18292}
bootstrap=127.0.0.1:$port
"$kf" broker --listen "$bootstrap" --topic "orders:4:1" --topic "other:1:1" \
    --config group.consumer.heartbeat.interval.ms=200 --config group.consumer.assignment.interval.ms=0 >"$work/broker" &
eventually 10 test -s "$work/broker"

# owns WANTED FILE...: the partitions that these members say they have now, in one sorted line
owns() {
    local wanted=$1 got
    shift
    got=$(for file in "$@"; do
        awk '$1 == "assigned" { for (i = 2; i <= NF; i++) has[$i] = 1 }
             $1 == "revoked" || $1 == "lost" { for (i = 2; i <= NF; i++) delete has[$i] }
             END { for (name in has) print name }' "$file"
    done | sort | paste -sd' ')
    [ "$got" = "$wanted" ]
}
all="orders-0 orders-1 orders-2 orders-3"
describe() { "$kf" call ConsumerGroupDescribe --version 1 -b "$bootstrap" "{\"groupIds\":[\"$1\"],\"includeAuthorizedOperations\":false}" | tr -d ' \n'; }
told() { describe "$1" | grep -q "$2"; }

# One by list, one by pattern, one that stays the same for the group when it comes back.
start_peer "$work/list" Member "$bootstrap" g orders consumer
list=$pid
eventually 20 owns "$all" "$work/list"
start_peer "$work/pattern" Member "$bootstrap" g '~ord.*|none' consumer group.instance.id=one
pattern=$pid
eventually 20 told g '"groupState":"Stable","groupEpoch":[3-9].*"instanceId":"one".*"subscribedTopicRegex":"ord\.\*|none"'
eventually 20 owns "$all" "$work/list" "$work/pattern"
same "partitions of the first" 2 "$(tr ' ' '\n' < <(grep -h assigned "$work/pattern" | tail -1) | grep -c orders)"
peer Produce "$bootstrap" orders 400 partitions=4 >/dev/null
handled() { [ "$(cat "$@" | awk '$1 == "record" {print $3, $4}' | sort -u | wc -l)" = "$wanted" ]; }
wanted=400
eventually 20 handled "$work/list" "$work/pattern"

# A static member goes for a while: its place is kept, and nobody gets its partitions.
epoch=$(describe g | grep -o '"groupEpoch":[0-9]*')
kill -TERM "$pattern"
wait "$pattern" || true
eventually 10 told g '"memberEpoch":-2'
start_peer "$work/again" Member "$bootstrap" g '~ord.*|none' consumer group.instance.id=one
again=$pid
eventually 20 owns "$all" "$work/list" "$work/again"
same "the group epoch" "$epoch" "$(describe g | grep -o '"groupEpoch":[0-9]*')"
kill -TERM "$again" "$list"
wait "$again" "$list" || true
for partition in 0 1 2 3; do
    "$kf" call OffsetFetch --version 9 -b "$bootstrap" "{\"groups\":[{\"groupId\":\"g\",\"memberId\":null,\"memberEpoch\":-1,\"topics\":[{\"name\":\"orders\",\"partitionIndexes\":[$partition]}]}],\"requireStable\":false}" |
        tr -d ' \n' | grep -q '"committedOffset":100' || fail "partition $partition is not committed at 100"
done

# A classic group takes a new member in, and is classic again when that has left.
start_peer "$work/classic" Member "$bootstrap" mixed orders range
classic=$pid
eventually 20 owns "$all" "$work/classic"
start_peer "$work/new" Member "$bootstrap" mixed orders consumer
new=$pid
eventually 30 told mixed '"memberType":0.*"memberType":1\|"memberType":1.*"memberType":0'
eventually 30 told mixed '"groupState":"Stable"'
eventually 20 owns "$all" "$work/classic" "$work/new"
kill -TERM "$new"
wait "$new" || true
eventually 20 owns "$all" "$work/classic"
same "the kind of the group" classic "$("$kf" call ListGroups --version 5 -b "$bootstrap" '{"statesFilter":[],"typesFilter":[]}' |
    tr -d ' \n' | grep -o '"groupId":"mixed"[^}]*' | grep -o '"groupType":"[a-z]*' | cut -d'"' -f4)"
kill -TERM "$classic"
wait "$classic" || true
echo "lists, patterns, static members and both protocols in a group: Java agrees"
