#!/bin/bash
# seconds: 60
# Every listener of a real Kafka broker, each produced to and consumed from in a group; and what is
# said where something is wrong. KAFIBER_SECURITY_LONG=1: peers against kf broker too (minutes).
# KAFIBER_SECURITY_SECONDS, _MEMBERS, _PRODUCERS: how long sessions are renewed, and by how many.
. "$(dirname "$0")/lib.sh"
port=${KAFIBER_TEST_PORT:-18292}

if [ "${1:-}" != inside ]; then
    "$root/tools/kafka" with --secure --port "$port" --dir "$work/secure" -- "$0" inside
    exit 0
fi

tls=$KAFIBER_TEST_CLUSTER/tls
at() { echo "127.0.0.1:$((${bootstrap##*:} + $1))"; }
# BASE+2 and so on: see tools/kafka
ssl=$(at 2) mtls=$(at 3)
trust=(-X security.protocol=SSL -X ssl.truststore.location="$tls/ca.pem")
own=(-X ssl.keystore.location="$tls/client.pem")

# ---- what works --------------------------------------------------------------------------------

# passes NAME SERVERS OPTION...: a hundred records there and back, through a group
passes() {
    local name=$1 servers=$2 topic=$unique-$1
    shift 2
    "$kf" topic create "$topic" -p 2 -r 1 -b "$servers" "$@" || fail "$name: topic create"
    seq 100 | "$kf" produce "$topic" -b "$servers" "$@" 2>"$work/$name.err" ||
        { cat "$work/$name.err" && fail "$name: produce"; }
    "$kf" consume "$topic" -g "$topic" -n 100 --timeout 20000 -b "$servers" "$@" 2>"$work/$name.err" |
        sort -n >"$work/$name.out" || { cat "$work/$name.err" && fail "$name: consume"; }
    same "records by $name" "$(seq 100)" "$(cat "$work/$name.out")"
}
passes plaintext "$bootstrap" &
passes ssl "$ssl" "${trust[@]}" &
passes ssl12 "$ssl" "${trust[@]}" -X ssl.enabled.protocols=TLSv1.2 &
passes mtls "$mtls" "${trust[@]}" "${own[@]}" &
for job in $(jobs -p); do wait "$job" || fail "a listener"; done

saslp=$(at 4) sasls=$(at 5) reauth=$(at 6)
module=org.apache.kafka.common.security
# user MECHANISM [PASSWORD]: the options that say who we are, in ${who[@]}
user() {
    who=(-X sasl.mechanism="$1")
    case $1 in
    OAUTHBEARER) who+=(-X "sasl.jaas.config=$module.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"alice\";") ;;
    *) who+=(-X sasl.username=alice -X sasl.password="${2:-alice-secret}") ;;
    esac
}
bare=(-X security.protocol=SASL_PLAINTEXT)
both=(-X security.protocol=SASL_SSL -X ssl.truststore.location="$tls/ca.pem")
for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER; do
    user $mechanism
    passes "sasl-$mechanism" "$saslp" "${bare[@]}" "${who[@]}" &
    passes "sasl-ssl-$mechanism" "$sasls" "${both[@]}" "${who[@]}" &
done
for job in $(jobs -p); do wait "$job" || fail "a listener of SASL"; done

# ---- sessions of three seconds, renewed under load -----------------------------------------------

user SCRAM-SHA-512
# numbers FIRST SECONDS: some hundred a second
numbers() {
    local i=$1 end=$((SECONDS + $2))
    while [ $SECONDS -lt $end ]; do
        for _ in 1 2 3 4 5; do echo $((i++)); done
        sleep 0.01
    done
}
renewed() {
    local seconds=${KAFIBER_SECURITY_SECONDS:-5} topic=$unique-renewed i members=() producers=()
    local here=(-b "$reauth" "${bare[@]}" "${who[@]}") out=$work/renewed
    "$kf" topic create "$topic" -p 32 -r 1 -b "$bootstrap"
    for i in $(seq "${KAFIBER_SECURITY_MEMBERS:-1}"); do
        timeout --foreground $((seconds + 60)) "$kf" consume "$topic" -g "$topic" "${here[@]}" \
            >"$out.out$i" 2>"$out.member$i.err" &
        members+=($!)
    done
    for i in $(seq "${KAFIBER_SECURITY_PRODUCERS:-1}"); do
        numbers $((i * 1000000)) "$seconds" | tee "$out.in$i" |
            "$kf" produce "$topic" "${here[@]}" 2>"$out.producer$i.err" &
        producers+=($!)
    done
    for i in "${producers[@]}"; do wait "$i" || fail "produce while sessions end"; done
    all_are_there() { [ "$(cat "$out".out* | wc -l)" -ge "$(cat "$out".in* | wc -l)" ]; }
    eventually 30 all_are_there
    kill -INT "${members[@]}"
    for i in "${members[@]}"; do wait "$i" || fail "a member whose sessions end"; done
    cmp -s <(sort -n "$out".in*) <(sort -n "$out".out*) || fail "records while sessions end"
    same "words while sessions end" "" "$(cat "$out".*.err)"
    [ "$seconds" -le 5 ] || echo "$(cat "$out".in* | wc -l) records while sessions ended"
}
renewed &
renewal=$!

# ---- what is refused, and in which words -------------------------------------------------------

# refused CODE WORDS SERVERS OPTION...
refused() {
    local code=$1 words=$2 servers=$3 got=0
    shift 3
    "$kf" topic list --timeout 5000 -b "$servers" "$@" >/dev/null 2>"$work/refused" || got=$?
    grep -qF -- "$words" "$work/refused" || { cat "$work/refused" && fail "not said: $words"; }
    same "exit where it is said: $words" "$code" $got
}
refused 4 "answered with TLS" "$ssl"
refused 4 "a PLAINTEXT listener does that" "$bootstrap" "${trust[@]}"
refused 4 "does not lead to an authority that this client trusts" "$ssl" -X security.protocol=SSL
refused 4 "asks for a client certificate" "$mtls" "${trust[@]}"
refused 4 "refused this client's certificate" "$mtls" "${trust[@]}" \
    -X ssl.keystore.location="$tls/unknown.pem"
# A way to write 127.0.0.1 that is no address to a certificate.
refused 4 "does not name 127.1, but DNS:localhost, IP:127.0.0.1" "127.1:${ssl##*:}" "${trust[@]}"

user PLAIN wrong-secret
refused 4 "does not accept the credentials" "$saslp" "${bare[@]}" "${who[@]}"
user SCRAM-SHA-256 wrong-secret
refused 4 "does not accept the credentials" "$sasls" "${both[@]}" "${who[@]}"
! grep -q wrong-secret "$work/refused" || fail "a password in an error"
user SCRAM-SHA-256
refused 4 "is this a PLAINTEXT or SSL listener" "$bootstrap" "${bare[@]}" "${who[@]}"
refused 4 "answered with TLS" "$sasls" "${bare[@]}" "${who[@]}"
refused 3 "a listener that expects SASL does that" "$saslp"
refused 2 "sasl.mechanism is not set" "$saslp" "${bare[@]}"
wait $renewal || fail "sessions that end"

# ---- the doctor --------------------------------------------------------------------------------

"$kf" doctor -b "$mtls" "${trust[@]}" "${own[@]}" >"$work/doctor" || { cat "$work/doctor" && fail "doctor"; }
for line in "ok       dns " "ok       tcp " "tls $mtls: TLSv1.3 with " "ok       api-versions " \
    "ok       metadata " "ok       broker " "ok       coordinator "; do
    grep -qF -- "$line" "$work/doctor" || { cat "$work/doctor" && fail "the doctor does not say: $line"; }
done

# ---- others against our broker (KAFIBER_SECURITY_LONG=1) ----------------------------------------

[ "${KAFIBER_SECURITY_LONG:-}" ] || exit 0
"$kf" broker --listener "SSL://127.0.0.1:$((port + 11))" --listener "MTLS=SSL://127.0.0.1:$((port + 12))" \
    --tls-self-signed "$work/own" --tls-client-auth requested --topic java:2 --topic kcat:2 >"$work/broker" &
eventually 10 grep -q bootstrap "$work/broker"
own_ssl=127.0.0.1:$((port + 11))
java=(security.protocol=SSL ssl.truststore.type=PEM ssl.truststore.location="$work/own/ca.pem"
    ssl.keystore.type=PEM ssl.keystore.location="$work/own/client.pem")
kcat=(-X security.protocol=SSL -X ssl.ca.location="$work/own/ca.pem"
    -X ssl.certificate.location="$work/own/client.pem" -X ssl.key.location="$work/own/client.pem")

peer Produce "$own_ssl" java 1000 "${java[@]}" | grep -q '^produced 1000' || fail "Java produces over TLS"
same "records that a Java group reads over TLS" 1000 \
    "$(peer Member "$own_ssl" java-group java range records=1000 "${java[@]}" | grep -c ^record)"
seq 1000 | kcat -P -b "$own_ssl" -t kcat "${kcat[@]}" || fail "librdkafka produces over TLS"
same "records that librdkafka reads over TLS" "$(seq 1000)" \
    "$(kcat -C -e -q -b "$own_ssl" -t kcat -o beginning "${kcat[@]}" | sort -n)"
same "records that a librdkafka group reads over TLS" 1000 \
    "$(timeout 60 kcat -q -b "$own_ssl" -c 1000 -X auto.offset.reset=earliest "${kcat[@]}" -G kcat-group kcat | wc -l)"
echo "Java and librdkafka pass against kf broker with TLS"

# A session lasts three seconds: Java renews it while it works.
"$kf" broker --listener "SASLP=SASL_PLAINTEXT://127.0.0.1:$((port + 13))" \
    --listener "SASLS=SASL_SSL://127.0.0.1:$((port + 14))" --tls-self-signed "$work/own" \
    --sasl-user alice:alice-secret --sasl-unsecured-tokens --sasl-reauth-ms 3000 >"$work/sasl-broker" &
eventually 10 grep -q bootstrap "$work/sasl-broker"
for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER; do
    case $mechanism in
    PLAIN) login=plain.PlainLoginModule ;;
    SCRAM-*) login=scram.ScramLoginModule ;;
    OAUTHBEARER) login=oauthbearer.OAuthBearerLoginModule ;;
    esac
    credentials='username="alice" password="alice-secret"'
    [ $mechanism != OAUTHBEARER ] || credentials='unsecuredLoginStringClaim_sub="alice"'
    for protocol in SASL_PLAINTEXT SASL_SSL; do
        [ $protocol = SASL_SSL ] && servers=127.0.0.1:$((port + 14)) || servers=127.0.0.1:$((port + 13))
        java=(security.protocol=$protocol sasl.mechanism=$mechanism
            "sasl.jaas.config=$module.$login required $credentials;"
            ssl.truststore.type=PEM ssl.truststore.location="$work/own/ca.pem")
        topic=java-$protocol-$mechanism
        peer Produce "$servers" "$topic" 1000 rate=250 "${java[@]}" >"$work/java.out" 2>"$work/java.err" || true
        grep -q '^produced 1000' "$work/java.out" ||
            { tail -5 "$work/java.err" && fail "Java produces by $protocol and $mechanism"; }
        same "records that a Java group reads by $protocol and $mechanism" 1000 \
            "$(peer Member "$servers" "$topic" "$topic" range records=1000 "${java[@]}" 2>"$work/java.err" | grep -c ^record)"
    done
done
seq 1000 | kcat -P -b "127.0.0.1:$((port + 13))" -t kcat -X security.protocol=SASL_PLAINTEXT \
    -X sasl.mechanism=PLAIN -X sasl.username=alice -X sasl.password=alice-secret ||
    fail "librdkafka produces by PLAIN"
echo "Java and librdkafka pass against kf broker with SASL"

# ---- franz-go against our broker -----------------------------------------------------------------

cp -r "$root/tests/integration/franz" "$work/go"
(cd "$work/go" && go mod tidy && go build -o "$work/franz" .) 2>"$work/go.log" ||
    fail "franz-go: $(tail -n 3 "$work/go.log")"
for i in $(seq 100); do echo "$((1700000000000 + i)) - $(base64 <<<"$i") none"; done >"$work/lines"

# franz NAME PORT FLAG...: a hundred records there and back, through a group
franz() {
    local topic=franz-$1 servers=127.0.0.1:$((port + $2))
    shift 2
    "$work/franz" "$@" write "$servers" none="$topic" <"$work/lines" || fail "franz-go produces to $topic"
    same "records that a franz-go group reads from $topic" "$(cat "$work/lines")" \
        "$(timeout 60 "$work/franz" "$@" -group "$topic" read "$servers" "$topic" | cut -d' ' -f2-)"
}
url64() { base64 -w0 | tr '+/' '-_' | tr -d =; }
token=$(printf '{"alg":"none"}' | url64).$(printf '{"sub":"alice","iat":%d,"exp":%d}' \
    "$(date +%s)" $(($(date +%s) + 3600)) | url64).
ca=(-ca "$work/own/ca.pem")
franz ssl 11 "${ca[@]}"
franz mtls 12 "${ca[@]}" -cert "$work/own/client.pem"
for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER; do
    who=(-sasl $mechanism -user alice -password alice-secret -token "$token")
    franz sasl-$mechanism 13 "${who[@]}"
    franz sasl-ssl-$mechanism 14 "${ca[@]}" "${who[@]}"
done
echo "franz-go passes against kf broker with TLS and SASL"

