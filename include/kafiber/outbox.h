/*
 * outbox: moves events out of a database into topics, at least once and in
 * order per aggregate (the "transactional outbox": an event is a row written
 * in the same transaction as what it tells of).
 *
 *   claim ──rows──▶ kf_produce ──acknowledged──▶ mark ──▶ release
 *     ▲                 │ failed: its aggregate waits, others go on
 *     └── back-off ◀────┘
 *
 * A row leaves only when its predecessor in the aggregate has been
 * acknowledged, whoever published that one. So the first occurrences of an
 * aggregate's events stand in order in their partition whatever fails, even
 * with several publishers and kill -9; what was acknowledged and not yet
 * marked is published again.
 *
 * Where rows come from is a kf_outbox_source: four functions over any
 * database. docs/outbox.md and examples/outbox_postgres.c show one for
 * PostgreSQL.
 */
#ifndef KAFIBER_OUTBOX_H
#define KAFIBER_OUTBOX_H

#include <kafiber/producer.h>

KF_BEGIN_DECLS

/* What events belong to: their order counts within it. Published as the key, the id alone. */
typedef struct kf_outbox_aggregate {
    kf_string type; /* "order" */
    kf_string id;   /* "4711" */
} kf_outbox_aggregate;

typedef struct kf_outbox_row {
    int64_t position;  /* the source's own number: grows within an aggregate */
    const char *topic; /* NULL: the options' */
    kf_outbox_aggregate aggregate;
    kf_string event_id;       /* by which consumers drop what they have seen */
    kf_string event_type;     /* "order-placed" */
    kf_bytes payload;         /* the record's value; may be null */
    const kf_header *headers; /* more headers, behind those below */
    size_t header_count;
    int64_t timestamp; /* as kf_record's; 0: when it is published */
} kf_outbox_row;

/* The headers that each record begins with, in this order. */
#define KF_OUTBOX_EVENT_ID       "event-id"
#define KF_OUTBOX_EVENT_TYPE     "event-type"
#define KF_OUTBOX_AGGREGATE_ID   "aggregate-id"
#define KF_OUTBOX_AGGREGATE_TYPE "aggregate-type"

/* What a claim is to bring; valid during the call of `claim`. */
typedef struct kf_outbox_claim kf_outbox_claim;
/* How many more rows are wanted; 0 once so many were added. */
KF_API size_t kf_outbox_claim_rows(const kf_outbox_claim *claim);
/* Aggregates to leave out: in hand already, or waiting after a failure. Borrowed. */
KF_API const kf_outbox_aggregate *kf_outbox_claim_without(const kf_outbox_claim *claim,
                                                          size_t *count);
/*
 * Hands a row over; everything is copied. Rows of one aggregate come in
 * order. One of an aggregate that was to be left out is passed over.
 * KF_ERR_NO_MEMORY, KF_ERR_INVALID_ARGUMENT (no topic, no aggregate id).
 */
KF_API kf_err kf_outbox_claim_add(kf_outbox_claim *claim, const kf_outbox_row *row);

/*
 * Where rows come from. All run on the thread of kf_outbox_run, one at a
 * time, and may block. What fails is told to `trouble` and tried again with
 * back-off; a lost connection is theirs to open again.
 */
typedef struct kf_outbox_source {
    size_t size; /* sizeof(kf_outbox_source) */
    void *context;
    /*
     * Adds rows, oldest first. An aggregate of which rows were added belongs to this publisher
     * until it is released: no other publisher may claim it.
     */
    kf_err (*claim)(void *context, kf_outbox_claim *claim, kf_error *error);
    /* These were acknowledged: durably not to be claimed again. May be called twice for a row. */
    kf_err (*mark)(void *context, const kf_outbox_row *const *rows, size_t count, kf_error *error);
    /* Nothing more of these is in hand: others may claim them. May be NULL. */
    void (*release)(void *context, const kf_outbox_aggregate *aggregates, size_t count);
    /* What went wrong: with a row's record, or, row NULL, with claim or mark. May be NULL. */
    void (*trouble)(void *context, const kf_outbox_row *row, const kf_error *error);
} kf_outbox_source;

/* Zero is the default of each. */
typedef struct kf_outbox_options {
    size_t size;             /* sizeof(kf_outbox_options) */
    const char *topic;       /* of rows that name none; copied */
    int32_t max_rows;        /* in hand at once; twice as many aggregates may wait after failures
                                before nothing more is claimed until their time; 1000 */
    int32_t idle_ms;         /* before the next claim when one brought nothing; 100 */
    int32_t backoff_ms;      /* after the first failure of an aggregate, doubled each time; 100 */
    int32_t backoff_max_ms;  /* 10,000 */
    int32_t stop_timeout_ms; /* what a stop leaves for records under way; 30,000 */
    const kf_allocator *allocator; /* outlives the outbox; kf_default_allocator */
} kf_outbox_options;

typedef struct kf_outbox kf_outbox;

/* The producer, the source's context and their threads outlive the outbox. acks=all is advised. */
KF_API kf_outbox *kf_outbox_new(kf_producer *producer, const kf_outbox_source *source,
                                const kf_outbox_options *options, kf_error *error);
/*
 * Publishes on the calling thread until kf_outbox_stop: then what is under
 * way is waited for, marked and released, KF_OK; KF_ERR_TIMED_OUT where that
 * took too long. Any other error is one that no retry cures: the producer is
 * closed, or its credentials are refused.
 */
KF_API kf_err kf_outbox_run(kf_outbox *outbox, kf_error *error);
/* From any thread, and from a signal handler. Takes effect within 100 ms. */
KF_API void kf_outbox_stop(kf_outbox *outbox);
/* Rows published and marked so far; from any thread. */
KF_API int64_t kf_outbox_published(const kf_outbox *outbox);
/* After kf_outbox_run has returned. Waits for records that a stop gave up. NULL is allowed. */
KF_API void kf_outbox_free(kf_outbox *outbox);

KF_END_DECLS

#endif
