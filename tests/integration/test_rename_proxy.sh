#!/bin/bash
# seconds: 60
# examples/rename_proxy: what kcat produces and consumes as "orders" is "legacy-orders" at the broker.
. "$(dirname "$0")/lib.sh"
command -v kcat >/dev/null || { echo "kcat is not installed: left out" && exit 0; }

proxy=$((KAFIBER_TEST_PORT + 7))
"$kf" broker --listen 127.0.0.1:0 --topic legacy-orders:1 --no-auto-create >"$work/broker" &
eventually 30 test -s "$work/broker"
broker=$(sed -n 's/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/broker" | head -n 1)
"$build/examples/rename_proxy" "$broker" "$proxy" orders legacy-orders &
seen() { kcat -b "127.0.0.1:$proxy" -L 2>/dev/null | grep -q 'topic "orders"'; }
eventually 30 seen

printf 'one\ntwo\n' | kcat -P -b "127.0.0.1:$proxy" -t orders
same "read through the proxy" "one two" \
    "$(kcat -C -b "127.0.0.1:$proxy" -t orders -o beginning -e -q | paste -sd' ')"
same "read at the broker" "one two" \
    "$(kcat -C -b "127.0.0.1:$broker" -t legacy-orders -o beginning -e -q | paste -sd' ')"
