# Completion of kf for fish: verbs, options, and what they take.
#
# Topics and groups are asked of the cluster, with the -b, -F and -X that stand on the line, and
# only for an argument that is one. It gives up after two seconds and never complains.

function __kf_run
    set -l kf (commandline -opc)[1]
    set kf (string replace -r '^~/' "$HOME/" -- $kf)
    if type -q timeout
        timeout 2 $kf $argv </dev/null 2>/dev/null
    else
        $kf $argv </dev/null 2>/dev/null
    end
end

function __kf_ask -a verb
    set -l where
    set -l next 0
    for word in (commandline -opc)
        if test $next = 1
            set -a where (string replace -r '^~/' "$HOME/" -- $word)
            set next 0
        else if contains -- $word -b -F -X --bootstrap-servers --file --set
            set -a where $word
            set next 1
        else if string match -qr -- '^(-[bFX].|--(bootstrap-servers|file|set)=)' $word
            set -a where $word
        end
    end
    # A -b without its value would take what follows.
    test $next = 0; or set -e where[-1]
    __kf_run $verb list --timeout 2000 $where | awk 'NR > 1 { print $1 }'
end

function __kf_keys
    __kf_run properties list | string replace -rf '^\| `([^`]*)` .*' '$1'
end

function __kf_apis
    __kf_run codec schema | string replace -rf '^([A-Za-z]*)Request\t.*' '$1' | uniq
end

# Is this the verb, and its second word?
function __kf_verb
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv
end

function __kf_action -a verb
    set -l words (commandline -opc)
    test (count $words) -ge 3; and test $words[2] = $verb; and contains -- $words[3] $argv[2..]
end

function __kf_needs_verb
    test (count (commandline -opc)) = 1
end

function __kf_needs_action -a verb
    set -l words (commandline -opc)
    test (count $words) = 2; and test $words[2] = $verb
end

complete -c kf -f
complete -c kf -n __kf_needs_verb -a broker -d 'the embedded broker: a Kafka in memory, for tests'
complete -c kf -n __kf_needs_verb -a produce -d 'lines of stdin become records'
complete -c kf -n __kf_needs_verb -a consume -d 'print records, as a reader or as a group member'
complete -c kf -n __kf_needs_verb -a topic -d 'list, create, describe or delete topics'
complete -c kf -n __kf_needs_verb -a group -d 'list or describe consumer groups, or their lag'
complete -c kf -n __kf_needs_verb -a call -d 'call any Kafka API: JSON in, JSON out'
complete -c kf -n __kf_needs_verb -a api-versions -d 'show what a broker speaks'
complete -c kf -n __kf_needs_verb -a doctor -d 'why a client cannot reach its cluster'
complete -c kf -n __kf_needs_verb -a codec -d 'decode, encode or describe messages'
complete -c kf -n __kf_needs_verb -a decode -d 'show captured Kafka traffic field by field'
complete -c kf -n __kf_needs_verb -a bench -d 'how fast a cluster takes records'
complete -c kf -n __kf_needs_verb -a demo -d '100,000 orders, two members, one of them killed'
complete -c kf -n __kf_needs_verb -a properties -d 'list the configuration keys'
complete -c kf -l help -d 'what it does, its options and two examples'

set -l client produce consume topic group call api-versions doctor bench demo properties
complete -c kf -n "__kf_verb $client" -s b -l bootstrap-servers -x -d 'the brokers to ask first'
complete -c kf -n "__kf_verb $client" -s F -l file -r -F -d 'a configuration file'
complete -c kf -n "__kf_verb $client" -s X -l set -x -a '(__kf_keys)=' -d 'one configuration key'
complete -c kf -n "__kf_verb $client" -l verbose -d 'more on stderr'
set -l client produce consume topic group call api-versions doctor bench
complete -c kf -n "__kf_verb $client" -l timeout -x -d 'milliseconds for one request'
complete -c kf -n '__kf_verb produce consume topic group api-versions doctor decode bench' -l json -d 'JSON lines'

complete -c kf -n '__kf_verb broker' -l listen -x -d 'where the first node listens'
complete -c kf -n '__kf_verb broker' -l nodes -x -d 'how many brokers'
complete -c kf -n '__kf_verb broker' -l topic -x -d 'NAME:PARTITIONS[:REPLICAS]'
complete -c kf -n '__kf_verb broker' -l journal -r -F -d 'a line of JSON for each request'
complete -c kf -n '__kf_verb broker' -l script -r -F -d 'faults and events, a line each'
complete -c kf -n '__kf_verb broker' -l snapshot -r -F -d 'begin with what it holds'
complete -c kf -n '__kf_verb broker' -l save-snapshot -r -F -d 'write it all at the end'
complete -c kf -n '__kf_verb broker' -l seed -x -d 'of ids and chances'
complete -c kf -n '__kf_verb broker' -l strict -d 'refuse non-canonical bytes'
complete -c kf -n '__kf_verb broker' -l kafka-version -x -a '2.1 2.8 3.9 4.0 4.1 4.2 4.3 4.4' -d 'whose APIs it advertises'
complete -c kf -n '__kf_verb broker' -l config -x -d 'KEY=VALUE, of all its brokers'
complete -c kf -n '__kf_verb broker' -l acls -d 'nobody may do anything without an ACL'
complete -c kf -n '__kf_verb broker' -l super-users -x -d 'who may do everything'
complete -c kf -n '__kf_verb broker' -l max-bytes -x -d 'the cap of all records together'
complete -c kf -n '__kf_verb broker' -l memory-max -x -d 'the cap of all that the broker holds'
complete -c kf -n '__kf_verb broker' -l racks -x -d 'of the nodes in order, as a,b,c'
complete -c kf -n '__kf_verb broker' -l no-auto-create -d 'topics are not made by asking for them'
complete -c kf -n '__kf_verb broker' -l listener -x -d 'a port and what is spoken there'
complete -c kf -n '__kf_verb broker' -l tls-self-signed -r -F -d 'a directory for test certificates'
complete -c kf -n '__kf_verb broker' -l tls-keystore -r -F -d 'private key and certificates'
complete -c kf -n '__kf_verb broker' -l tls-truststore -r -F -d 'whose client certificates are believed'
complete -c kf -n '__kf_verb broker' -l tls-password-file -r -F -d 'the password of the key store'
complete -c kf -n '__kf_verb broker' -l tls-client-auth -x -a 'none requested required' -d 'whether clients show a certificate'
complete -c kf -n '__kf_verb broker' -l principal-mapping -x -d 'from a subject to a principal'
complete -c kf -n '__kf_verb broker' -l sasl-user -x -d 'who may authenticate'
complete -c kf -n '__kf_verb broker' -l sasl-mechanisms -x -d 'what is offered'
complete -c kf -n '__kf_verb broker' -l sasl-token-key -r -F -d 'the public key of tokens'
complete -c kf -n '__kf_verb broker' -l sasl-unsecured-tokens -d 'tokens without a signature too'
complete -c kf -n '__kf_verb broker' -l sasl-reauth-ms -x -d 'how long a session lasts'

complete -c kf -n '__kf_verb produce' -a '(__kf_ask topic)'
complete -c kf -n '__kf_verb produce' -s p -l partition -x -d 'into this partition'
complete -c kf -n '__kf_verb produce' -s k -l key -x -d 'for each record that brings none'
complete -c kf -n '__kf_verb produce' -s K -l key-separator -x -d 'a line is KEY SEP VALUE'
complete -c kf -n '__kf_verb produce' -s H -l header -x -d 'NAME=VALUE'
complete -c kf -n '__kf_verb produce' -s z -l compression -x -a 'gzip snappy lz4 zstd'
complete -c kf -n '__kf_verb produce' -l acks -x -a 'all 1 0'
complete -c kf -n '__kf_verb produce' -l report -d 'print PARTITION OFFSET for each record'

complete -c kf -n '__kf_verb consume' -a '(__kf_ask topic)'
complete -c kf -n '__kf_verb consume' -s g -l group -x -a '(__kf_ask group)' -d 'be a member'
complete -c kf -n '__kf_verb consume' -s n -l count -x -d 'end after so many records'
complete -c kf -n '__kf_verb consume' -s e -l end -d 'end where the partitions ended at the start'
complete -c kf -n '__kf_verb consume' -s f -l format -x -d '%t %p %o %k %v %h{...} %d'
complete -c kf -n '__kf_verb consume' -s p -l partition -x -d 'only this one'
complete -c kf -n '__kf_verb consume' -s o -l offset -x -a 'start end' -d 'where to begin'
complete -c kf -n '__kf_verb consume' -l semantics -x -a 'at-least-once at-most-once'
complete -c kf -n '__kf_verb consume' -l instance-id -x -d 'a static member'
complete -c kf -n '__kf_verb consume' -l exec -x -d 'hand records to a program'
complete -c kf -n '__kf_verb consume' -l exec-window -x -d 'records that it may hold unanswered'

complete -c kf -n '__kf_needs_action bench' -a produce
complete -c kf -n '__kf_action bench produce' -a '(__kf_ask topic)'
complete -c kf -n '__kf_verb bench' -s n -l count -x -d 'records'
complete -c kf -n '__kf_verb bench' -s s -l size -x -d 'bytes of a value'
complete -c kf -n '__kf_verb bench' -s p -l partition -x -d 'all into this one'
complete -c kf -n '__kf_verb bench' -l keys -x -d 'with so many different keys'
complete -c kf -n '__kf_verb bench' -s r -l rate -x -d 'records a second at most'
complete -c kf -n '__kf_verb bench' -s z -l compression -x -a 'gzip snappy lz4 zstd'
complete -c kf -n '__kf_verb bench' -l acks -x -a 'all 1 0'

complete -c kf -n '__kf_needs_action topic' -a 'list describe create delete'
complete -c kf -n '__kf_action topic describe delete' -a '(__kf_ask topic)'
complete -c kf -n '__kf_verb topic' -s p -l partitions -x -d 'how many'
complete -c kf -n '__kf_verb topic' -s r -l replicas -x -d 'how many of each'
complete -c kf -n '__kf_verb topic' -s c -l config -x -d 'KEY=VALUE of the topic'
complete -c kf -n '__kf_verb topic' -l if-not-exists -d 'a topic that is there is no error'
complete -c kf -n '__kf_verb topic' -l if-exists -d 'a topic that is not there is no error'
complete -c kf -n '__kf_verb topic' -l internal -d 'internal topics too'

complete -c kf -n '__kf_needs_action group' -a 'list describe lag'
complete -c kf -n '__kf_action group describe lag' -a '(__kf_ask group)'

complete -c kf -n '__kf_needs_action call' -a '(__kf_apis)'
complete -c kf -n '__kf_verb call' -s v -l version -x -d 'default: the newest of both sides'
complete -c kf -n '__kf_verb doctor' -s g -l group -x -a '(__kf_ask group)' -d 'whose coordinator is looked for'
complete -c kf -n '__kf_verb call api-versions' -l node -x -d 'ask this broker'
complete -c kf -n '__kf_verb call' -l controller -d 'ask the controller'
complete -c kf -n '__kf_verb call' -l coordinator -x -a '(__kf_ask group)' -d 'ask its broker'
complete -c kf -n '__kf_verb call' -l txn-coordinator -x -d 'ask the broker of this transactional id'

complete -c kf -n '__kf_needs_action codec' -a 'decode encode schema'
complete -c kf -n '__kf_action codec schema' -a '(__kf_run codec schema | cut -f 1 | uniq)'

complete -c kf -n '__kf_verb decode' -F
complete -c kf -n '__kf_verb decode' -l request -d 'no capture: all frames are requests'
complete -c kf -n '__kf_verb decode' -l response -x -a '(__kf_apis)' -d 'no capture: responses'
complete -c kf -n '__kf_verb decode' -l hex -d 'it is hex'
complete -c kf -n '__kf_verb decode' -l all -d 'also empty tag sections of structs'

complete -c kf -n '__kf_needs_action properties' -a 'list get'
complete -c kf -n '__kf_action properties get' -a '(__kf_keys)'
