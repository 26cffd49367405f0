/*
 * thread: the library's own threads are all started here. Signals are for the
 * program's threads: ours block them, but for those that a fault of the thread
 * itself raises, since one that is blocked kills without the program's handler.
 */
#ifndef KF_NET_THREAD_H
#define KF_NET_THREAD_H

#include <kafiber/error.h>
#include <pthread.h>

/* To be joined with pthread_join. KF_ERR_SYSTEM. */
kf_err kf__thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);
/* The same, and nobody will join it. */
kf_err kf__thread_detach(void *(*run)(void *argument), void *argument);

#endif
