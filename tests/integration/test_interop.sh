#!/bin/bash
# seconds: 120
# Records of ours read by Java and librdkafka, and theirs by us and by each other, in all codecs:
# keys, values, headers and timestamps byte for byte, null apart from empty, in order.
#
# tests/integration/test_interop.sh franz: franz-go too (a Go module is fetched).
. "$(dirname "$0")/lib.sh"
codecs="none gzip snappy lz4 zstd"
clients="kafiber java rdkafka"
[ "${1:-}" != franz ] || clients="$clients franz"

kafiber() { "$build/tests/integration_interop" "$@"; }
rdkafka() { "$build/tests/integration_interop_rdkafka" "$@"; }
java() { peer Interop "$@"; }
franz() { "$work/franz" "$@"; }
[ -x "$build/tests/integration_interop_rdkafka" ] || fail "not built: is librdkafka there?"
case $clients in *franz*)
    cp -r "$root/tests/integration/franz" "$work/go"
    (cd "$work/go" && go mod tidy && go build -o "$work/franz" .) 2>"$work/go.log" ||
        fail "franz-go: $(tail -n 3 "$work/go.log")"
    ;;
esac

# ---- 200 records: all combinations of null, empty and bytes, small and large ----

# Half of it is worth compressing: what would not shrink is sent as it is.
b64() { { head -c $((($1 + 1) / 2)) /dev/urandom && head -c $(($1 / 2)) /dev/zero | tr '\0' '\377'; } | base64 -w0; }
some() { # N: null, empty or bytes
    case $(($1 % 3)) in 0) echo - ;; 1) echo = ;; *) b64 $(($1 * 37 % 90 + 1)) ;; esac
}
for i in $(seq 200); do
    case $((i % 5)) in
    0) headers=none ;;
    1) headers="aA==:$(some "$i")" ;;
    2) headers="aA==:$(some $((i / 3))),aA==:-,ZQ==:=" ;;
    3) headers="w7zwn5iA:$(b64 $((i * 7)))" ;;
    *) headers="aA==:$(some $((i / 9))),aQ==:$(b64 3),aA==:$(b64 4),ag==:=" ;;
    esac
    value=$(some $((i / 3)))
    [ $((i % 50)) != 0 ] || value=$(b64 $((i * 100)))
    echo "$((1700000000000 + i * 7919 % 100000)) $(some "$i") $value $headers"
done >"$work/lines"

# ---- each writes its topics ----

topics=()
for client in $clients; do for codec in $codecs; do topics+=("$unique-$client-$codec"); done; done
"$kf" topic create -b "$bootstrap" "${topics[@]}" -p 1 -c retention.ms=-1 >"$work/created"
for client in $clients; do
    targets=()
    for codec in $codecs; do targets+=("$codec=$unique-$client-$codec"); done
    $client write "$bootstrap" "${targets[@]}" <"$work/lines" || fail "$client can't write"
done

# ---- and everybody reads all of them ----

for topic in "${topics[@]}"; do sed "s/^/$topic /" "$work/lines"; done >"$work/wanted"
for client in $clients; do
    $client read "$bootstrap" "${topics[@]}" >"$work/read" || fail "$client can't read"
    cmp -s "$work/wanted" "$work/read" ||
        fail "$client read something else: $(diff "$work/wanted" "$work/read" | head -c 600)"
done

# What a topic of ours holds is compressed: else the codecs were not compared at all.
for codec in gzip snappy lz4 zstd; do
    "$kf" call -b "$bootstrap" Fetch --version 12 "$(printf '{"replicaId":-1,"maxWaitMs":0,"minBytes":0,"maxBytes":100000000,"isolationLevel":0,"sessionId":0,"sessionEpoch":-1,"topics":[{"topic":"%s","partitions":[{"partition":0,"currentLeaderEpoch":-1,"fetchOffset":0,"lastFetchedEpoch":-1,"logStartOffset":-1,"partitionMaxBytes":100000000}]}],"forgottenTopicsData":[],"rackId":""}' "$unique-kafiber-$codec")" \
        >"$work/fetched"
    # 32 characters are 24 bytes: the low byte of a batch's attributes is the 23rd.
    attributes=$(sed 's/.*"records":"\(.\{32\}\).*/\1/' "$work/fetched" | base64 -d | od -An -tu1 -j 22 -N 1)
    [ $((attributes & 7)) != 0 ] || fail "a $codec batch of ours is not compressed"
done
echo "$(wc -w <<<"$clients") clients, $(wc -w <<<"$codecs") codecs, $(wc -l <"$work/lines") records"
