#!/bin/bash
# seconds: 240
# kf produce against real Kafka: what it writes, Java reads, byte for byte and in the partition
# where Java would have put it; the order survives a broker that is killed.
. "$(dirname "$0")/lib.sh"
export KAFIBER_BOOTSTRAP_SERVERS=$bootstrap
brokers=$(tr ',' '\n' <<<"$bootstrap" | wc -l)

# exits CODE COMMAND...: stdin is the caller's; what it says is in $work/out and $work/err
exits() {
    local wanted=$1 got=0
    shift
    "$@" >"$work/out" 2>"$work/err" || got=$?
    [ "$got" = "$wanted" ] || { cat "$work/err" && fail "exit $got instead of $wanted: $*"; }
}
says() { grep -qF -- "$1" "$work/err" || { cat "$work/err" && fail "not said: $1"; }; }

# ---- bytes, keys, headers, timestamps: in every codec, read back by Java ----

# random N: lines of JSON with random keys, values and headers, and beside them what Read says
random() {
    local i key value header
    for i in $(seq "$1"); do
        key=$(head -c $((i % 40 + 1)) /dev/urandom | base64 -w0)
        value=$(head -c $((i * 37 % 3000 + 1)) /dev/urandom | base64 -w0)
        header=$(head -c 9 /dev/urandom | base64 -w0)
        printf '{"timestamp":%d,"key_b64":"%s","value_b64":"%s","headers":[["h",{"b64":"%s"}],["h",null],["e",""]]}\n' \
            $((1700000000000 + i)) "$key" "$value" "$header" >>"$work/random.json"
        echo "$((1700000000000 + i)) $key $value aA==:$header,aA==:-,ZQ==:=" >>"$work/random.expected"
    done
}
random 200
for codec in none gzip snappy lz4 zstd; do
    topic=$unique-$codec
    create "$topic" 6 "$brokers" retention.ms=-1 # records of 2023 would be deleted at any moment
    [ $codec = none ] && codec_option=() || codec_option=(-z $codec)
    exits 0 "$kf" produce "$topic" --json --report "${codec_option[@]}" <"$work/random.json"
    same "reports ($codec)" 200 "$(wc -l <"$work/out")"
    peer Read "$bootstrap" "$topic" >"$work/read" || fail "Java would have put a key elsewhere ($codec)"
    diff <(sort "$work/random.expected") <(cut -d' ' -f2- "$work/read" | sort) >"$work/diff" ||
        fail "Java read something else ($codec): $(head -c 300 "$work/diff")"
done

# ---- a copy is lossless: nulls, empties, repeats, partitions, timestamps ----

topic=$unique-copy
create "$topic" 3 "$brokers" retention.ms=-1
create "$topic-2" 3 "$brokers" retention.ms=-1
cat >"$work/odd.json" <<'END'
{"partition":2,"timestamp":0,"key":null,"value":""}
{"partition":1,"timestamp":1700000000000,"key":"","value":null,"headers":[["h",null],["h",""],["\u00fc\ud83d\ude00",{"b64":"gP8="}]]}
{"partition":0,"timestamp":1,"key_b64":"//79","value":"\u00e9\ud83d\ude00\u0000\"\\\n\t"}
END
exits 0 "$kf" produce "$topic" --json --report <"$work/odd.json"
same "the report" "2 0;1 0;0 0;" "$(tr '\n' ';' <"$work/out")"
"$kf" consume "$topic" -e --json | "$kf" produce "$topic-2" --json
diff <("$kf" consume "$topic" -e --json | sort) \
     <("$kf" consume "$topic-2" -e --json | sed "s/$topic-2/$topic/" | sort) ||
    fail "a copy differs"

# ---- lines ----

topic=$unique-lines
create "$topic" 1
printf 'a:1\nplain\n:2\n\nb:3' | exits 0 "$kf" produce "$topic" -K : -H h=v -H h=w=x --report
same "the report" "0 0;0 1;0 2;0 3;0 4;" "$(tr '\n' ';' <"$work/out")"
same "keys and values" "a=1 null=plain =2 null= b=3" \
    "$("$kf" consume "$topic" -e --json |
        sed 's/.*"key":"\{0,1\}\([a-z]*\)"\{0,1\},"value":"\([^"]*\)".*/\1=\2/' | xargs)"
same "headers" 5 "$("$kf" consume "$topic" -e --json | grep -cF '[["h","v"],["h","w=x"]]')"
echo x | exits 0 "$kf" produce "$topic" -k key -p 0
same "-k" 1 "$("$kf" consume "$topic" -e --json | grep -cF '"key":"key","value":"x"')"
seq 300000 | exits 0 "$kf" produce "$topic" -z lz4 --report
same "reports in input order" "$(seq 6 300005 | md5sum)" "$(cut -d' ' -f2 "$work/out" | md5sum)"
for acks in 0 1 all; do echo "$acks" | exits 0 "$kf" produce "$topic" --acks $acks --report; done

# ---- what goes wrong is named, and the rest is stored ----

printf '{"value":"a"}\nnonsense\n{"value":"x","partition":7}\n{"value":"b"}\n' |
    exits 1 "$kf" produce "$topic" --json --report --timeout 5000
same "reports" 4 "$(wc -l <"$work/out")"
same "records not stored" 2 "$(grep -c '^-1 -1$' "$work/out")"
says "line 2"
says "no partition 7"
head -c 1200000 /dev/zero | tr '\0' v | exits 1 "$kf" produce "$topic"
says MESSAGE_TOO_LARGE
create "$topic-small" 1 "$brokers" max.message.bytes=1000
head -c 2000 /dev/zero | tr '\0' v | exits 1 "$kf" produce "$topic-small"
says MESSAGE_TOO_LARGE
says "max.message.bytes is 1000"
create "$topic-compacted" 1 "$brokers" cleanup.policy=compact
echo x | exits 1 "$kf" produce "$topic-compacted"
says INVALID_RECORD
# Of one batch only the records that the broker names fail; the others are sent again (KIP-467).
printf '{"key":"a","value":"1"}\n{"value":"2"}\n{"key":"b","value":"3"}\n{"value":"4"}\n' |
    exits 1 "$kf" produce "$topic-compacted" --json --report -X linger.ms=20000
same "reports" "0 0;-1 -1;0 1;-1 -1;" "$(tr '\n' ';' <"$work/out")"
# A batch that is too large comes apart.
create "$topic-narrow" 1 "$brokers" max.message.bytes=2000
seq 1000 | exits 0 "$kf" produce "$topic-narrow" --report -X linger.ms=20000 -X batch.size=16000
same "reports of what came apart" 1000 "$(cut -d' ' -f2 "$work/out" | sort -nu | wc -l)"
echo x | exits 1 "$kf" produce "$unique-absent" --timeout 3000
says UNKNOWN_TOPIC_OR_PARTITION
echo x | exits 3 "$kf" produce "$topic" -b 127.0.0.1:1 --timeout 2000
exits 2 "$kf" produce </dev/null
exits 2 "$kf" produce "$topic" --acks 2 </dev/null
exits 2 "$kf" produce "$topic" -z brotli </dev/null
exits 2 "$kf" produce "$topic" -H novalue </dev/null

# ---- kf bench produce: what it says it wrote is there ----

create "$unique-bench" 3
exits 0 "$kf" bench produce "$unique-bench" -n 2000 -s 50 --keys 10 --json
says_json() { grep -q "$1" "$work/out" || { cat "$work/out" && fail "kf bench: no $1"; }; }
says_json '^{"records":2000,"failed":0,"size":50,.*"cpu_ns":[0-9.]*,"latency_ms":{"p50":[0-9.]*,.*}}$'
same "what kf bench wrote" "2000 10" \
    "$("$kf" consume "$unique-bench" -e -f '%k %v\n' | awk 'length($2) == 50 { n++; keys[$1] }
        END { for (k in keys) d++; print n, d }')"
exits 0 "$kf" bench produce "$unique-bench" -n 50 -r 100 -z lz4 --acks 1
exits 1 "$kf" bench produce "$unique-bench" -n 50 -p 7 --timeout 5000
says "no partition 7"
exits 2 "$kf" bench produce
exits 2 "$kf" bench consume topic

# ---- a signal ----

mkfifo "$work/quiet"
"$kf" produce "$topic" --report <"$work/quiet" >"$work/out" &
pid=$!
exec 9>"$work/quiet"
echo first >&9
a_verdict() { [ "$(wc -l <"$work/out")" = 1 ]; }
eventually 30 a_verdict # while stdin is quiet
kill -TERM $pid
status=0
wait $pid || status=$?
exec 9>&-
same "exit after SIGTERM" 143 $status

# ---- a broker is killed, another one stands still ----

if [ "$brokers" = 3 ] && [ "${KAFIBER_TEST_CLUSTER:-}" ]; then
    topic=$unique-killed
    create "$topic" 3 3 min.insync.replicas=2
    {
        for n in $(seq 60); do
            seq $(((n - 1) * 2000 + 1)) $((n * 2000))
            sleep 0.2
        done
    } | "$kf" produce "$topic" -X batch.size=4000 2>"$work/err" &
    pid=$!
    sleep 3
    node kill 2
    sleep 4
    node restart 2
    sleep 2
    node pause 3
    sleep 3
    node resume 3
    wait $pid || { tail "$work/err" && fail "kf produce failed"; }
    # Leaders still move back: an answer from yesterday's leader is no failure of the producer.
    eventually 20 sh -c "'$kf' consume '$topic' -e --json >'$work/all'"
    same "records" 120000 "$(wc -l <"$work/all")"
    same "distinct records" 120000 "$(sed 's/.*"value":"\([0-9]*\)".*/\1/' "$work/all" | sort -u | wc -l)"
    disorder=$(sed 's/.*"partition":\([0-9]*\).*"value":"\([0-9]*\)".*/\1 \2/' "$work/all" |
        awk '{ if ($2 < last[$1]) n++; last[$1] = $2 } END { print n + 0 }')
    same "records out of order" 0 "$disorder"
fi
