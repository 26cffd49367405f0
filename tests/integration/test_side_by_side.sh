#!/bin/bash
# seconds: 120
# Scripted exchanges, side by side: what a real broker of one node answers to the requests of
# side_by_side/*.tsv, ours answers, apart from ids, times and the words beside error codes.
. "$(dirname "$0")/lib.sh"

port=${KAFIBER_TEST_PORT:-18192}
real=127.0.0.1:$port ours=127.0.0.1:$((port + 10))
at_exit() { "$root/tools/kafka" stop --now --remove --dir "$work/kafka" >/dev/null 2>&1 || true; }
trap 'at_exit; at_end' EXIT

# Takes out what may differ.
plain() {
    sed -E 's/"producerId":[0-9]+/"producerId":P/g; s/("[A-Za-z]*([tT]imestamp|TimeMs)"):[0-9]{6,}/\1:T/g
        s/"errorMessage":"[^"]*"/"errorMessage":W/g; s/"port":[0-9]+/"port":N/g
        s/"__consumer_offsets","partitions":\[[0-9]+\]/"__consumer_offsets","partitions":[G]/g'
}

# play BOOTSTRAP FILE: each exchange's request and plain answer
play() {
    local api version take template request answer P=-1
    while IFS=$'\t' read -r api version take template; do
        case $api in
        '#'* | '') continue ;;
        wait) sleep 0.3 && continue ;;
        esac
        request=${template//@NAME@/$unique} request=${request//@P@/$P}
        answer=$("$kf" call "$api" --version "$version" -b "$1" "$request" 2>&1) || answer="no answer: $answer"
        if [ "$take" = P ] && [[ $answer =~ \"producerId\":\ *([0-9]+) ]]; then P=${BASH_REMATCH[1]}; fi
        printf '%s %s %s\n  %s\n' "$api" "$version" "$template" "$(tr -d '\n ' <<<"$answer" | plain)"
    done <"$2"
}

# ready BOOTSTRAP: the topic is there, and coordinators of both kinds answer
ready() {
    local key
    peer Cluster "$1" create "$unique" 1 1
    for key in 0 1; do
        eventually 20 answers "$1" "{\"keyType\":$key,\"coordinatorKeys\":[\"$unique\"]}"
    done
    eventually 20 begins "$1"
}
answers() { "$kf" call FindCoordinator --version 4 -b "$1" "$2" | tr -d ' \n' | grep -q '"errorCode":0'; }
begins() {
    "$kf" call InitProducerId --version 0 -b "$1" "{\"transactionalId\":\"$unique\",\"transactionTimeoutMs\":1000}" |
        tr -d ' \n' | grep -q '"errorCode":0' && "$kf" call OffsetFetch --version 8 -b "$1" \
        "{\"groups\":[{\"groupId\":\"$unique\",\"topics\":null}],\"requireStable\":false}" | tr -d ' \n' | grep -q '"errorCode":0}'
}

"$kf" broker --listen "$ours" >"$work/broker" &
"$root/tools/kafka" start --nodes 1 --port "$port" --dir "$work/kafka" >/dev/null
eventually 10 test -s "$work/broker"
ready "$ours"
ready "$real"
count=0
for file in "$root"/tests/integration/side_by_side/*.tsv; do
    play "$ours" "$file" >"$work/ours.txt" &
    playing=$!
    play "$real" "$file" >"$work/real.txt"
    wait $playing
    diff "$work/real.txt" "$work/ours.txt" || fail "$(basename "$file"): ours (>) answers otherwise"
    count=$((count + $(wc -l <"$work/real.txt") / 2))
done
echo "$count exchanges, the same answers"
