/*
 * producer: writes records. Idempotent and acks=all unless the configuration
 * says otherwise: nothing lost, nothing twice, nothing out of order within a
 * partition (KIP-98, KIP-360); batched per partition, retried until
 * delivery.timeout.ms; keys choose the partition by murmur2, as in Java.
 *
 * Any thread and any fiber may produce. Callbacks run one after the other, a
 * partition's in its order, on a thread of the producer's own that serves no
 * broker: one that blocks holds up other callbacks, and kf_flush, which waits
 * for them, but no record. From within one kf_produce never waits, and the
 * calls that wait are KF_ERR_STATE. A handler that is asked to stop while it
 * waits here goes on with KF_ERR_CANCELLED.
 */
#ifndef KAFIBER_PRODUCER_H
#define KAFIBER_PRODUCER_H

#include <kafiber/config.h>
#include <kafiber/fiber.h>
#include <kafiber/message.h>

KF_BEGIN_DECLS

typedef struct kf_producer kf_producer;

/* The configuration is copied. Nothing is connected yet. */
KF_API kf_producer *kf_producer_new(const kf_config *config, kf_error *error);
/*
 * Flushes until the deadline; what is left then fails with KF_ERR_CLOSED, and
 * the close returns KF_ERR_TIMED_OUT. All callbacks have run when it returns:
 * it waits for one that blocks. No other thread may use the producer any
 * more. NULL is allowed.
 */
KF_API kf_err kf_producer_close(kf_producer *producer, kf_time deadline);

/* What is to be written. Bytes are copied before kf_produce returns. */
typedef struct kf_record {
    const char *topic;
    int32_t partition; /* -1: by key, or, for a null key, sticky */
    kf_bytes key;
    kf_bytes value;
    const kf_header *headers;
    size_t header_count;
    int64_t timestamp; /* milliseconds since 1970 UTC; 0: now; -1: none; or: */
} kf_record;

/* The timestamp 0 itself, for who copies records. */
#define KF_TIMESTAMP_EPOCH INT64_MIN

/*
 * The producer's own copy of a topic's name, which a record may name instead:
 * it is known again without being compared. Lives as long as the producer;
 * NULL when out of memory, or where the name is longer than Kafka's 249.
 */
KF_API const char *kf_producer_topic(kf_producer *producer, const char *name);

/* ---- what became of a record ---- */

typedef enum kf_fate {
    KF_STORED,       /* as acks asks; with acks=0: sent */
    KF_NOT_STORED,   /* and never will be */
    KF_FATE_UNKNOWN, /* time ran out, or the producer was closed, while a broker had it */
} kf_fate;

typedef struct kf_delivery {
    kf_err err;   /* KF_OK with KF_STORED alone; otherwise the last cause */
    kf_fate fate; /* each record gets exactly one */
    int32_t partition;
    int32_t count;     /* of records: 1, or a whole batch */
    int64_t offset;    /* of the (first) record; -1: not stored, or not known */
    int64_t timestamp; /* milliseconds: the record's, or the broker's where it stamps (then of the
                          batch); -1: none, or not known */
    const char *topic; /* lives as long as the producer; of a record that was not taken, or not told
                          in time: the record's own */
    const char *reason; /* the broker's own words; valid during the callback; NULL: none */
} kf_delivery;

/* Valid during the call only. */
typedef void (*kf_delivered)(void *context, const kf_delivery *delivery);

/* A deadline: max.block.ms from now, as configured. */
#define KF_MAX_BLOCK ((kf_time) - 1)

/*
 * Takes a record; `delivered` (may be NULL) is called exactly once for each
 * record taken. Waits up to `deadline` (0: not at all) for the topic's
 * metadata (the topic's error, or KF_ERR_NO_BROKER), for the partition that
 * the record names, where the topic has fewer yet
 * (KF_ERR_UNKNOWN_TOPIC_OR_PARTITION), and for room in buffer.memory
 * (KF_ERR_BUFFER_FULL); inside a fiber these waits suspend it.
 * KF_ERR_MESSAGE_TOO_LARGE: larger than max.request.size. A record that can't
 * be taken is reported by the return value only.
 */
KF_API kf_err kf_produce(kf_producer *producer, const kf_record *record, kf_delivered delivered,
                         void *context, kf_time deadline, kf_error *error);

/* Gives back a value that was taken over. */
typedef void (*kf_release)(void *context, kf_bytes value);
/*
 * As kf_produce, but the value's bytes are taken over: on KF_OK they must
 * stay as they are until `release` is called, with the same context, exactly
 * once; after an error they are the caller's as before. Key and headers are
 * copied. A value that would fill a batch by itself (64 KiB, or batch.size
 * where that is less, but 1 KiB at least) is not copied on its way to the
 * socket: it is a batch of its own, counts against buffer.memory, and is
 * released on the callbacks' thread behind `delivered`, once no broker can
 * need it any more. A smaller one is copied, and so is any where records are
 * compressed or intercepted: then it is released before the call returns.
 */
KF_API kf_err kf_produce_take(kf_producer *producer, const kf_record *record, kf_release release,
                              kf_delivered delivered, void *context, kf_time deadline,
                              kf_error *error);
/*
 * The same as kf_produce, leaving at once and waiting until it is told; inside a fiber the
 * wait suspends it, on a plain thread it blocks. KF_ERR_TIMED_OUT or
 * KF_ERR_CANCELLED with KF_FATE_UNKNOWN: it may still be stored. `delivery`
 * may be NULL.
 */
KF_API kf_err kf_produce_wait(kf_producer *producer, const kf_record *record, kf_time deadline,
                              kf_delivery *delivery, kf_error *error);
/*
 * Many records at once, sent without lingering. results[i] is what became of
 * records[i], also of one that could not be taken; KF_OK: all are stored,
 * otherwise the first error by index. One that names a partition which the
 * topic does not have is refused without a wait.
 */
KF_API kf_err kf_produce_batch(kf_producer *producer, const kf_record *records, size_t count,
                               kf_time deadline, kf_delivery *results, kf_error *error);
/*
 * Told once for each batch that leaves the producer, besides each record's
 * own callback and before them; `count` records from `offset` on. Set it
 * before the first record.
 */
KF_API void kf_producer_on_batch(kf_producer *producer, kf_delivered told, void *context);
/* Sends at once and waits until all records taken so far have been told; KF_ERR_TIMED_OUT. */
KF_API kf_err kf_flush(kf_producer *producer, kf_time deadline);

/*
 * A partitioner of one's own: the partition of a record that names none, or
 * -1 to leave it to the configured `partitioner`. `partitions`: how many the
 * topic has. Runs on the producing thread, maybe several at once: it must not
 * block or call the producer.
 */
typedef int32_t (*kf_partitioner)(void *context, const kf_record *record, int32_t partitions);
/* To be called before the first record. NULL: the configured one again. */
KF_API kf_err kf_producer_partitioner(kf_producer *producer, kf_partitioner partitioner,
                                      void *context);

/* A record on its way through the interceptors; valid in `sending` only. */
typedef struct kf_sending kf_sending;
/* Adds a header behind the others; the bytes are copied. After KF_ERR_NO_MEMORY the record fails.
 */
KF_API kf_err kf_sending_header(kf_sending *sending, kf_string name, kf_bytes value);

/* What became of a record, for interceptors; see kf_delivered. Valid during the call. */
typedef struct kf_acknowledged {
    const char *topic;
    kf_err err;
    kf_fate fate;
    int32_t partition; /* -1: the record was not taken */
    int64_t offset;    /* -1: unknown */
    void *tag;         /* what `sending` left */
} kf_acknowledged;

/*
 * Sees every record go and come back: headers for tracing, counts for
 * metrics. Either function may be NULL. Exactly one `acknowledged` follows a
 * `sending`.
 *
 * sending       on the producing thread, before the record is checked and its
 *               partition chosen. It may change *record, which is a copy of
 *               the caller's; what it points to must last until kf_produce
 *               returns. *tag is NULL and comes back in `acknowledged`.
 * acknowledged  before kf_delivered and on its thread; for a record that was
 *               not taken, on the producing thread before kf_produce returns.
 *
 * Both may be called by several threads at once, must not block, and must not
 * call the producer.
 */
typedef struct kf_interceptor {
    size_t size; /* sizeof(kf_interceptor) */
    void *context;
    void (*sending)(void *context, kf_record *record, kf_sending *sending, void **tag);
    void (*acknowledged)(void *context, const kf_acknowledged *news);
} kf_interceptor;

/*
 * The interceptor is copied; its context must outlive the producer. Several,
 * at most eight, are called in the order in which they were added. To be
 * called before the first record: KF_ERR_STATE afterwards.
 */
KF_API kf_err kf_producer_intercept(kf_producer *producer, const kf_interceptor *interceptor);

KF_END_DECLS

#endif
