#!/bin/bash
# seconds: 120
# Keyed records while brokers are killed with SIGKILL and started again, and a proxy cuts every 20th
# Produce answer in the middle: every acknowledged record is readable exactly once, where it was told,
# in order per partition; none that was told "not stored" is there. Sequences begin just below 2^31, so
# that they wrap.
# The long form: RECORDS=1000000 KILLS=10 RUNS=20.
. "$(dirname "$0")/lib.sh"
records=${RECORDS:-60000} kills=${KILLS:-1} runs=${RUNS:-1} rate=${RATE:-10000} every=${EVERY:-20}
program=$build/tests/integration_producer
cutter=$build/tests/integration_cutter
[ -x "$program" ] || fail "no $program: where is the build? (KAFIBER_BUILD)"
[ "${KAFIBER_TEST_CLUSTER:-}" ] || { echo "skipped: not our cluster" && exit 0; }

kill_and_restart() {
    local n victim
    for n in $(seq "$kills"); do
        sleep "1.$((RANDOM % 10))"
        victim=$((RANDOM % 3 + 1))
        node kill $victim >/dev/null
        sleep "0.$((RANDOM % 10))"
        node restart $victim >/dev/null
        [ "$n" = "$kills" ] || sleep 2
    done
}

# ---- the proxy: a port for each broker ----

pairs=() proxied=()
for address in ${bootstrap//,/ }; do
    own=$((KAFIBER_TEST_PORT + 50 + ${#pairs[@]}))
    pairs+=("${address##*:}:$own")
    proxied+=("127.0.0.1:$own")
done
"$cutter" "$every" "${pairs[@]}" >"$work/cutter" &
eventually 10 test -s "$work/cutter"

for run in $(seq "$runs"); do
    topic=$unique-$run
    create "$topic" 6 3 min.insync.replicas=2
    "$program" "$(IFS=, && echo "${proxied[*]}")" "$topic" "$records" rate="$rate" \
        bootstrap="$bootstrap" sequence=$((2147483647 - records / 20)) delivery.timeout.ms=300000 >"$work/out" 2>"$work/err" &
    pid=$!
    kill_and_restart
    wait $pid || { tail -n 20 "$work/out" "$work/err" && fail "run $run"; }
    echo "run $run: $(tail -n 1 "$work/out")"
    same "records stored" "$records" "$(awk 'END { print $1 }' "$work/out")"
done
