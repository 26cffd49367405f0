#!/bin/bash
# seconds: 180
# kf against real Kafka: what docs/cli.md promises of topic, consume, group, call and api-versions.
. "$(dirname "$0")/lib.sh"
export KAFIBER_BOOTSTRAP_SERVERS=$bootstrap
brokers=$(tr ',' '\n' <<<"$bootstrap" | wc -l)

# exits CODE COMMAND...: whether it ends with that code; what it says is in $work/out and $work/err
exits() {
    local wanted=$1 got=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ "$got" = "$wanted" ] || { cat "$work/err" && fail "exit $got instead of $wanted: $*"; }
}
# says TEXT: whether the last command said so on stderr
says() { grep -qF -- "$1" "$work/err" || { cat "$work/err" && fail "not said: $1"; }; }

# ---- topics ----

topic=$unique
exits 0 "$kf" topic create "$topic" -p 3 -r "$brokers" -c retention.ms=600000
exits 0 "$kf" topic list --json
grep -qF "{\"topic\":\"$topic\",\"partitions\":3,\"replicas\":$brokers}" "$work/out" || fail "not listed"
exits 0 "$kf" topic describe "$topic"
same "partitions described" "0 1 2" "$(awk 'NR > 1 {print $2}' "$work/out" | xargs)"
exits 1 "$kf" topic create "$topic"
says TOPIC_ALREADY_EXISTS
exits 0 "$kf" topic create "$topic" --if-not-exists
exits 1 "$kf" topic describe "$topic" "$topic-absent"
same "partitions of the topic that is there" 4 "$(wc -l <"$work/out")"
says "$topic-absent"
exits 0 "$kf" topic create "$topic-a" "$topic-b"
exits 0 "$kf" topic delete "$topic-a" "$topic-b"
exits 1 "$kf" topic delete "$topic-a"
exits 0 "$kf" topic delete --if-exists "$topic-a"

# ---- usage and configuration ----

exits 2 "$kf" topc list
says "did you mean topic?"
exits 2 "$kf" consume "$topic" --cuont 3
says "did you mean --count?"
exits 2 "$kf" consume "$topic" -o soon
exits 2 "$kf" consume "$topic" -f '%q'
exits 2 "$kf" topic list -X bootstrap.server=a:1
says 'did you mean "bootstrap.servers"?'
printf 'client.id=test\nfech.min.bytes=1\n' >"$work/bad.properties"
exits 2 "$kf" topic list -F "$work/bad.properties"
says "bad.properties:2"
exits 3 "$kf" topic list -b 127.0.0.1:1 --timeout 2000
says "127.0.0.1:1"
exits 1 "$kf" consume "$topic-absent" -e
says "$topic-absent"
exits 1 "$kf" consume "$topic" -p 3 -e
# A flag is stronger than the environment, that than a file.
printf 'bootstrap.servers=127.0.0.1:1\n' >"$work/file.properties"
exits 0 "$kf" topic list -F "$work/file.properties"
KAFIBER_BOOTSTRAP_SERVERS=127.0.0.1:1 exits 0 "$kf" topic list -b "$bootstrap"
for verb in topic consume group call api-versions properties; do
    exits 0 "$kf" $verb --help
    [ "$(wc -l <"$work/out")" -le 40 ] || fail "kf $verb --help does not fit a screen"
done

# ---- reading ----

# expected: what the Java producer wrote, as JSON lines without timestamps, from its own account
expected() {
    awk -v topic="$1" '
        function b(text) { return text == "" ? "null" : "\"" text "\"" }
        $1 ~ /^[0-9]+$/ && NF == 3 {
            i = $3; key = i % 3 ? "\"key-" i "\"" : "null"
            value = i % 5 == 0 ? "null" : i % 7 == 0 ? "\"\"" : "\"value-" i "\""
            printf "{\"topic\":\"%s\",\"partition\":%d,\"offset\":%d,\"key\":%s,\"value\":%s,", topic, $1, $2, key, value
            printf "\"headers\":[[\"index\",\"%d\"],[\"empty\",\"\"],[\"null\",null],[\"index\",\"again\"]]}\n", i }'
}
for codec in none gzip snappy lz4 zstd; do
    create "$topic-$codec" 3
    peer Produce "$bootstrap" "$topic-$codec" 600 nulls=yes headers=yes partitions=3 \
        compression.type=$codec linger.ms=5 >"$work/produced"
    exits 0 "$kf" consume "$topic-$codec" -e --json
    sed 's/"timestamp":[0-9]*,//' "$work/out" | sort >"$work/got"
    expected "$topic-$codec" <"$work/produced" | sort | cmp - "$work/got" || fail "records of codec $codec"
done
topic=$topic-none

# offsets OPTION...: those of partition 0 that are read up to its end, 200
offsets() {
    exits 0 "$kf" consume "$topic" -p 0 -e -f '%o\n' "$@"
    awk 'NR == 1 {first = $1} {last = $1} END {print NR + 0, first, last}' "$work/out"
}
same "from the start" "200 0 199" "$(offsets)"
same "from the start, said so" "200 0 199" "$(offsets -o start)"
same "from the end" "0  " "$(offsets -o end)"
same "from an offset" "50 150 199" "$(offsets -o 150)"
same "from the end's offset" "0  " "$(offsets -o 200)"
same "the last 7" "7 193 199" "$(offsets -o -7)"
same "the last 1000 of 200" "200 0 199" "$(offsets -o -1000)"
same "no more than 3" "3 0 2" "$(offsets -n 3)"
sleep 0.05
middle=$(date +%s%3N)
peer Produce "$bootstrap" "$topic" 30 start=600 partitions=3 >/dev/null
same "from a time" "10 200 209" "$(offsets -o "@$middle")"
same "from a time to come" "0  " "$(offsets -o "@$((middle + 3600000))")"
exits 1 "$kf" consume "$topic" -p 0 -o 5000
says "topic $topic partition 0 has no offset 5000: its first is 0, its end 210"
exits 1 "$kf" consume "$topic" -p 0 -o 5000 -e
says OFFSET_OUT_OF_RANGE
peer Cluster "$bootstrap" truncate "$topic" 0 100 >/dev/null
exits 1 "$kf" consume "$topic" -p 0 -o 99
says "its first is 100, its end 210"
same "the last 1000 of those left" "110 100 209" "$(offsets -o -1000)"
peer Produce "$bootstrap" "$topic" 1 start=603 partitions=3 headers=yes >/dev/null
same "a format" "$topic/0/210 key-603:value-603 index=603 empty= null= index=again " \
    "$("$kf" consume "$topic" -p 0 -o -1 -e -f '%t/%p/%o %k:%v %h{%k=%v }')"
same "hex, base64, lengths" "6b65792d363033 a2V5LTYwMw== 7" \
    "$("$kf" consume "$topic" -p 0 -o -1 -e -f '%k{hex} %k{base64} %k{len}')"
# New records are awaited, and flushed as they come.
"$kf" consume "$topic" -p 1 -o end -n 2 -f '%v\n' >"$work/tail" &
tail=$!
sleep 1
for _ in $(seq 10); do # it may be late in looking where the end is
    peer Produce "$bootstrap" "$topic" 6 start=900 partitions=3 >/dev/null
    for _ in $(seq 30); do kill -0 $tail 2>/dev/null && sleep 0.1 || break 2; done
done
wait $tail || fail "consume -n 2"
same "the records awaited" "value-901 value-904" "$(xargs <"$work/tail")"

# Aborted transactions and control records.
create "$unique-tx" 1
peer Produce "$bootstrap" "$unique-tx" 1000 partitions=1 transactional.id="$unique" abort=3 >/dev/null
same "all records" 1000 "$("$kf" consume "$unique-tx" -e -X isolation.level=read_uncommitted | wc -l)"
same "committed records" 700 "$("$kf" consume "$unique-tx" -e -f '%v\n' | sort -u | wc -l)"

# ---- calling ----

exits 0 "$kf" call Metadata --version 9 \
    "{\"topics\":[{\"name\":\"$topic\"}],\"allowAutoTopicCreation\":false,\"includeClusterAuthorizedOperations\":false,\"includeTopicAuthorizedOperations\":false}"
grep -q "\"name\":\"$topic\"" "$work/out" || fail "kf call Metadata"
exits 0 bash -c "echo '{}' | '$kf' call ListGroups --version 0 --node 1"
exits 2 "$kf" call Metdata '{}'
says "did you mean Metadata?"
exits 2 "$kf" call Metadata '{"topics":3}'
exits 3 "$kf" call ListGroups '{"statesFilter":[],"typesFilter":[]}' --node 77 --timeout 10000
exits 0 "$kf" api-versions --json
grep -q '"key":3,"api":"Metadata","brokerMin":0,' "$work/out" || fail "kf api-versions"

# ---- a group ----

exits 0 "$kf" consume -g "$unique-g" "$topic" -n 5 -f '%p %o\n'
same "records printed and no more" 5 "$(wc -l <"$work/out")"
cp "$work/out" "$work/first"
exits 0 "$kf" consume -g "$unique-g" "$topic" -e -f '%p %o\n'
sort "$work/first" "$work/out" | uniq -d | grep . && fail "a record that was done came again"
same "records in all" "$("$kf" consume "$topic" -e | wc -l)" "$(cat "$work/first" "$work/out" | wc -l)"
exits 0 "$kf" group lag "$unique-g" --json
same "lag" 3 "$(grep -c '"lag":0}' "$work/out")"
exits 1 "$kf" group lag "$unique-absent"
exits 0 "$kf" group list
grep -q "^$unique-g " "$work/out" || fail "the group is not listed"

# A member ends cleanly on SIGTERM, and is shown while it is there.
"$kf" consume -g "$unique-g" "$topic" -f '' &
member=$!
owned() { "$kf" group describe "$unique-g" --json | grep -q '"consumerId":"kafiber'; }
eventually 20 owned
kill -TERM $member
wait $member || fail "SIGTERM ended a member with $?"
# A reader's work was cut short.
"$kf" consume "$topic" -o end &
member=$!
sleep 1
kill -TERM $member
status=0
wait $member || status=$?
same "exit of a reader after SIGTERM" 143 $status

# What could not be written is not committed.
status=0
"$kf" consume -g "$unique-full" "$topic" -n 5 >/dev/full 2>"$work/err" || status=$?
same "exit with a full disk" 1 $status
says "No space left"
exits 0 "$kf" consume -g "$unique-full" "$topic" -e -f '%p %o\n'
same "records after a full disk" "$("$kf" consume "$topic" -e | wc -l)" "$(wc -l <"$work/out")"

exits 0 "$kf" consume -g "$unique-once" "$topic" -e --semantics at-most-once -f '%p %o\n'
same "at most once" "$("$kf" consume "$topic" -e | wc -l)" "$(sort -u "$work/out" | wc -l)"

# ---- a handler that is a program ----

cat >"$work/handler" <<'HANDLER'
#!/bin/bash
# Fails now and then in each of the ways there are; what it handled stands in its journal.
while IFS= read -r line; do
    offset=$(sed 's/.*"offset":\([0-9]*\),.*/\1/' <<<"$line")
    case $((RANDOM % 40)) in
    0) echo "fail by chance" ;;
    1) exit 3 ;;
    2) echo nonsense ;;
    3) exec >&-; exit ;;
    *) echo "$KF_GROUP $KF_TOPIC $KF_PARTITION $offset" >>"$JOURNAL" && echo ok ;;
    esac
done
HANDLER
chmod +x "$work/handler"
JOURNAL=$work/handled exits 0 "$kf" consume -g "$unique-x" "$topic" -e --exec "$work/handler" \
    -X handler.retry.backoff.ms=5
sort -u "$work/handled" >"$work/handled.sorted"
"$kf" consume "$topic" -e -f "$unique-x %t %p %o\n" | sort | cmp - "$work/handled.sorted" ||
    fail "records handled by programs"
exits 0 "$kf" group lag "$unique-x" --json
same "lag of the programs' group" 3 "$(grep -c '"lag":0}' "$work/out")"

# A program that hangs is pressed when the time to stop is over; its record stays undone.
"$kf" consume -g "$unique-y" "$topic" -X shutdown.timeout.ms=1000 \
    --exec "while read -r l; do sleep 98764.5; done" 2>/dev/null &
member=$!
eventually 60 pgrep -f "^sleep 98764.5" >/dev/null
kill -TERM $member
status=0
wait $member || status=$?
same "exit when a record was cut short" 143 $status
pgrep -f "sleep 98764.5" >/dev/null && fail "a program outlived kf"
echo "kf: topics, reading, groups and programs"
