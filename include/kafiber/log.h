/*
 * log: what the library tells about itself, as structured events.
 *
 * Without a callback, events of warning level and above go to stderr as one
 * line each. With one, all events of the configured level do, one after the
 * other: a member's on a thread of the library that may block, a client's or
 * producer's on the one that serves its brokers (its I/O thread, or one that
 * waits in kf_produce_wait or kf_call).
 */
#ifndef KAFIBER_LOG_H
#define KAFIBER_LOG_H

#include <kafiber/error.h>
#include <kafiber/types.h>

KF_BEGIN_DECLS

typedef enum kf_log_level {
    KF_LOG_ERROR = 1,
    KF_LOG_WARNING,
    KF_LOG_INFO,
    KF_LOG_DEBUG,
} kf_log_level;

/*
 * One event. Fields that don't apply are NULL or -1. Names are those of
 * OpenTelemetry's messaging conventions.
 */
typedef struct kf_log_event {
    kf_log_level level;
    const char *name;  /* "rebalance", "handler.failed", …: a fixed set, see docs/logging.md */
    const char *text;  /* one sentence for people */
    const char *group; /* messaging.consumer.group.name */
    const char *topic; /* messaging.destination.name */
    int32_t partition; /* messaging.destination.partition.id */
    int64_t offset;    /* messaging.kafka.offset */
    int32_t node;      /* the broker's id */
    kf_err error;
} kf_log_event;

/* The event and its strings are valid during the call. */
typedef void (*kf_log_fn)(void *context, const kf_log_event *event);

KF_API const char *kf_log_level_name(kf_log_level level);

/* The event as one line of logfmt, without newline; returns its length as snprintf does. */
KF_API size_t kf_log_format(const kf_log_event *event, char *text, size_t size);

KF_END_DECLS

#endif
