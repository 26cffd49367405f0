#!/bin/bash
# seconds: 120
# What Java's clients and librdkafka really send, captured and decoded: every frame without one
# byte left over. Skipped where nothing can capture on the loopback interface.
. "$(dirname "$0")/lib.sh"

capture=$work/session.pcapng
# start_capture FILE: by whatever may; $capturer is its process
start_capture() {
    local filter
    filter=$(tr ',' '\n' <<<"$bootstrap" | sed 's/.*:/tcp port /' | paste -sd, | sed 's/,/ or /g')
    if command -v tshark >/dev/null; then
        tshark -q -i lo -f "$filter" -w "$1" 2>"$work/capture.log" &
    elif command -v tcpdump >/dev/null; then
        tcpdump -i lo -U -B 8192 -w "$1" "$filter" 2>"$work/capture.log" &
    else
        echo "skipped: neither tshark nor tcpdump is here"
        exit 0
    fi
    capturer=$!
    for _ in $(seq 50); do
        sleep 0.2
        ! grep -qi 'capture started\|listening on\|Capturing on' "$work/capture.log" || break
    done
    sleep 0.5
    if ! kill -0 $capturer 2>/dev/null; then
        echo "skipped: no capturing here: $(tail -n 1 "$work/capture.log")"
        exit 0
    fi
}
stop_capture() {
    sleep 1
    kill -INT $capturer
    wait $capturer || true
}

# decodes NAME FILE WANTED...: no problem, no byte left, and each of these messages is there
decodes() {
    local name=$1 file=$2 wanted
    shift 2
    "$kf" decode "$file" >"$work/$name.txt" 2>"$work/$name.err" ||
        fail "$name: $(cat "$work/$name.err"); $(grep -m 3 '!!' "$work/$name.txt")"
    ! grep -q '!!' "$work/$name.txt" || fail "$name: problems, yet exit 0"
    for wanted in "$@"; do
        grep -q -- "$wanted" "$work/$name.txt" || fail "$name: no $wanted"
    done
    "$kf" decode --json "$file" >"$work/$name.json" 2>/dev/null || fail "$name: --json"
    same "$name: frames in JSON" "$(grep -c '^── frame' "$work/$name.txt")" \
        "$(grep -c '"message":{' "$work/$name.json")"
    same "$name: undecoded in JSON" 0 "$(grep -c undecoded "$work/$name.json" || true)"
    echo "$name: $(wc -l <"$work/$name.json") frames, $(stat -c %s "$file") bytes of capture, 0 not decoded"
}

create "$unique" 3
start_capture "$capture"
for codec in none gzip snappy lz4 zstd; do
    peer Produce "$bootstrap" "$unique" 60 partitions=3 compression.type=$codec headers=yes nulls=yes \
        >/dev/null
done
peer Produce "$bootstrap" "$unique" 300 partitions=3 "transactional.id=$unique" abort=2 >/dev/null
peer Member "$bootstrap" "$unique" "$unique" cooperative-sticky,range records=300 >/dev/null
peer Member "$bootstrap" "$unique-848" "$unique" consumer records=300 >/dev/null
stop_capture
decodes java "$capture" 'Produce v1[3-9] request' 'Fetch v1[8-9] response' 'JoinGroup v9 response' \
    ConsumerProtocolSubscription ConsumerProtocolAssignment 'ConsumerGroupHeartbeat v' \
    ' of gzip, decompressed ' ' of snappy, decompressed ' ' of lz4, decompressed ' \
    ' of zstd, decompressed ' '0 ABORT' '1 COMMIT' '"index"'

if ! command -v kcat >/dev/null; then
    echo "librdkafka left out: kcat is not here"
    exit 0
fi
# A topic that it reads to its end: who leaves earlier leaves half an answer on the wire.
create "$unique-kcat" 3
start_capture "$capture"
for codec in none gzip snappy lz4 zstd; do
    seq 200 | kcat -b "$bootstrap" -t "$unique-kcat" -P -z $codec -H from=kcat
done
timeout 30 kcat -b "$bootstrap" -G "$unique-kcat" -c 1000 -q \
    -X auto.offset.reset=earliest "$unique-kcat" >"$work/kcat.txt"
same "what kcat read" 1000 "$(wc -l <"$work/kcat.txt")"
stop_capture
decodes librdkafka "$capture" 'Produce v[0-9]* request' 'Fetch v[0-9]* response' \
    'SyncGroup v[0-9]* response' ConsumerProtocolAssignment ' of zstd, decompressed '
