#!/bin/bash
# seconds: 300
# The same work on old brokers: 2.1.1 and 2.8.2 with ZooKeeper, 3.9.2 without.
. "$(dirname "$0")/lib.sh"
port=${KAFIBER_TEST_PORT:-18192}

# In the environment of one old cluster, started by `tools/kafka with`.
if [ "${1:-}" = one ]; then
    topic=$unique-$2
    create "$topic" 4 1
    peer Produce "$bootstrap" "$topic" 4000 partitions=4 compression.type=gzip headers=yes >/dev/null
    start_member a "$topic" "$topic" fail=2 handler.retry.backoff.ms=20
    first=$pid
    eventually 60 at_least 'done' 4000
    start_member b "$topic" "$topic" fail=2 handler.retry.backoff.ms=20
    second=$pid
    eventually 60 grep -q ' assigned ' "$work/b.journal"
    peer Produce "$bootstrap" "$topic" 4000 partitions=4 start=4000 >/dev/null
    eventually 60 at_least 'done' 8000
    eventually 30 everything "$topic" "$topic"
    stop_member "$first"
    stop_member "$second"
    same "records handled twice on $2" 0 "$(repeated 'done')"
    echo "Kafka $2: 8000 records handled once"
    exit 0
fi

for version in ${KAFIBER_OLD_VERSIONS:-2.1.1 2.8.2 3.9.2}; do
    "$root/tools/kafka" with --version "$version" --port "$port" --dir "$work/$version" -- \
        "$0" one "$version"
done
