#!/bin/bash
# kf produce against the embedded broker: input and output that fail, and what it says of records then.
# Usage: test_produce.sh KF
set -euo pipefail
kf=$1
work=$(mktemp -d)
trap 'kill "$broker" 2>/dev/null; rm -rf "$work"' EXIT
# Records to "lost" are stored, and nobody hears of it.
echo "on Produce topic=lost drop answer" >"$work/script"
"$kf" broker --listen 127.0.0.1:0 --topic t:1 --topic lost:1 --script "$work/script" >"$work/ready" &
broker=$!
until [ -s "$work/ready" ]; do sleep 0.05; done
KAFIBER_BOOTSTRAP_SERVERS=$(sed 's/.*"bootstrap":"\([^"]*\)".*/\1/' "$work/ready")
export KAFIBER_BOOTSTRAP_SERVERS

fail() {
    echo "FAILED: $*" >&2
    cat "$work/err" >&2
    exit 1
}
same() { [ "$2" = "$3" ] || fail "$1: \"$3\" instead of \"$2\""; }
says() { grep -qF -- "$1" "$work/err" || fail "not said: $1"; }
# exits CODE COMMAND...: by bash, so that it may redirect; stderr is in $work/err
exits() {
    local got=0
    bash -c "$2" 2>"$work/err" || got=$?
    same "exit of $2" "$1" "$got"
}

# ---- input ----

exits 0 "printf 'a\\0b\\n\\nlast' | '$kf' produce t --report >'$work/out'"
same "a report for each line, the last one without its newline" "0 0 0 1 0 2" "$(xargs <"$work/out")"
"$kf" consume t -e -f '%v{hex}\n' >"$work/out"
same "what was stored" "610062  6c617374" "$(tr '\n' ' ' <"$work/out" | sed 's/ $//')"
exits 1 "'$kf' produce t <&-"
says "stdin: Bad file descriptor"
exits 1 "'$kf' produce t <'$work'"
says "stdin: Is a directory"

# ---- output ----

exits 1 "seq 3 | '$kf' produce t --report >/dev/full"
says "stdout: No space left on device"
exits 1 "seq 100000 | '$kf' produce t --report >/dev/full"
says "stdout: No space left on device"
last=$(sed -n 's/^kf produce: ended behind line //p' "$work/err")
same "records beside the line that is named" "$((6 + last))" "$("$kf" consume t -e | wc -l)"
exits 1 "seq 3 | '$kf' produce t --report >&-"
says "stdout: Bad file descriptor"
exits 1 "'$kf' consume t -e >/dev/full"
exits 1 "'$kf' consume t -e >&-"
says "stdout: Bad file descriptor"

# ---- what is said of records ----

exits 1 "seq 2 | '$kf' produce lost --report -X delivery.timeout.ms=2500 >'$work/out'"
same "a report of what is not known" "-1 -1 -1 -1" "$(xargs <"$work/out")"
says "line 1 may be stored or not"
says "line 2 may be stored or not"
head -c 2000000 /dev/zero >"$work/large"
exits 1 "(echo first; cat '$work/large'; echo; echo third) | '$kf' produce t --report >'$work/out'"
says "line 2 was not stored"
same "reports around a line that is too large" 3 "$(wc -l <"$work/out")"

# ---- a signal ----

mkfifo "$work/input"
"$kf" produce t --report <"$work/input" >"$work/out" 2>"$work/err" &
producing=$!
exec 9>"$work/input"
printf 'one\ntwo\nthr' >&9
until [ "$(wc -l <"$work/out")" = 2 ]; do sleep 0.05; done
kill -INT $producing
status=0
wait $producing || status=$?
same "exit after SIGINT" 130 "$status"
says "ended behind line 2"
echo "kf produce: input, output, verdicts, signals"
