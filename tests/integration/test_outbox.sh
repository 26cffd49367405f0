#!/bin/bash
# seconds: 300
# The outbox on a real PostgreSQL: while transactions write events, three publishers are killed
# with kill -9 again and again. Each event arrives, and those of an aggregate in order, by their
# first occurrences.
#
# tests/integration/test_outbox.sh long: 10,000 events, 20 kills; and how fast a backlog goes.
. "$(dirname "$0")/lib.sh"
program=$build/examples/outbox_postgres
[ -x "$program" ] || fail "no $program: it is built where libpq is"
transactions=500 kills=4 aggregates=60 backlog=20000
[ "${1:-}" != long ] || { transactions=2500 kills=20 aggregates=200 backlog=100000; }
clients=4

# ---- a server of our own, on a socket ----

bin=$(pg_config --bindir)
data=$work/postgres
mkdir "$data"
as_owner=
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
    chmod 711 "$work"
    chown postgres: "$data"
    as_owner="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
(
    cd "$data"
    $as_owner "$bin/initdb" -D "$data/db" -A trust -U kafiber --no-sync >"$work/initdb.log" 2>&1
) || fail "initdb: $(tail -n 3 "$work/initdb.log")"
(
    cd "$data"
    exec $as_owner "$bin/postgres" -D "$data/db" -k "$data" -c listen_addresses= -c fsync=off \
        -c synchronous_commit=off >"$work/postgres.log" 2>&1
) &
connection="host=$data user=kafiber dbname=postgres"
sql() { PGOPTIONS='-c client_min_messages=error' psql -qAtX "$connection" "$@"; }
eventually 20 sql -c 'SELECT 1' >/dev/null 2>&1

"$program" schema | sql
sql -c "CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL)" \
    -c "INSERT INTO counter SELECT i, 0 FROM generate_series(1, $aggregates) i"

# ---- writers: the counter's row lock orders an aggregate's events, whatever the transaction ids ----

cat >"$work/write.sql" <<'END'
\set a random(1, :aggregates)
BEGIN;
SELECT pg_current_xact_id();
UPDATE counter SET n = n + 1 WHERE id = :a RETURNING n \gset
INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
VALUES ('order', :a, 'counted', convert_to((:n)::text, 'UTF8'));
COMMIT;
END
topic=$unique
create "$topic" 6
printf '%s\n' "bootstrap.servers=$bootstrap" acks=all >"$work/client.properties"

publishers=()
start_publisher() {
    "$program" "$work/client.properties" "$connection" "$topic" >>"$work/publishers" \
        2>>"$work/publishers.err" &
    publishers[$1]=$!
}
is_empty() { [ "$(sql -c 'SELECT count(*) FROM outbox')" = 0 ]; }

for i in 0 1 2; do start_publisher $i; done
"$bin/pgbench" -n -f "$work/write.sql" -D aggregates=$aggregates -c $clients -t $transactions \
    "$connection" >"$work/pgbench" 2>&1 &
writer=$!
for _ in $(seq $kills); do
    sleep 0.$((RANDOM % 200 + 100))
    i=$((RANDOM % 3))
    kill -KILL "${publishers[$i]}"
    wait "${publishers[$i]}" 2>/dev/null || true
    start_publisher $i
done
wait $writer || fail "pgbench: $(tail -n 3 "$work/pgbench")"
eventually 120 is_empty
for i in 0 1 2; do
    kill -TERM "${publishers[$i]}"
    wait "${publishers[$i]}" || fail "a publisher's exit: $(tail -n 3 "$work/publishers.err")"
done

# ---- the account ----

"$kf" consume -b "$bootstrap" "$topic" -e -f '%k %v %h{%k=%v }\n' >"$work/events" ||
    fail "kf consume: $?"
account=$(awk '!seen[$1 " " $2]++ { if ($2 != ++last[$1]) wrong++; distinct++ }
               END { print distinct + 0, wrong + 0, NR }' "$work/events")
read -r distinct disorder records <<<"$account"
same "distinct events" $((clients * transactions)) "$distinct"
same "aggregates' first occurrences out of order" 0 "$disorder"
same "events with all four headers" "$records" "$(grep -c 'event-id=[0-9a-f-]* event-type=counted aggregate-id=[0-9]* aggregate-type=order' "$work/events")"
echo "$distinct events, $kills kills, $((records - distinct)) published twice"

# ---- a backlog ----

sql -c "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
        SELECT 'order', i % 1000, 'counted', 'x' FROM generate_series(1, $backlog) i" -c ANALYZE
start_publisher 0
before=$(date +%s%N)
eventually 120 is_empty
echo "a backlog of $backlog: $((backlog * 1000 / (($(date +%s%N) - before) / 1000000))) events/s"
kill -TERM "${publishers[0]}"
wait "${publishers[0]}" || fail "the publisher's exit"
