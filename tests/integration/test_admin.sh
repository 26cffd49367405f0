#!/bin/bash
# seconds: 20
# Kafka's own admin client against kf broker: it gets the answers that the real cluster gives, word
# for word. ACLs, which the real cluster has off, against what they have to be.
. "$(dirname "$0")/lib.sh"

"$kf" broker --listen 127.0.0.1:0 --nodes 3 >"$work/broker.json" &
"$kf" broker --listen 127.0.0.1:0 --acls --super-users User:ANONYMOUS >"$work/acls.json" &
eventually 10 grep -q bootstrap "$work/broker.json"
eventually 10 grep -q bootstrap "$work/acls.json"
where() { sed 's/.*"bootstrap":"\([^"]*\)".*/\1/' "$1"; }

peer Administer "$bootstrap" "$unique" >"$work/real" &
peer Administer "$(where "$work/broker.json")" "$unique" >"$work/ours" &
peer Administer "$(where "$work/acls.json")" "$unique" acls >"$work/acls" &
for job in $(jobs -p | tail -3); do wait "$job" || fail "an admin client"; done

diff "$work/real" "$work/ours" || fail "answers differ"
echo "$(wc -l <"$work/ours") answers as a real cluster's"

same "ACLs" "create: null
create for another cluster: InvalidRequestException: The only valid name for the CLUSTER resource is kafka-cluster
describe LITERAL: 1
describe PREFIXED: 0
describe MATCH: 2
delete: 2
describe all: [(pattern=ResourcePattern(resourceType=GROUP, name=*, patternType=LITERAL), entry=(principal=User:bob, host=*, operation=ALL, permissionType=ALLOW))]" \
    "$(cat "$work/acls")"
