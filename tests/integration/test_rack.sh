#!/bin/bash
# seconds: 120
# With client.rack set and a broker that selects replicas by rack, records come from the replica in
# the same rack (KIP-392), not from the leaders.
. "$(dirname "$0")/lib.sh"
command -v ss >/dev/null || { echo "skipped: no ss (package iproute2)"; exit 0; }

own=$work/cluster
bootstrap=$("$root/tools/kafka" start --nodes 3 --port "${KAFIBER_TEST_PORT:-22500}" --dir "$own" \
    --set replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector)
clean_up() { "$root/tools/kafka" stop --now --remove --dir "$own"; }

topic=$unique
create "$topic" 3 3
peer Produce "$bootstrap" "$topic" 20000 partitions=3 size=1000 >/dev/null
start_member only "$topic" "$topic" client.rack=r2
eventually 60 at_least 'done' 20000

# received PORT: bytes that the member has had from the broker on that port
received() {
    ss -Htnpi "dport = :$1" | grep -A1 "pid=$pid," | grep -o 'bytes_received:[0-9]*' |
        cut -d: -f2 | awk '{sum += $1} END {print sum + 0}'
}
for n in 1 2 3; do
    port=$(cut -d, -f$n <<<"$bootstrap" | cut -d: -f2)
    bytes=$(received "$port")
    echo "from the broker in rack r$n: $bytes bytes"
    if [ $n = 2 ]; then
        [ "$bytes" -gt 20000000 ] || fail "the replica in the rack was not used"
    else
        [ "$bytes" -lt 2000000 ] || fail "records came from another rack"
    fi
done
stop_member "$pid"

# ---- records without a key stay in the rack too, where asked (KIP-1123) ----

create "$topic-out" 6 1
own_leaders=$("$kf" topic describe "$topic-out" -b "$bootstrap" | awk -v t="$topic-out" '$1 == t && $3 == 2 { print $2 }')
partitions=$(seq 600 | "$kf" produce "$topic-out" -b "$bootstrap" --report -X client.rack=r2 \
    -X partitioner.rack.aware=true -X batch.size=0 | cut -d' ' -f1 | sort -nu)
same "partitions that got records" "$(sort -n <<<"$own_leaders")" "$partitions"
