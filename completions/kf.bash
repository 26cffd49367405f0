# Completion of kf for bash: verbs, options, and what they take.
#
# Topics and groups are asked of the cluster, with the -b, -F and -X that stand on the line, and
# only for an argument that is one. It gives up after two seconds and never complains.
# shellcheck shell=bash

# The words before the cursor, with what bash cut at : and = put together again.
_kf_words() {
    local i word glue=
    words=()
    for ((i = 0; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        : | = | :=)
            [ ${#words[@]} = 0 ] || words[${#words[@]} - 1]+=$word
            glue=1
            ;;
        *)
            if [ "$glue" ]; then words[${#words[@]} - 1]+=$word; else words+=("$word"); fi
            glue=
            ;;
        esac
    done
}

_kf_options() {
    local common="--bootstrap-servers --file --set --json --timeout --verbose --help"
    case $1 in
    broker)
        echo "--listen --nodes --topic --journal --script --snapshot --save-snapshot --seed" \
            "--strict --kafka-version --config --acls --super-users --max-bytes --memory-max --racks --no-auto-create --listener --tls-self-signed --tls-keystore" \
            "--tls-truststore --tls-password-file --tls-client-auth --principal-mapping" \
            "--sasl-user --sasl-mechanisms --sasl-token-key --sasl-unsecured-tokens" \
            "--sasl-reauth-ms --help"
        ;;
    produce)
        echo "--partition --key --key-separator --header --compression --acks --report $common"
        ;;
    consume)
        echo "--group --count --end --format --partition --offset --semantics --instance-id" \
            "--exec --exec-window $common"
        ;;
    topic)
        echo "--partitions --replicas --config --if-not-exists --if-exists --internal $common"
        ;;
    call) echo "--version --node --controller --coordinator --txn-coordinator $common" ;;
    api-versions) echo "--node $common" ;;
    doctor) echo "--group $common" ;;
    codec) echo "--help" ;;
    decode) echo "--json --request --response --hex --all --help" ;;
    bench)
        echo "--count --size --partition --keys --rate --compression --acks $common"
        ;;
    demo | properties) echo "--bootstrap-servers --file --set --verbose --help" ;;
    *) echo "$common" ;;
    esac
}

# What the option takes: a word for _kf_offer, "nothing" for a value that nobody can guess, empty
# for an option without a value.
_kf_takes() {
    case $1:$2 in
    *:-F | *:--file | *:--journal | broker:--script | broker:--snapshot | \
        broker:--save-snapshot | broker:--tls-*[a-z]store | broker:--tls-password-file | \
        broker:--tls-self-signed | broker:--sasl-token-key) echo files ;;
    *:-X | *:--set) echo settings ;;
    *:-b | *:--bootstrap-servers | *:--timeout) echo nothing ;;
    consume:-g | consume:--group | doctor:-g | doctor:--group | call:--coordinator) echo groups ;;
    decode:--response) echo apis ;;
    consume:-o | consume:--offset) echo "start end" ;;
    consume:--semantics) echo "at-least-once at-most-once" ;;
    produce:-z | produce:--compression | bench:-z | bench:--compression) echo "gzip snappy lz4 zstd" ;;
    produce:--acks | bench:--acks) echo "all 1 0" ;;
    produce:-[pkKH] | produce:--partition | produce:--key | produce:--key-separator | \
        produce:--header | consume:-[pnf] | consume:--partition | consume:--count | \
        consume:--format | consume:--instance-id | consume:--exec | consume:--exec-window | \
        topic:-[prc] | topic:--partitions | topic:--replicas | topic:--config | call:-v | \
        call:--version | call:--node | call:--txn-coordinator | api-versions:--node | broker:--listen | \
        bench:-[nspr] | bench:--count | bench:--size | bench:--partition | bench:--keys | \
        bench:--rate | broker:--nodes | broker:--topic | broker:--seed | broker:--kafka-version | broker:--config | \
        broker:--super-users | broker:--max-bytes | broker:--memory-max | broker:--racks | \
        broker:--listener | broker:--tls-client-auth | broker:--principal-mapping | \
        broker:--sasl-user | broker:--sasl-mechanisms | broker:--sasl-reauth-ms) echo nothing ;;
    esac
}

# kf itself, as it stands on the line; never for long, never a word.
_kf_run() {
    local kf=${words[0]/#\~\//$HOME/} limit=()
    command -v timeout >/dev/null && limit=(timeout 2)
    "${limit[@]}" "$kf" "$@" </dev/null 2>/dev/null
}

# First columns of what the cluster lists, asked where the line says.
_kf_ask() {
    local i word where=()
    for ((i = 2; i < ${#words[@]}; i++)); do
        word=${words[i]}
        case $word in
        -b | -F | -X | --bootstrap-servers | --file | --set)
            where+=("$word" "${words[i + 1]/#\~\//$HOME/}")
            i=$((i + 1))
            ;;
        -[bFX]?* | --bootstrap-servers=* | --file=* | --set=*) where+=("$word") ;;
        esac
    done
    _kf_run "$1" list --timeout 2000 "${where[@]}" | awk 'NR > 1 && $1 != "-" { print $1 }'
}

_kf_offer() {
    local what=$1 current=$2 list word IFS=$' \t\n'
    local - # word splitting only, no names of files
    set -f
    case $what in
    '' | nothing) return ;;
    files)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    topics) list=$(_kf_ask topic) ;;
    groups) list=$(_kf_ask group) ;;
    messages) list=$(_kf_run codec schema | cut -f 1 | uniq) ;;
    apis) list=$(_kf_run codec schema | cut -f 1 | sed -n 's/Request$//p' | uniq) ;;
    keys) list=$(_kf_run properties list | sed -n 's/^| `\([^`]*\)` .*/\1/p') ;;
    settings)
        compopt -o nospace 2>/dev/null
        list=$(_kf_run properties list | sed -n 's/^| `\([^`]*\)` .*/\1=/p')
        ;;
    *) list=$what ;;
    esac
    # No compgen -W: it expands its words, and a group may be called $(reboot). What the shell or
    # the cut at : would trip over is left out.
    for word in $list; do
        case $word in
        *[!A-Za-z0-9._=-]*) ;;
        "$current"*) COMPREPLY+=("$word") ;;
        esac
    done
}

# What an argument of the verb is; $2: the verb's second word, $3: how many arguments came before.
_kf_argument() {
    case $1:$2 in
    produce:*) [ "$3" -gt 0 ] || echo topics ;;
    consume:* | bench:produce) echo topics ;;
    topic:describe | topic:delete) echo topics ;;
    group:describe | group:lag) echo groups ;;
    call:*) [ "$3" -gt 0 ] || echo apis ;;
    decode:*) echo files ;;
    codec:schema) [ "$3" -gt 1 ] || echo messages ;;
    properties:get) echo keys ;;
    esac
}

_kf_actions() {
    case $1 in
    topic) echo "list describe create delete" ;;
    group) echo "list describe lag" ;;
    codec) echo "decode encode schema" ;;
    bench) echo "produce" ;;
    properties) echo "list get" ;;
    esac
}

_kf() {
    local words=() current=${COMP_WORDS[COMP_CWORD]} verb last option i given=0
    COMPREPLY=()
    _kf_words
    case $current in : | = | :=) current= ;; esac
    if [ ${#words[@]} -le 1 ]; then
        _kf_offer "broker produce consume topic group call api-versions doctor codec decode bench \
            demo properties --help" "$current"
        return
    fi
    verb=${words[1]} last=${words[${#words[@]} - 1]}

    # The value of an option: "--acks all", "-z gzip", "--acks=all". bash has cut a word that goes
    # on behind = or :, and there is nothing to say of any other one.
    case ${COMP_WORDS[COMP_CWORD - 1]}${COMP_WORDS[COMP_CWORD]} in
    *:*) return ;;
    =*)
        _kf_offer "$(_kf_takes "$verb" "${COMP_WORDS[COMP_CWORD - 2]}")" "$current"
        return
        ;;
    *=)
        _kf_offer "$(_kf_takes "$verb" "${COMP_WORDS[COMP_CWORD - 1]}")" "$current"
        return
        ;;
    esac
    option=$(_kf_takes "$verb" "$last")
    if [ "$option" ]; then
        _kf_offer "$option" "$current"
        return
    fi

    case $current in
    -*)
        _kf_offer "$(_kf_options "$verb")" "$current"
        return
        ;;
    esac
    if [ ${#words[@]} = 2 ] && [ "$(_kf_actions "$verb")" ]; then
        _kf_offer "$(_kf_actions "$verb")" "$current"
        return
    fi
    for ((i = 2; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        -*=*) ;;
        -*) [ -z "$(_kf_takes "$verb" "${words[i]}")" ] || i=$((i + 1)) ;;
        *) given=$((given + 1)) ;;
        esac
    done
    _kf_offer "$(_kf_argument "$verb" "${words[2]:-}" "$given")" "$current"
}

complete -F _kf kf
