#!/bin/bash
# seconds: 20
# Kafka's own admin client against kf broker: it gets the answers that the real cluster gives, word
# for word, in the end: a real broker hears of changes late. ACLs, which the real cluster has off, against what they have to be.
. "$(dirname "$0")/lib.sh"

"$kf" broker --listen 127.0.0.1:0 --nodes 3 >"$work/broker.json" &
"$kf" broker --listen 127.0.0.1:0 --acls --super-users User:ANONYMOUS >"$work/acls.json" &
eventually 10 grep -q bootstrap "$work/broker.json"
eventually 10 grep -q bootstrap "$work/acls.json"
where() { sed 's/.*"bootstrap":"\([^"]*\)".*/\1/' "$1"; }

peer Administer "$(where "$work/acls.json")" "$unique" >"$work/acls" &
acls=$!
peer Administer "$bootstrap" "$(where "$work/broker.json")" "$unique" || fail "answers differ"
wait $acls || fail "the admin client of ACLs"

same "ACLs" "create: null
create for another cluster: InvalidRequestException: The only valid name for the CLUSTER resource is kafka-cluster
describe LITERAL: 1
describe PREFIXED: 0
describe MATCH: 2
delete: 2
describe all: [(pattern=ResourcePattern(resourceType=GROUP, name=*, patternType=LITERAL), entry=(principal=User:bob, host=*, operation=ALL, permissionType=ALLOW))]" \
    "$(cat "$work/acls")"
