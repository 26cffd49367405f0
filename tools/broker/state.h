/*
 * state: the broker itself: what its parts are, and what holds them together.
 * Each part has a header of its own and knows nothing of this one; the API
 * files, those of server/ and broker.c do.
 */
#ifndef KF_BROKER_STATE_H
#define KF_BROKER_STATE_H

#include "tools/broker/admin/acl.h"
#include "tools/broker/admin/configs.h"
#include "tools/broker/admin/features.h"
#include "tools/broker/admin/limits.h"
#include "tools/broker/admin/quotas.h"
#include "tools/broker/admin/versions.h"
#include "tools/broker/group/committed.h"
#include "tools/broker/group/consumer_coordinator.h"
#include "tools/broker/group/group_coordinator.h"
#include "tools/broker/group/pending_offsets.h"
#include "tools/broker/instrument/census.h"
#include "tools/broker/instrument/journal.h"
#include "tools/broker/instrument/memory.h"
#include "tools/broker/log/fetch_sessions.h"
#include "tools/broker/server/budget.h"
#include "tools/broker/server/server.h"
#include "tools/broker/txn/txn_coordinator.h"
#include <pthread.h>

enum {
    KF__MAX_API_KEY = 127,
    KF__MAX_UNPACKED_BYTES = 100 << 20, /* of one batch, decompressed */
    KF__MAX_IN_BYTES = 512 << 20,       /* received, of all connections: who needs more is closed */
    KF__MAX_DECODED_BYTES = 256 << 20,  /* of one request's structs */
    KF__CLUSTER_ID_BYTES = 23,
};

/* What Kafka would keep on a disk. */
#define KF__LOG_DIR "/kafiber/memory"

struct kf_broker {
    struct kf__budget budget;
    const kf_allocator *alloc; /* its `work`; what is kept comes from its `state` */
    kf_broker_options options;
    char *racks;              /* of the nodes, between commas; NULL: none has one */
    enum kf__release release; /* of Kafka, that it plays */
    char cluster_id[KF__CLUSTER_ID_BYTES];

    struct kf__topics topics;
    struct kf__coordinator coordinator; /* of classic groups */
    struct kf__consumers consumers;     /* of those of the new protocol */
    struct kf__committed committed;
    struct kf__txns txns;
    struct kf__pending_offsets pending;
    struct kf__fetch_sessions sessions;
    struct kf__rules rules;
    struct kf__sasl_server sasl;
    struct kf__configs configs;
    struct kf__topic_settings plain; /* of topics without configs of their own */
    uint64_t plain_as_of;            /* configs.changes */
    bool knows_plain;
    struct kf__limits limits; /* read through kf__broker_limits */
    struct kf__features features;
    struct kf__acls acls;
    struct kf__quotas quotas;
    struct kf__codecs codecs;
    struct kf__buffer scratch;    /* a decompressed batch, for those who look into one */
    struct kf__buffer rebatched;  /* a batch that was written anew */
    struct kf__buffer handed_out; /* the record of the last kf_broker_read */
    int64_t next_producer_id;
    uint64_t changes;   /* counts what may let a waiting Fetch answer */
    uint64_t appends;   /* those of them that were a Produce, */
    uint64_t new_marks; /* and the marks of its partitions since parked requests were looked at */
    int64_t requests[KF__MAX_API_KEY + 1];
    int64_t request_count;
    struct kf__census census;
    int64_t refusals; /* with options.strict */
    int64_t faults;   /* answers of ours that their own schema refused */
    char refusal[KF_ERROR_TEXT_BYTES];
    bool paused;
    kf_time virtual_now; /* with options.virtual_time */

    struct kf__server server;
    struct kf__memory memory; /* with options.virtual_time */
    struct kf__journal journal;

    pthread_mutex_t lock;     /* all of the above */
    pthread_cond_t poll_ends; /* and: a guest of the server has left */
    pthread_t thread;
    bool has_thread;
    bool stopping;
};

/* A config of all brokers: its number, a boolean's as 0 or 1. */
int64_t kf__broker_config(const struct kf_broker *broker, const char *key);
/* What all brokers are configured to take and give at once; read before any config changes. */
const struct kf__limits *kf__broker_limits(struct kf_broker *broker);
/* kf_broker_start, waiting in this way. */
kf_broker *kf__broker_start(const kf_broker_options *options, enum kf__backend backend,
                            kf_error *error);

/* By offset.metadata.max.bytes; mostly there is none at all. */
bool kf__is_too_much_metadata(const struct kf_broker *broker, kf_string metadata);

/* The clock, or the one that the test moves. */
kf_time kf__broker_now(const struct kf_broker *broker);
int64_t kf__broker_wall_ms(const struct kf_broker *broker);

/* Virtual time: one turn; where nothing happens in it the clock moves on to what is due next, at
   most to `until`. Without the lock. */
void kf__broker_pass(struct kf_broker *broker, kf_time until);

/* What is configured for a consumer group; `context` is the broker. */
void kf__consumer_settings_of(void *context, kf_string group,
                              struct kf__consumer_settings *settings);
/* Do groups of the new protocol exist here, by release, feature level and configs? */
bool kf__consumer_groups_are_on(const struct kf_broker *broker);
/* The coordinator of classic groups learns what is configured for them now. */
void kf__classic_settings_take(struct kf_broker *broker);

/* Creation, with the checks and defaults that Metadata, CreateTopics and the C call share. */
kf_err kf__broker_create(struct kf_broker *broker, kf_string name, int32_t partitions,
                         int32_t replicas, struct kf__topic **topic);
void kf__broker_delete(struct kf_broker *broker, struct kf__topic *topic);

#endif
