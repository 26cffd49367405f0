#!/bin/sh
# A Kafka for a shell script: started in a millisecond, told to fail, asked afterwards.
#
#   examples/broker.sh path/to/kf
set -eu
kf=${1:-kf}
work=$(mktemp -d)
trap 'kill "$broker" 2>/dev/null || true; rm -rf "$work"' EXIT

# The third Produce is answered by an error that clients retry; a node goes for a second.
cat >"$work/script" <<'END'
on Produce #3 topic=orders answer NOT_ENOUGH_REPLICAS
after 500ms stop node 2
after 1500ms start node 2
END

"$kf" broker --listen 127.0.0.1:0 --nodes 3 --topic orders:6:3 --script "$work/script" \
    --journal "$work/journal" --save-snapshot "$work/snapshot" >"$work/started" &
broker=$!
until [ -s "$work/started" ]; do sleep 0.05; done
bootstrap=$(sed 's/.*"bootstrap":"\([^"]*\)".*/\1/' "$work/started")

# The program under test; here kf itself. Any client will do: nothing but bootstrap is special.
for i in 1 2 3 4 5 6 7 8; do
    echo "order $i" | "$kf" produce -b "$bootstrap" -k "key-$i" orders
done
sleep 1.6

# What arrived, read by a consumer, and what the broker saw, from its journal.
"$kf" consume -b "$bootstrap" -o start -n 8 orders >"$work/records"
[ "$(sort -u "$work/records" | wc -l)" = 8 ]
grep -q '"error_code":19\|"errorCode":19' "$work/journal"
grep -q '"event":"stop node","node":2' "$work/journal"

# Its state goes into a file when it ends, and another broker begins with that.
kill "$broker"
wait "$broker"
"$kf" broker --listen 127.0.0.1:0 --nodes 3 --snapshot "$work/snapshot" >"$work/again" &
broker=$!
until [ -s "$work/again" ]; do sleep 0.05; done
bootstrap=$(sed 's/.*"bootstrap":"\([^"]*\)".*/\1/' "$work/again")
"$kf" consume -b "$bootstrap" -o start -n 8 orders >"$work/records"
[ "$(sort -u "$work/records" | wc -l)" = 8 ]
echo "8 records through faults, a lost node and a restart"
