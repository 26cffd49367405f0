#!/bin/bash
# completions/kf.bash is driven as bash drives it; kf itself is a double that knows a cluster.
# Those for zsh and fish are only read by their shells, where these are installed.
set -eu -o pipefail
completions=$(cd "$(dirname "$0")/../../completions" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/kafiber-completion.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
touch client.properties other.txt

# Says what it was asked, answers as kf does.
cat >kf <<'END'
#!/bin/sh
echo "$*" >>"$0.asked"
case "$1 $2" in
"topic list") printf 'TOPIC     PARTITIONS  REPLICAS\norders    6           3\norders-copy  6        3\npayments  1           1\n' ;;
"group list") printf 'GROUP    TYPE     PROTOCOL  STATE\nbilling  Classic  consumer  Stable\n$(touch${IFS}bad)  -  -  -\n*  -  -  -\n' ;;
"codec schema") printf 'FetchRequest\tmaxWaitMs\nFetchRequest\tminBytes\nFetchResponse\terrorCode\nMetadataRequest\ttopics\n' ;;
"properties list") printf '| Key | Type |\n|---|---|\n| `acks` | word |\n| `fetch.max.bytes` | int |\n' ;;
esac
END
chmod +x kf

# shellcheck source=completions/kf.bash
. "$completions/kf.bash"

passed=0 failed=0
# check WANTED WORD...: the cursor stands at the end of the last word.
check() {
    local wanted=$1 got
    shift
    rm -f kf.asked
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _kf 2>"$work/stderr" || true
    got=${COMPREPLY[*]-}
    if [ "$got" = "$wanted" ] && [ ! -s "$work/stderr" ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "FAILED: $*: \"$got\", wanted \"$wanted\""
    cat "$work/stderr"
}
# The last check asked kf this, and nothing else; empty: it did not ask at all.
asked() {
    local got=
    [ ! -e kf.asked ] || got=$(<kf.asked)
    if [ "$got" = "$1" ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "FAILED: kf was asked \"$got\", wanted \"$1\""
}

# Verbs and options never ask anybody.
check "produce properties" ./kf pro
check "api-versions" ./kf api
asked ""
check "--report" ./kf produce --re
check "--semantics --set" ./kf consume orders --se
check "--bootstrap-servers" ./kf topic list --boot
check "--max-bytes" ./kf broker --max
check "" ./kf broker --boot
asked ""

# Second words.
check "list describe create delete" ./kf topic ""
check "describe" ./kf group d
check "schema" ./kf codec s
check "list get" ./kf properties ""
asked ""

# Values of options.
check "client.properties" ./kf consume -F cl
check "client.properties" ./kf consume --file cl
check "client.properties" ./kf consume --file = cl
check "client.properties" ./kf decode --hex cl
check "gzip" ./kf produce orders -z g
check "all 1 0" ./kf produce orders --acks ""
check "all 1 0" ./kf produce orders --acks =
check "at-most-once" ./kf consume -g billing --semantics at-m
check "" ./kf consume -n ""
check "" ./kf consume --exec ""
asked ""
check "fetch.max.bytes=" ./kf produce -X fe
check "" ./kf nonsense ""
check "" ./kf consume -b broker :
check "" ./kf consume -b broker : 90
check "" ./kf consume -X a =
asked ""

# Topics and groups come from the cluster that the line names.
check "orders orders-copy payments" ./kf produce ""
asked "topic list --timeout 2000"
check "orders orders-copy" ./kf consume or
check "payments" ./kf consume orders pay
check "orders orders-copy" ./kf consume -b broker : 9092 -n 5 or
asked "topic list --timeout 2000 -b broker:9092"
check "orders orders-copy" ./kf topic describe -F client.properties -X a = b or
asked "topic list --timeout 2000 -F client.properties -X a=b"
check "billing" ./kf consume -b broker : 9092 -g ""
asked "group list --timeout 2000 -b broker:9092"
check "billing" ./kf group lag b
# A group may be called anything.
check "billing" ./kf group describe ""
[ ! -e bad ] && passed=$((passed + 1)) || { echo "FAILED: a name was run" && failed=$((failed + 1)); }
check "billing" ./kf call Fetch --coordinator ""
# A name that is still to be made, and a second topic for one, are nobody's to know.
check "" ./kf topic create ""
check "" ./kf produce orders ""
check "" ./kf group list ""
asked ""

# The schema is known without a cluster.
check "Fetch Metadata" ./kf call ""
asked "codec schema"
check "FetchRequest FetchResponse" ./kf codec schema Fe
check "Fetch" ./kf decode --response Fe
check "acks" ./kf properties get ac

# A kf that fails, talks or hangs leaves nothing and is not waited for.
printf '#!/bin/sh\necho "no broker" >&2\nexit 3\n' >kf
check "" ./kf consume ""
printf '#!/bin/sh\nexec sleep 20\n' >kf
if command -v timeout >/dev/null; then
    began=$SECONDS
    check "" ./kf consume ""
    [ $((SECONDS - began)) -le 15 ] || { echo "FAILED: it waits for long" && failed=$((failed + 1)); }
fi
check "" ./no-such-kf consume ""

for shell in zsh fish; do
    file=$completions/kf.fish
    [ $shell = fish ] || file=$completions/_kf
    if ! command -v $shell >/dev/null; then
        echo "not installed: $shell"
    elif HOME=$work $shell -n "$file"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done

echo "$passed passed, $failed failed"
[ $failed = 0 ]
