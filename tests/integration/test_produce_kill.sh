#!/bin/bash
# seconds: 120
# Keyed records while brokers are killed with SIGKILL and started again: every acknowledged record is
# readable exactly once, where it was told, in order per partition; none that was told "not stored"
# is there. The long form: RECORDS=1000000 KILLS=10 RUNS=20.
. "$(dirname "$0")/lib.sh"
records=${RECORDS:-60000} kills=${KILLS:-1} runs=${RUNS:-1} rate=${RATE:-10000}
program=$build/tests/integration_producer
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

for run in $(seq "$runs"); do
    topic=$unique-$run
    create "$topic" 6 3 min.insync.replicas=2
    "$program" "$bootstrap" "$topic" "$records" rate="$rate" delivery.timeout.ms=300000 \
        >"$work/out" 2>"$work/err" &
    pid=$!
    kill_and_restart
    wait $pid || { tail -n 20 "$work/out" "$work/err" && fail "run $run"; }
    echo "run $run: $(tail -n 1 "$work/out")"
    same "records stored" "$records" "$(awk 'END { print $1 }' "$work/out")"
done
