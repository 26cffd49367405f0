/*
 * runtime: a group member that runs one fiber per assigned partition.
 *
 *     kf_runtime *runtime = kf_runtime_open("client.properties", &error);
 *     kf_runtime_handle(runtime, "orders", KF_AT_LEAST_ONCE, charge, bank);
 *     kf_runtime_run(runtime, &error);
 *     kf_runtime_close(runtime);
 *
 * Errors stick: calls on a runtime that failed to open (NULL included) do
 * nothing and keep the first error, so straight code is correct code.
 *
 * Threads: any thread may call stop, pause, resume and snapshot at any time.
 * handle must come before run or start. Handlers run on worker threads, one
 * record of a partition at a time; with worker.threads=0 they run inside
 * kf_loop_step.
 */
#ifndef KAFIBER_RUNTIME_H
#define KAFIBER_RUNTIME_H

#include <kafiber/config.h>
#include <kafiber/error.h>
#include <kafiber/message.h>

KF_BEGIN_DECLS

typedef struct kf_runtime kf_runtime;

/* See docs/semantics.md for what happens when. */
typedef enum kf_semantics {
    KF_AT_LEAST_ONCE = 1, /* the offset is committed after the handler succeeded */
    KF_AT_MOST_ONCE = 2,  /* the handler runs after the broker acknowledged the commit */
} kf_semantics;

typedef enum kf_verdict {
    KF_HANDLED = 0,
    KF_FAILED = 1, /* at least once: tried again; at most once: counted and logged */
} kf_verdict;

/*
 * Handles one record. The message is borrowed until the handler returns
 * (see kf_message_retain). It may block, and may call what fiber.h offers.
 */
typedef kf_verdict (*kf_handler)(const kf_message *message, void *context);

/* KF_FAILED with a reason, which goes to the log and the snapshot. */
KF_API kf_verdict kf_fail(const kf_message *message, const char *format, ...) KF_PRINTF(2, 3);

/* Settings from a .properties file (path NULL: defaults and environment only). */
KF_API kf_runtime *kf_runtime_open(const char *path, kf_error *error);
/* Settings from a configuration, which is copied. */
KF_API kf_runtime *kf_runtime_new(const kf_config *config, kf_error *error);

/*
 * What more a topic needs. Zero is the default everywhere; `size` is
 * sizeof(kf_topic_options), so that a later library knows an older caller.
 */
typedef struct kf_topic_options {
    size_t size;
    size_t stack_bytes;       /* of a partition's fiber, at most 64 MiB; 0: fiber.stack.bytes */
    int32_t retry_backoff_ms; /* first wait after a failure; 0: handler.retry.backoff.ms */
    int32_t retry_backoff_max_ms;
    int32_t chunk_max_records; /* at most once: records committed ahead; 0: 500 */
    int32_t chunk_max_bytes;   /* at most once: 0: 1 MiB */
    bool pattern;              /* `topic` is a POSIX extended regular expression */
} kf_topic_options;

/*
 * Says who handles a topic's records. No topic at all, or one given twice,
 * is an error that kf_runtime_run reports.
 */
KF_API kf_err kf_runtime_handle(kf_runtime *runtime, const char *topic, kf_semantics semantics,
                                kf_handler handler, void *context);
KF_API kf_err kf_runtime_handle_with(kf_runtime *runtime, const char *topic, kf_semantics semantics,
                                     kf_handler handler, void *context,
                                     const kf_topic_options *options);

/*
 * Told on the event fiber, one at a time. Assigned: before the first handler
 * runs. Revoked: after the last one ended. Lost: at once; a handler may still
 * be running (kf_cancelled() is true in it).
 */
typedef enum kf_rebalance_event {
    KF_ASSIGNED = 1,
    KF_REVOKED, /* drained and committed; about to be given up */
    KF_LOST,    /* owned by somebody else already, or given up at a deadline; not committed */
} kf_rebalance_event;

typedef struct kf_topic_partition {
    const char *topic;
    int32_t partition;
} kf_topic_partition;

typedef void (*kf_rebalance_fn)(void *context, kf_rebalance_event event,
                                const kf_topic_partition *partitions, size_t count);
KF_API kf_err kf_runtime_on_rebalance(kf_runtime *runtime, kf_rebalance_fn fn, void *context);

/*
 * Joins the group and handles records until kf_runtime_stop, or SIGINT or
 * SIGTERM where `handle.signals` is true, or an error that no retry cures.
 * Returns KF_OK after a clean end: handlers finished, offsets committed,
 * group left.
 */
KF_API kf_err kf_runtime_run(kf_runtime *runtime, kf_error *error);

/* run() in two halves, for programs with a main loop of their own. */
KF_API kf_err kf_runtime_start(kf_runtime *runtime, kf_error *error);
KF_API kf_err kf_runtime_wait(kf_runtime *runtime, kf_error *error);

/* Asks for a clean end and returns at once. Async-signal-safe. */
KF_API void kf_runtime_stop(kf_runtime *runtime);

/*
 * Frees everything; stops first where needed, bounded by shutdown.timeout.ms.
 * KF_ERR_STATE, and nothing happens, in a handler or callback of the runtime's
 * own (so does kf_runtime_wait): call kf_runtime_stop there.
 * KF_ERR_HANDLER_STUCK: a handler has not returned; what it can reach stays
 * alive until it does.
 */
KF_API kf_err kf_runtime_close(kf_runtime *runtime);

/* A paused partition is neither fetched nor handled; partition -1 means all of the topic's. */
KF_API kf_err kf_pause(kf_runtime *runtime, const char *topic, int32_t partition);
KF_API kf_err kf_resume(kf_runtime *runtime, const char *topic, int32_t partition);

/* Counters of one partition, since it was assigned. */
typedef struct kf_partition_snapshot {
    const char *topic;
    int32_t partition;
    int64_t processed;      /* handlers that returned KF_HANDLED */
    int64_t failed;         /* handlers that returned KF_FAILED */
    int64_t retried;        /* handlers run again after a failure */
    int64_t position;       /* offset of the next record to handle; -1: not known yet */
    int64_t committed;      /* last offset that the broker acknowledged; -1: none */
    int64_t high_watermark; /* -1: not known yet */
    int64_t lag;            /* high_watermark - position; -1: not known yet */
    int64_t stuck_since_ms; /* wall clock of the first failure of the record now retried; -1 */
    int64_t buffered_bytes;
    bool paused;
} kf_partition_snapshot;

typedef struct kf_snapshot {
    const char *group;
    const char *member_id;
    int32_t generation;
    size_t partition_count;
    const kf_partition_snapshot *partitions;
    int64_t rebalances;
    int64_t records_processed; /* over all partitions ever owned */
    int64_t bytes_buffered;
    int32_t workers;
} kf_snapshot;

/*
 * A consistent copy in one allocation; NULL when out of memory. Blocks for one
 * turn of the loop: with worker.threads=0, on another thread than the loop's,
 * until the next kf_loop_step. pause and resume do the same.
 */
KF_API kf_snapshot *kf_runtime_snapshot(kf_runtime *runtime);
KF_API void kf_snapshot_free(kf_snapshot *snapshot);

/*
 * The caller's own loop (worker.threads=0): after kf_runtime_start, call
 * kf_loop_step whenever the descriptor is readable or the deadline has come.
 * kf_loop_fd is -1 with the poll back-end. step returns KF_ERR_CLOSED once
 * the runtime has ended.
 */
KF_API int kf_loop_fd(kf_runtime *runtime);
KF_API kf_time kf_loop_deadline(kf_runtime *runtime);
KF_API kf_err kf_loop_step(kf_runtime *runtime, kf_time wait_until);

KF_END_DECLS

#endif
