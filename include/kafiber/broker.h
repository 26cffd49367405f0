/*
 * broker: a Kafka of one or many nodes inside this process, for tests.
 *
 *   kf_broker *broker = kf_broker_start(NULL, &error);
 *   kf_broker_create_topic(broker, "orders", 6, 1);
 *   … any Kafka client at kf_broker_bootstrap(broker) …
 *   kf_broker_stop(broker);
 *
 * It listens on loopback, keeps everything in memory and answers as Kafka 4.4
 * does. No thread unless asked for: either `thread` is set in the options, or
 * the caller turns it with kf_broker_step. Every function may be called from
 * any thread.
 *
 * Link kafiber_broker beside kafiber.
 */
#ifndef KAFIBER_BROKER_H
#define KAFIBER_BROKER_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/message.h>
#include <kafiber/runtime.h>
#include <kafiber/types.h>

KF_BEGIN_DECLS

typedef struct kf_broker kf_broker;

/* How clients say who they are. Zero is the default everywhere. */
typedef struct kf_broker_sasl {
    bool required; /* `listen` is a SASL_PLAINTEXT listener; `listeners` say it themselves */
    const char *mechanisms;   /* "PLAIN,SCRAM-SHA-512"; NULL: all that can work */
    const char *const *users; /* "NAME:PASSWORD" each, for PLAIN and SCRAM */
    size_t user_count;
    const char
        *token_key; /* a PEM file with the public key of OAUTHBEARER's tokens: RS256, ES256 */
    bool unsecured_tokens; /* believe tokens without a signature */
    int64_t max_reauth_ms; /* connections.max.reauth.ms; 0: sessions last (KIP-368) */
} kf_broker_sasl;

/* Zero is the default everywhere. */
typedef struct kf_broker_options {
    size_t size; /* sizeof(kf_broker_options) */
    const kf_allocator *alloc;
    const char *listen;         /* "HOST:PORT" of the first node, port 0 picks; "127.0.0.1:0" */
    int32_t nodes;              /* 1; ids count from 1, ports follow the first one's */
    bool thread;                /* turn it on a thread of its own */
    bool no_auto_create;        /* auto.create.topics.enable=false */
    int32_t default_partitions; /* of topics created by Metadata; 1 */
    size_t max_bytes;           /* of all logs together; 1 GiB. Beyond: POLICY_VIOLATION */
    int64_t group_initial_rebalance_delay_ms; /* 0 */
    int64_t group_min_session_timeout_ms;     /* 6000, as Kafka's */
    const char *kafka_version; /* whose APIs and versions are advertised: "2.1", "2.8", "3.9",
                                  "4.0" … "4.4" */
    bool acls;                 /* who may do what is asked: nothing without an ACL */
    bool allow_if_no_acl;      /* allow.everyone.if.no.acl.found */
    const char *super_users;   /* "User:a;User:b": they may do everything */
    bool client_telemetry;     /* takes clients' metrics (KIP-714); Kafka does where a plug-in is */
    const char *journal;       /* a file that gets one JSON line for each request; NULL: none. Of a
                                  pipe the broker waits for who reads it */

    /*
     * "[NAME=]PROTOCOL://HOST:PORT", in place of `listen`; at most 8. Ports of
     * further nodes follow the first one's. PROTOCOL: PLAINTEXT, SSL,
     * SASL_PLAINTEXT, SASL_SSL; the name is the protocol's where none is given.
     */
    const char *const *listeners;
    size_t listener_count;
    /* For SSL and SASL_SSL; files are read again when they change. */
    const char *tls_keystore;     /* private key and certificate chain, PEM or PKCS#12 */
    const char *tls_key_password; /* of either; NULL: none */
    const char *tls_truststore;   /* whose client certificates are believed; NULL: the system's */
    const char *tls_truststore_password;
    const char *tls_client_auth;         /* "none" (NULL), "requested", "required" */
    const char *principal_mapping_rules; /* ssl.principal.mapping.rules; NULL: DEFAULT */
    uint64_t seed;     /* of all ids, chances and noise; 0: another one each time */
    bool virtual_time; /* no sockets, and a clock that only kf_broker_advance moves (below) */
    bool strict;       /* refuse legal but non-canonical bytes, and name the field */
    kf_broker_sasl sasl;
    int32_t max_connections; /* 10000; more are closed as they come */
    const char *racks; /* "a,b,c": of the nodes in order; consumers are sent to theirs (KIP-392) */
    /*
     * Bytes that the broker may hold in all; max_bytes + 1 GiB. Logs, topics,
     * groups and the like get 7/8 of it, beyond: POLICY_VIOLATION; the rest is
     * for connections and requests, beyond: they close.
     */
    size_t memory_max;
} kf_broker_options;

/* NULL with `error` filled where it can't start. Options may be NULL. */
KF_API kf_broker *kf_broker_start(const kf_broker_options *options, kf_error *error);
/* Closes all connections, ends the thread, frees everything. NULL is allowed. */
KF_API void kf_broker_stop(kf_broker *broker);
/* One turn without a thread: waits at most `timeout_ms` (-1: for ever) for something to do. Where
   another thread waits in a turn already, it waits for that one first. */
KF_API kf_err kf_broker_step(kf_broker *broker, int timeout_ms);
/* Makes a waiting kf_broker_step return. Async-signal-safe. */
KF_API void kf_broker_wake(kf_broker *broker);

/* "127.0.0.1:40001,127.0.0.1:40002"; lives as long as the broker. */
KF_API const char *kf_broker_bootstrap(const kf_broker *broker);
/* The same of one listener; NULL where there is none of this name. */
KF_API const char *kf_broker_listener(const kf_broker *broker, const char *name);
/*
 * A certificate authority for tests, a certificate of it for localhost and
 * this host, and one for a client: DIR/ca.pem, broker.pem, client.pem, and
 * client.properties that uses them. Files that stand there already are kept.
 * The keys are not protected: never use them for anything else.
 */
KF_API kf_err kf_broker_make_certificates(const char *directory, kf_error *error);
KF_API const char *kf_broker_cluster_id(const kf_broker *broker);
/* Bytes that the broker holds now, of memory_max. */
KF_API size_t kf_broker_memory(const kf_broker *broker);

/* ---- virtual time (options.virtual_time) ---- */

/*
 * The broker as the whole world of runtimes with worker.threads=0: give it to
 * kf_config_world, and they talk to it through memory, by its clock. NULL
 * without virtual_time. Lives as long as the broker; close the runtimes first.
 */
struct kf__world;
KF_API const struct kf__world *kf_broker_world(kf_broker *broker);
/*
 * Lets `ms` pass for the broker and the started runtimes: everybody has turns
 * until all are at rest, then the clock goes to what is due next. One thread;
 * equal seeds, calls and handlers give equal runs. KF_ERR_STATE without
 * virtual_time; KF_ERR_TIMED_OUT where somebody spins and time stands still.
 */
KF_API kf_err kf_broker_play(kf_broker *broker, kf_runtime *const *runtimes, size_t count,
                             int64_t ms);
/* The same with nobody but the broker. */
KF_API kf_err kf_broker_advance(kf_broker *broker, int64_t ms);
/* The broker's wall clock, ms since 1970; virtual time begins with 2026. */
KF_API int64_t kf_broker_time_ms(kf_broker *broker);

/* ---- topics and records ---- */

/* partitions and replicas -1: as brokers are configured; replicas 0: one. TOPIC_ALREADY_EXISTS,
 * INVALID_PARTITIONS, … as Kafka's. */
KF_API kf_err kf_broker_create_topic(kf_broker *broker, const char *topic, int32_t partitions,
                                     int32_t replicas);
KF_API kf_err kf_broker_delete_topic(kf_broker *broker, const char *topic);
KF_API kf_err kf_broker_create_partitions(kf_broker *broker, const char *topic, int32_t partitions);

/* Appends one record. timestamp -1: now. *offset may be NULL. */
KF_API kf_err kf_broker_produce(kf_broker *broker, const char *topic, int32_t partition,
                                kf_bytes key, kf_bytes value, int64_t timestamp, int64_t *offset);

/*
 * The record at `offset` or the first one after it: the message and its views
 * are valid until the next kf_broker_read. OFFSET_OUT_OF_RANGE at the end of
 * the log.
 */
KF_API kf_err kf_broker_read(kf_broker *broker, const char *topic, int32_t partition,
                             int64_t offset, kf_message *message);

/* Log start and end of a partition; the end is the offset the next record gets. */
KF_API kf_err kf_broker_offsets(kf_broker *broker, const char *topic, int32_t partition,
                                int64_t *start, int64_t *end);
/* Moves the log's start: DeleteRecords. before -1: all go. OFFSET_OUT_OF_RANGE beyond the end. */
KF_API kf_err kf_broker_delete_records(kf_broker *broker, const char *topic, int32_t partition,
                                       int64_t before);

/*
 * Retention and log compaction, as cleanup.policy and its companions want it
 * now; it never happens by itself. topic NULL: all. The last batch stays, if
 * need be without records, so that readers reach the end of the log; what is
 * in an open transaction stays as well.
 */
KF_API kf_err kf_broker_clean(kf_broker *broker, const char *topic);

/* ---- configs ---- */

/* Kafka's numbers. */
typedef enum kf_broker_resource {
    KF_BROKER_TOPIC = 2,
    KF_BROKER_BROKER = 4, /* named by its id; "" are all of them */
    KF_BROKER_CLIENT_METRICS = 16,
    KF_BROKER_GROUP = 32,
} kf_broker_resource;

/*
 * Sets one config as IncrementalAlterConfigs does; of all brokers also those
 * that Kafka only takes from a server.properties. value NULL: back to its
 * default. INVALID_CONFIG, INVALID_REQUEST, UNKNOWN_TOPIC_OR_PARTITION.
 */
KF_API kf_err kf_broker_set_config(kf_broker *broker, kf_broker_resource resource, const char *name,
                                   const char *key, const char *value);

/* ---- groups ---- */

/* -1 where nothing is committed. */
KF_API int64_t kf_broker_committed(kf_broker *broker, const char *group, const char *topic,
                                   int32_t partition);
/* Members of a group, and its state's name ("Stable", …; static). 0 for an unknown group. */
KF_API int32_t kf_broker_group_members(kf_broker *broker, const char *group, const char **state);
/*
 * Committed offsets that are older than offsets.retention.minutes go, by Kafka's rules (KIP-211),
 * and groups that have neither members nor offsets then; it never happens by itself.
 */
KF_API void kf_broker_expire_offsets(kf_broker *broker);

/* ---- transactions ---- */

/*
 * Partitions forget producers whose last record is producer.id.expiration.ms old, by its timestamp,
 * and that have no transaction open; it never happens by itself. A transactional id that nobody
 * has used for transactional.id.expiration.ms goes within a minute by itself.
 */
KF_API void kf_broker_expire_producers(kf_broker *broker);
/* The state of a transactional id as Kafka names it ("Ongoing", …; static); NULL: unknown. */
KF_API const char *kf_broker_transaction(kf_broker *broker, const char *transactional_id);
/* Which node coordinates a group or a transactional id; -1: none runs. */
KF_API int32_t kf_broker_coordinator(kf_broker *broker, const char *name);

/* ---- nodes and connections ---- */

KF_API int32_t kf_broker_connections(kf_broker *broker);
KF_API void kf_broker_close_connections(kf_broker *broker);
/* Requests are taken in and answered only after kf_broker_resume. */
KF_API void kf_broker_pause(kf_broker *broker);
KF_API void kf_broker_resume(kf_broker *broker);

/*
 * A stopped node closes its port and connections; its partitions move to the
 * next replica that runs and is in sync (leader epoch + 1), or have no leader:
 * then only the last one that was in sync may lead again, or an unclean
 * election. A started one takes its port again and catches up.
 */
KF_API kf_err kf_broker_stop_node(kf_broker *broker, int32_t node);
KF_API kf_err kf_broker_start_node(kf_broker *broker, int32_t node);
/* Leader -1 and epoch -1 where there is none. */
KF_API kf_err kf_broker_leader(kf_broker *broker, const char *topic, int32_t partition,
                               int32_t *leader, int32_t *epoch);
/* Moves the leadership to a running node, epoch + 1; it becomes a replica where it was none. */
KF_API kf_err kf_broker_move_leader(kf_broker *broker, const char *topic, int32_t partition,
                                    int32_t node);
/*
 * The node coordinates the group or transactional id from now on, and all that share its partition
 * of __consumer_offsets or __transaction_state: it becomes that one's leader. A name that is
 * neither yet moves as both.
 */
KF_API kf_err kf_broker_move_coordinator(kf_broker *broker, const char *group, int32_t node);
/*
 * An election as an administrator orders it: the first replica leads again,
 * or, where nobody leads, unclean, whoever runs, at the price of the records
 * that it hasn't got. ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE,
 * ELIGIBLE_LEADERS_NOT_AVAILABLE.
 */
KF_API kf_err kf_broker_elect_leader(kf_broker *broker, const char *topic, int32_t partition,
                                     bool unclean);
/* Keeps a follower from copying: it falls out of sync until it is let go. */
KF_API kf_err kf_broker_hold_replica(kf_broker *broker, const char *topic, int32_t partition,
                                     int32_t node, bool held);
/* How many requests of an API have come in; KF_BROKER_ANY_API counts all. */
KF_API int64_t kf_broker_requests(kf_broker *broker, int16_t api_key);

/* ---- snapshots ---- */

/*
 * The state as bytes: topics, logs, producers, offsets, groups, transactions;
 * not connections, members, faults. Free with kf_broker_snapshot_free. NULL
 * when out of memory.
 */
KF_API void *kf_broker_snapshot(kf_broker *broker, size_t *size);
KF_API void kf_broker_snapshot_free(kf_broker *broker, void *bytes);
/*
 * In place of all that the broker holds; connections are closed, groups come
 * back empty. The broker needs as many nodes as it had. INVALID_ARGUMENT with
 * a sentence where the bytes are no snapshot of a version it reads: then
 * nothing has changed.
 */
KF_API kf_err kf_broker_restore(kf_broker *broker, const void *bytes, size_t size, kf_error *error);
/* The same with a file; KF_ERR_SYSTEM where it can't be read or written. */
KF_API kf_err kf_broker_snapshot_file(kf_broker *broker, const char *path, kf_error *error);
KF_API kf_err kf_broker_restore_file(kf_broker *broker, const char *path, kf_error *error);

/* ---- questions of a test (broker_assert.h has macros over them) ---- */

/* Records of a topic with this key and value, texts; NULL: any. */
KF_API int64_t kf_broker_count_produced(kf_broker *broker, const char *topic, const char *key,
                                        const char *value);
/*
 * True where it is as asked; else `miss` (may be NULL) says what is there
 * instead, the nearest first.
 */
KF_API bool kf_broker_check_produced(kf_broker *broker, const char *topic, const char *key,
                                     const char *value, kf_error *miss);
KF_API bool kf_broker_check_records(kf_broker *broker, const char *topic, int64_t count,
                                    kf_error *miss);
KF_API bool kf_broker_check_committed(kf_broker *broker, const char *group, const char *topic,
                                      int32_t partition, int64_t offset, kf_error *miss);
KF_API bool kf_broker_check_members(kf_broker *broker, const char *group, int32_t count,
                                    kf_error *miss);
KF_API bool kf_broker_check_member(kf_broker *broker, const char *group, const char *client_id,
                                   kf_error *miss);
/* client_id NULL: all clients together. */
KF_API bool kf_broker_check_requests(kf_broker *broker, int16_t api_key, const char *client_id,
                                     int64_t least, int64_t most, kf_error *miss);
/* How many requests came from a client id; KF_BROKER_ANY_API counts all. */
KF_API int64_t kf_broker_requests_of(kf_broker *broker, const char *client_id, int16_t api_key);

typedef struct kf_broker_member {
    size_t size;
    char id[256];
    char instance_id[256]; /* empty: it is no static member */
    char client_id[256];
    bool leads; /* a group of the new protocol (KIP-848) has no leader */
} kf_broker_member;
/* In order of joining, from 0; false past the last. */
KF_API bool kf_broker_group_member_at(kf_broker *broker, const char *group, int32_t index,
                                      kf_broker_member *member);

/*
 * With options.strict: how many requests were refused, and why the last one
 * was: "Fetch v12: topics[0].partitions at byte 52 is not canonical: 81 00".
 * `why` may be NULL.
 */
KF_API int64_t kf_broker_refusals(kf_broker *broker, kf_error *why);

/*
 * How many lines options.journal lacks; `why` (may be NULL) names the file and
 * why the first of them was lost. After a write that fails, on a full disk or
 * to a pipe that nobody reads, nothing more is written: the last line may be
 * cut. It is told on stderr once; requests are answered as ever.
 */
KF_API int64_t kf_broker_journal_lost(kf_broker *broker, kf_error *why);

/* ---- faults ---- */

enum {
    KF_BROKER_ANY_API = -1,
};

/* The script language's word beside each (docs/broker.md). */
typedef enum kf_broker_fault_kind {
    KF_BROKER_ANSWER_ERROR = 1, /* answer ERROR: nothing else happens */
    KF_BROKER_CLOSE,            /* close: the connection, in place of handling the request */
    KF_BROKER_CLOSE_ANSWER,     /* close answer: handle the request, then close unanswered */
    KF_BROKER_DROP_REQUEST,     /* drop: neither handle nor answer it; the connection stays */
    KF_BROKER_DROP_ANSWER,      /* drop answer: handle it, never answer; the connection stays */
    KF_BROKER_DELAY,            /* delay: answer `ms` later */
    KF_BROKER_CUT,              /* cut: send the answer's first `bytes`, then close */
    KF_BROKER_GARBAGE,          /* garbage: `bytes` of noise in place of the answer, then close */
    KF_BROKER_THROTTLE,         /* throttle: throttle_time_ms = `ms`, and the connection muted */
    KF_BROKER_CORRUPT_CRC,      /* corrupt: Fetch: one bit of the first batch is wrong */
} kf_broker_fault_kind;

/*
 * Which requests, and what happens to them. Zero is the default where nothing
 * else is said. Requests that meet all conditions but `probability` are
 * counted from 1; of these `first`, `last`, `every` and `times` choose.
 */
typedef struct kf_broker_fault {
    size_t size; /* sizeof(kf_broker_fault) */
    kf_broker_fault_kind kind;
    int16_t api_key;   /* or KF_BROKER_ANY_API */
    int32_t node;      /* 0: any */
    const char *topic; /* the request names it; ANSWER_ERROR: only its part of the answer fails */
    bool one_partition;
    int32_t partition; /* with one_partition */
    int64_t first;     /* the first matching request that is hit, from 1; 0: the first */
    int64_t every;     /* then every n-th; 0: every one */
    int64_t times;     /* how many are hit in all; 0: no end */
    kf_err error;
    int64_t ms; /* 0 to INT32_MAX */
    size_t bytes;
    int64_t last;          /* the last matching request that is hit; 0: no end */
    bool by_version;       /* only requests of min_version to max_version, both included */
    int16_t min_version;   /* with by_version */
    int16_t max_version;   /* with by_version */
    const char *client_id; /* NULL: any */
    uint64_t connection;   /* counted from 1 as they are accepted; 0: any */
    double probability;    /* 0: always, else the chance of each, up to 1 */
    uint64_t seed;         /* of the chances; 0: the broker's */
} kf_broker_fault;

/* The fault's id, above 0; 0 when out of memory or `fault` makes no sense. */
KF_API int32_t kf_broker_fault_add(kf_broker *broker, const kf_broker_fault *fault);
/* How often it has hit. */
KF_API int64_t kf_broker_fault_hits(kf_broker *broker, int32_t id);
/* id 0: all of them, events that have not happened yet included. */
KF_API void kf_broker_fault_clear(kf_broker *broker, int32_t id);

/*
 * Faults and events as text, a line each (docs/broker.md):
 *
 *     on Fetch #3 topic=orders partition=0 answer NOT_LEADER_OR_FOLLOWER
 *     after 2s stop node 2
 *
 * They are added to those that stand; times count from this call. Where a
 * line is wrong none is taken: KF_ERR_INVALID_ARGUMENT, and `error` names
 * line, column, what was expected and the nearest word.
 */
KF_API kf_err kf_broker_script(kf_broker *broker, const char *text, kf_error *error);
/* The same from a file; KF_ERR_SYSTEM where it can't be read. */
KF_API kf_err kf_broker_script_file(kf_broker *broker, const char *path, kf_error *error);

KF_END_DECLS

#endif
