/*
 * events: what the user is told (log, rebalances), one after the other, off
 * the I/O thread: a queue and one activation that works it off.
 */
#ifndef KF_RUNTIME_EVENTS_H
#define KF_RUNTIME_EVENTS_H

#include "runtime/fiber/sched.h"
#include <kafiber/log.h>
#include <kafiber/runtime.h>

struct kf__events;

kf_err kf__events_open(const kf_allocator *alloc, struct kf__loop *loop, struct kf__sched *sched,
                       kf_log_level level, kf_log_fn log, void *context,
                       struct kf__events **events);
/* From now on events are told on the caller's thread, those still queued first. */
void kf__events_finish(struct kf__events *events);
/* Finishes and frees; the sched has ended by then. */
void kf__events_close(struct kf__events *events);

/* Copies the event and its strings. Any thread. Dropped below the level, or without memory. */
void kf__events_log(struct kf__events *events, const kf_log_event *event);

/*
 * Tells `fn` about a rebalance, then posts `done` to the loop. The partitions
 * are copied. KF_ERR_NO_MEMORY: nobody is told and `done` is not posted.
 */
kf_err kf__events_rebalance(struct kf__events *events, kf_rebalance_fn fn, void *context,
                            kf_rebalance_event event, const kf_topic_partition *partitions,
                            size_t count, struct kf__task *done);

#endif
