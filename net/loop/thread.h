/*
 * thread: the library's own threads are all started here. Signals are for the
 * program's threads: ours block them, but for those that a fault of the thread
 * itself raises, since one that is blocked kills without the program's handler.
 * And conditions to wait for, which no jump of the wall clock touches.
 */
#ifndef KF_NET_THREAD_H
#define KF_NET_THREAD_H

#include <kafiber/error.h>
#include <kafiber/types.h>
#include <pthread.h>
#include <stdbool.h>

/* To be joined with pthread_join. KF_ERR_SYSTEM. */
kf_err kf__thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);
/* The same, and nobody will join it. */
kf_err kf__thread_detach(void *(*run)(void *argument), void *argument);

/* A condition variable whose waits end by the monotonic clock. */
void kf__condition_init(pthread_cond_t *condition);
/* False when the deadline has passed. */
bool kf__condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, kf_time deadline);

#endif
