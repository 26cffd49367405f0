#!/bin/bash
# seconds: 120
# Every API that the broker answers is called once by `kf call`, and answers as that API: its
# response decodes whole, and the errors in it are those that the request deserves.
. "$(dirname "$0")/lib.sh"

requests=$root/tests/integration/call_requests.tsv
kf() { "$build/tools/kf/kf" "$@" -b "$bootstrap"; }
group=$unique

create "$unique" 1
apis=$(kf api-versions --json)
error_name() {
    sed -n "s/^KF_ERROR_ROW(\([A-Z_]*\), *$1,.*/\1/p" "$root/include/kafiber/errors.def"
}

# What the requests name.
metadata=$(kf call Metadata -v 12 '{"topics":[{"topicId":"AAAAAAAAAAAAAAAAAAAAAA","name":"'"$unique"'"}],"allowAutoTopicCreation":false,"includeTopicAuthorizedOperations":false}')
topic_id=$(sed -n 's/.*"topicId":"\([^"]*\)".*/\1/p' <<<"$metadata")
leader=$(sed -n 's/.*"leaderId":\([0-9]*\).*/\1/p' <<<"$metadata")
[ "$topic_id" ] && [ "$leader" ] || fail "no topic id or leader in $metadata"
fill() {
    sed "s/@TOPIC@/$unique/g; s/@GROUP@/$group/g; s/@ID@/$topic_id/g; s/@LEADER@/--node $leader/g"
}

# The values of all …errorCode fields, ascending: "0 25"
codes_of() { grep -oiE '"[a-z]*errorCode":-?[0-9]+' | sed 's/.*://' | sort -nu | paste -sd' ' || true; }

# ask API OPTIONS WANTED REQUEST: says what came; coordinators may need some seconds to come up
ask() {
    local answer codes names try
    for try in $(seq 20); do
        # shellcheck disable=SC2086
        answer=$(kf call "$1" $2 --timeout 20000 "$4" 2>"$work/error") ||
            { echo "$1: no answer: $(cat "$work/error")" && return 1; }
        codes=$(codes_of <<<"$answer")
        names=$(for code in $codes; do error_name "$code"; done | paste -sd' ')
        [[ $codes =~ ^($3)$ ]] && echo "$1: ${names:-an answer without errors}" && return
        [[ $codes =~ ^(0 )?1[456]$ ]] || break
        sleep 0.5
    done
    echo "$1: wanted '$3', got '$codes' ($names) in try $try: $answer"
    return 1
}

called=() wrong=0
# Tabs that stand together are one to `read`: another separator keeps empty columns.
while IFS=$'\x01' read -r api options wanted request; do
    grep -q "\"api\":\"$api\".*\"used\":[0-9]" <<<"$apis" || continue
    called+=("$api")
    ask "$api" "$options" "$wanted" "$request" || wrong=$((wrong + 1))
done < <(grep -v '^#' "$requests" | fill | tr '\t' '\001')

while read -r api; do
    [[ " ${called[*]} " == *" $api "* ]] || { echo "$api: no request in $requests" && wrong=$((wrong + 1)); }
done < <(sed -n 's/.*"api":"\([A-Za-z]*\)".*"used":[0-9].*/\1/p' <<<"$apis")
[ "$wrong" = 0 ] || fail "$wrong APIs"
echo "${#called[@]} APIs called"
