#!/bin/bash
# sasl_gssapi.c against a real Kerberos and a real Kafka, both on the loopback and gone afterwards.
#
#     examples/sasl_gssapi.sh [PORT]        a KDC on PORT (24300), Kafka on the ports after it
#
# Needs the programs of an MIT Kerberos (Debian: krb5-kdc krb5-admin-server krb5-user, and
# libkrb5-dev for the build), Java, and a build (KAFIBER_BUILD, else build-dev). Not run by tools/test.
set -eu -o pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=${KAFIBER_BUILD:-$root/build-dev}
port=${1:-24300}
kafka=$((port + 10)) gss=$((port + 15))
work=$(mktemp -d)
kdc=
export PATH=$PATH:/usr/sbin:/sbin KRB5_CONFIG=$work/krb5.conf KRB5_KDC_PROFILE=$work/kdc.conf \
    KRB5CCNAME=FILE:$work/tickets

finish() {
    "$root/tools/kafka" stop --now --remove --dir "$work/kafka" >/dev/null 2>&1 || true
    [ -z "$kdc" ] || kill "$kdc" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
fail() {
    echo "FAILED: $*"
    exit 1
}

# ---- a realm -------------------------------------------------------------------------------------

cat >"$work/krb5.conf" <<END
[libdefaults]
    default_realm = EXAMPLE.TEST
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
[realms]
    EXAMPLE.TEST = {
        kdc = 127.0.0.1:$port
    }
[domain_realm]
    localhost = EXAMPLE.TEST
END
cat >"$work/kdc.conf" <<END
[kdcdefaults]
    kdc_listen = 127.0.0.1:$port
    kdc_tcp_listen = 127.0.0.1:$port
[realms]
    EXAMPLE.TEST = {
        database_name = $work/principal
        key_stash_file = $work/stash
        acl_file = $work/acl
    }
[logging]
    kdc = FILE:$work/kdc.log
END
kdb5_util create -s -P master >/dev/null 2>&1
admin() { kadmin.local -q "$*" >>"$work/admin.log" 2>&1; }
admin addprinc -randkey kafka/localhost
admin addprinc -randkey alice
admin ktadd -k "$work/kafka.keytab" kafka/localhost
admin ktadd -k "$work/alice.keytab" alice
krb5kdc -n >"$work/kdc.out" 2>&1 &
kdc=$!

# ---- a broker ------------------------------------------------------------------------------------

jaas="com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true"
jaas="$jaas keyTab=\"$work/kafka.keytab\" principal=\"kafka/localhost@EXAMPLE.TEST\";"
JAVA_TOOL_OPTIONS="-Djava.security.krb5.conf=$work/krb5.conf" \
    "$root/tools/kafka" start --port "$kafka" --dir "$work/kafka" \
    --set "listeners=PLAINTEXT://127.0.0.1:$kafka,CONTROLLER://127.0.0.1:$((kafka + 1)),GSS://localhost:$gss" \
    --set "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,GSS:SASL_PLAINTEXT" \
    --set inter.broker.listener.name=PLAINTEXT --set sasl.enabled.mechanisms=GSSAPI \
    --set sasl.kerberos.service.name=kafka --set "listener.name.gss.gssapi.sasl.jaas.config=$jaas" \
    2>&1 | grep -v JAVA_TOOL_OPTIONS
"$build/tools/kf/kf" topic create orders -b "127.0.0.1:$kafka"

# ---- the example ---------------------------------------------------------------------------------

ask() { "$build/examples/sasl_gssapi" "localhost:$gss"; }

ask >"$work/out" 2>"$work/err" && fail "it was admitted without a ticket"
grep -q "no ticket for the broker" "$work/err" || { cat "$work/err" && fail "other words"; }
kinit -k -t "$work/alice.keytab" alice
for ((tries = 0; tries < 50; tries++)); do # a broker hears of a new topic a little later
    ask >"$work/out" || fail "it was not admitted with a ticket"
    ! grep -qx orders "$work/out" || break
    sleep 0.1
done
grep -qx orders "$work/out" || fail "the topic is not in what it prints: $(cat "$work/out")"
klist | grep -q kafka/localhost@EXAMPLE.TEST || fail "there is no ticket for the broker"
echo "GSSAPI: admitted with a ticket for kafka/localhost, refused without"
