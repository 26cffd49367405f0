#!/bin/sh
# kcat (librdkafka) against the embedded broker: metadata, produce, consume, a group.
# usage: test_kcat.sh KF   (the kf program). Exit 77: kcat is missing.
set -eu
kf=${1:?usage: test_kcat.sh KF}
command -v kcat >/dev/null || exit 77
work=$(mktemp -d)
pid=
trap 'test -z "$pid" || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

fail() { echo "test_kcat: $*" >&2; cat "$work"/*.err >&2; exit 1; }

"$kf" broker --listen 127.0.0.1:0 --nodes 3 --topic orders:6:2 --journal "$work/journal" \
    >"$work/broker.out" 2>"$work/broker.err" &
pid=$!
for _ in $(seq 200); do
    test -s "$work/broker.out" && break
    sleep 0.1
done
at=$(sed -n 's/.*"bootstrap":"\([^"]*\)".*/\1/p' "$work/broker.out")
test -n "$at" || fail "the broker does not say where it listens"

kcat -b "$at" -L >"$work/list" 2>"$work/list.err" || fail "metadata"
grep -q ' 3 brokers:' "$work/list" || fail "not 3 brokers"
grep -q 'topic "orders" with 6 partitions' "$work/list" || fail "no topic of 6 partitions"

seq 1000 >"$work/sent"
for codec in none gzip snappy lz4 zstd; do
    : >"$work/got.$codec"
    kcat -b "$at" -P -t "of-$codec" -z "$codec" <"$work/sent" 2>"$work/put.err" ||
        fail "produce with $codec"
    kcat -b "$at" -C -t "of-$codec" -e -q >"$work/got.$codec" 2>"$work/get.err" ||
        fail "consume with $codec"
    cmp -s "$work/sent" "$work/got.$codec" || fail "$codec: not what was sent"
done

kcat -b "$at" -P -t orders -X enable.idempotence=true <"$work/sent" 2>"$work/put.err" ||
    fail "idempotent produce"
timeout 30 kcat -b "$at" -G readers -e -q -X auto.offset.reset=earliest orders \
    >"$work/group" 2>"$work/group.err" || fail "group"
sort -n "$work/group" | cmp -s - "$work/sent" || fail "the group did not read all"
timeout 30 kcat -b "$at" -G readers -e -q -X auto.offset.reset=earliest orders \
    >"$work/again" 2>"$work/group.err" || fail "group again"
test ! -s "$work/again" || fail "committed records came again"
grep -q '"api":"OffsetCommit"' "$work/journal" || fail "no commit in the journal"

# What a Kafka takes from its server.properties, --config takes as well.
"$kf" broker --listen 127.0.0.1:0 --config num.partitions=4 --config log.retention.ms=1000 \
    >"$work/four.out" 2>>"$work/broker.err" &
four=$!
for _ in $(seq 200); do
    test -s "$work/four.out" && break
    sleep 0.1
done
four_at=$(sed -n 's/.*"bootstrap":"\([^"]*\)".*/\1/p' "$work/four.out")
echo made | kcat -b "$four_at" -P -t made 2>"$work/put.err" || { kill $four; fail "produce to a topic made so"; }
kcat -b "$four_at" -L -t made >"$work/made" 2>"$work/list.err" || true
kill $four
grep -q 'topic "made" with 4 partitions' "$work/made" || fail "not 4 partitions by num.partitions"

kill -TERM "$pid"
code=0
wait "$pid" || code=$?
pid=
test "$code" = 0 || fail "exit code $code after SIGTERM"
test ! -s "$work/broker.err" || fail "the broker complained"
