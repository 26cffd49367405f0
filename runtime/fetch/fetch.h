/*
 * fetch: brings record batches of many partitions from many brokers.
 *
 *                 wanted?                             arrived(batch)
 *   kf__fetching ────────▶ lane (backlog │ long poll) ───────────────▶ owner
 *        ▲                   one Fetch in flight each
 *        └── leader, epoch, offset, session
 *
 * Each broker has two lanes, each with one connection, one fetch session
 * (KIP-227) and at most one Fetch under way: partitions that lag must not
 * wait behind the long poll of those that are caught up. A Fetch reserves the
 * bytes that it may bring, out of a credit shared by all.
 *
 * Knows neither groups nor handlers: the owner says when a partition is
 * wanted and takes what arrives. Belongs to the loop's thread.
 */
#ifndef KF_RUNTIME_FETCH_H
#define KF_RUNTIME_FETCH_H

#include "net/cluster/cluster.h"
#include "net/loop/list.h"
#include "runtime/fetch/credit.h"
#include "runtime/fetch/held.h"

enum {
    KF__FETCH_MOST_PARTITIONS = 1000000 /* of a topic: tables are indexed by what others say */
};

struct kf__fetcher;
struct kf__fetch_lane;

/* Where a partition's reading is to begin. */
enum kf__start {
    KF__START_AT, /* an offset */
    KF__START_EARLIEST,
    KF__START_LATEST,
    KF__START_TIME, /* first record at or after a timestamp, milliseconds */
};

enum kf__fetching_state {
    KF__FETCHING_IDLE,    /* no offset yet */
    KF__FETCHING_SEEKING, /* asks the leader for an offset (ListOffsets) */
    KF__FETCHING_READY,   /* offset known */
    KF__FETCHING_WAITING, /* backs off after an error, or has no leader */
};

struct kf__fetching {
    struct kf__fetcher *fetcher;
    const struct kf__fetching_owner *owner;
    void *context;
    int32_t topic; /* the cluster's index */
    int32_t partition;
    kf_uuid topic_id; /* that the offset belongs to; zero: not known */

    enum kf__fetching_state state;
    enum kf__start start;
    int64_t start_value;
    int64_t offset;        /* next to fetch */
    int32_t last_epoch;    /* leader epoch of the last batch fetched; -1: unknown (KIP-595) */
    bool wanted;           /* the owner has room for more */
    bool caught_up;        /* nothing more was there the last time we looked */
    int32_t node;          /* where it is fetched from: leader or nearest replica */
    int32_t leader_epoch;  /* as metadata has it */
    kf_time replica_until; /* a preferred read replica is used until then (KIP-392) */
    int32_t replica;       /* -1: the leader */
    kf_err failure;        /* why it waits */
    int attempts;
    int32_t max_bytes; /* grows where a batch doesn't fit */

    struct kf__fetch_lane *lane; /* NULL: in none */
    struct kf__link in_lane;     /* among the lane's partitions */
    struct kf__link in_changed;  /* among those that the session has to hear of */
    bool in_session;
    int64_t sent_offset; /* as the session has it */
    int32_t sent_epoch;
    int32_t sent_max_bytes;
    struct kf__timer retry;

    int64_t high_watermark; /* -1: unknown */
    int64_t last_stable;    /* -1: unknown */
    int64_t log_start;      /* -1: unknown */
};

/* What the owner is told; on the loop's thread. */
struct kf__fetching_owner {
    /* The offset that a seek found; reading begins there. */
    void (*positioned)(struct kf__fetching *fetching, int64_t offset);
    /* A batch; the reference is the owner's. Batches come in order, without gaps but compaction's.
     */
    void (*arrived)(struct kf__fetching *fetching, struct kf_batch *batch);
    /* After all batches of one response, or when watermarks moved. */
    void (*settled)(struct kf__fetching *fetching);
    /*
     * The broker says that the offset is out of range, or that the log was
     * cut below it (KF_ERR_TRUNCATION_DETECTED; offset: where it diverges), or
     * metadata that the topic was created anew (KF_ERR_UNKNOWN_TOPIC_ID).
     * The partition is IDLE until kf__fetching_seek.
     */
    void (*out_of_range)(struct kf__fetching *fetching, kf_err err, int64_t offset);
    /* An error that goes on being retried; told once for each episode. */
    void (*troubled)(struct kf__fetching *fetching, kf_err err);
};

struct kf__fetch_settings {
    int32_t max_partition_bytes;
    int32_t max_bytes; /* of one response */
    int32_t min_bytes;
    int32_t max_wait_ms;
    int32_t max_concurrent; /* fetches at a time; 0: unlimited */
    bool read_committed;
    const char *rack; /* NULL: none */
    kf_time retry_backoff;
    kf_time retry_backoff_max;
    kf_time request_timeout;
    kf_time replica_lease; /* how long a preferred replica is believed: metadata.max.age.ms */
};

kf_err kf__fetcher_open(struct kf__cluster *cluster, struct kf__loop *loop,
                        struct kf__credit *credit, const struct kf__fetch_settings *settings,
                        struct kf__fetcher **fetcher);
void kf__fetcher_close(struct kf__fetcher *fetcher);

/* Metadata changed: partitions move to their leaders. */
void kf__fetcher_metadata(struct kf__fetcher *fetcher);
/* Credit came back: lanes that waited for it go on. */
void kf__fetcher_pump(struct kf__fetcher *fetcher);

/* What is registered for a partition; NULL: nothing. */
struct kf__fetching *kf__fetcher_find(struct kf__fetcher *fetcher, int32_t topic,
                                      int32_t partition);
/* retry_backoff doubled for each attempt, up to its maximum, ± 20 %. */
kf_time kf__fetcher_backoff(struct kf__fetcher *fetcher, int attempts);

/* Registers a partition; state IDLE, not wanted. KF_ERR_NO_MEMORY. */
kf_err kf__fetching_open(struct kf__fetching *fetching, struct kf__fetcher *fetcher, int32_t topic,
                         int32_t partition, const struct kf__fetching_owner *owner, void *context);
/* Takes it out; what still arrives for it is dropped. */
void kf__fetching_close(struct kf__fetching *fetching);
/*
 * Reads on from there; what a Fetch under way brings for another offset is
 * dropped. `epoch`: leader epoch of the record before it, -1 where unknown.
 */
void kf__fetching_seek(struct kf__fetching *fetching, enum kf__start start, int64_t value,
                       int32_t epoch);
void kf__fetching_want(struct kf__fetching *fetching, bool wanted);

#endif
