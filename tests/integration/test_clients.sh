#!/bin/bash
# seconds: 300
# Other people's clients, as they come, against kf broker: each goes through the same course.
#
#   produce      20 records to each of 3 partitions with each codec that the client has
#   consume      all of them, with keys, values, headers and offsets
#   group        150 records, commit, leave; the next member gets exactly the next 150
#   rebalance    a second member joins a group of 6 partitions: three each, none held twice, both
#                get what is written; the first one leaves, the second one has all
#   transaction  10 records and an offset aborted, 10 and an offset committed: read_committed sees
#                exactly those, read_uncommitted all
#   admin        topics, configs, partitions, records, groups, offsets: made, changed, told, deleted
#
# Those that end in "-consumer" do so by group.protocol=consumer (KIP-848).
#
# tests/integration/test_clients.sh [real] [CLIENT...]: against the real cluster instead; only these.
. "$(dirname "$0")/lib.sh"
here=$root/tests/integration/clients
home=${KAFIBER_KAFKA_HOME:-$root/.kafka}/clients
against=kf
[ "${1:-}" != real ] || { against=real && shift; }
chosen=${*:-franz-go kafka-go sarama confluent-kafka aiokafka kafkajs java kcat
    java-consumer confluent-kafka-consumer}

all_codecs="none gzip snappy lz4 zstd"
# What a client has to say; nothing more and nothing less.
wanted() {
    case $1 in
    franz-go | kafka-go | sarama) echo "produce [$all_codecs]" ;;
    kafkajs) echo "produce none gzip" ;;
    *) echo "produce $all_codecs" ;;
    esac
    case $1 in kafkajs) echo "consume 123" ;; *) echo "consume 303" ;; esac
    printf '%s\n' "group 300" "rebalance 120"
    case $1 in
    kafka-go) echo "transaction of offsets" ;; # its transactions have no records
    *) echo "transaction 10 of 20" ;;
    esac
    case $1 in
    franz-go | sarama) echo "admin topics configs partitions records groups offsets" ;;
    kafka-go) echo "admin topics configs partitions groups offsets" ;;
    aiokafka) echo "admin topics configs partitions records groups" ;;
    confluent-kafka* | kafkajs | java*) echo "admin topics configs partitions records groups offsets deleted" ;;
    kcat) ;; # it has no administration
    esac
}

run() { # CLIENT BOOTSTRAP PREFIX
    case $1 in
    franz-go) "$home/go/franz" "$2" "$3" ;;
    kafka-go) "$home/go/kafkago" "$2" "$3" ;;
    sarama) "$home/go/sarama" "$2" "$3" ;;
    confluent-kafka) "$home/python/bin/python" "$here/python/confluent.py" "$2" "$3" ;;
    confluent-kafka-consumer) "$home/python/bin/python" "$here/python/confluent.py" "$2" "$3" consumer ;;
    aiokafka) "$home/python/bin/python" "$here/python/aio.py" "$2" "$3" ;;
    kafkajs) CLIENTS_NODE=$home/node command node "$here/node/kafkajs.mjs" "$2" "$3" ;;
    java) peer Course "$2" "$3" ;;
    java-consumer) peer Course "$2" "$3" consumer ;;
    kcat) "$here/kcat" "$2" "$3" "$kf" ;;
    esac
}

# ---- who is there ----

"$here/build" >"$work/built" || fail "a client that cannot be built: $(tail -n 5 "$work/built")"
present=
for client in $chosen; do
    language=
    case $client in
    franz-go | kafka-go | sarama) language=go ;;
    confluent-kafka* | aiokafka) language=python ;;
    kafkajs) language=node ;;
    esac
    # A machine may lack a language, or a way to its packages.
    if [ "$language" ] && grep "^skipped: $language:" "$work/built"; then continue; fi
    present="$present $client"
done

# ---- the course ----

if [ $against = kf ]; then
    : >"$work/broker.json"
    "$kf" broker --listen 127.0.0.1:0 --nodes 3 >"$work/broker.json" 2>"$work/broker.err" &
    eventually 10 grep -q bootstrap "$work/broker.json"
    bootstrap=$(sed 's/.*"bootstrap":"\([^"]*\)".*/\1/' "$work/broker.json")
fi
declare -A job
for client in $present; do
    (run "$client" "$bootstrap" "$unique-$client" 2>"$work/$client.err" && echo "$SECONDS s" >"$work/$client.time") \
        >"$work/$client" &
    job[$client]=$!
done
bad=
for client in $present; do
    wait "${job[$client]}" || bad="$bad $client"
    diff <(wanted "$client") "$work/$client" || {
        bad="$bad $client"
        tail -n 20 "$work/$client.err"
    }
done
[ -z "$bad" ] || fail "these stumbled:$bad"
[ $against = real ] || [ ! -s "$work/broker.err" ] || fail "the broker complained: $(cat "$work/broker.err")"
echo "$(wc -w <<<"$present") clients:$present; $(cat "$work"/*.time | sort -n | tail -n 1) for the slowest"
