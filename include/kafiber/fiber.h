/*
 * fiber: what a handler may call to wait without holding a thread.
 *
 * Inside a handler these suspend the partition's fiber; other partitions go
 * on on the same thread. After such a call the fiber may run on another
 * thread: hold no mutex across it, and no address of a thread-local (errno
 * included). From a plain thread they block the thread.
 */
#ifndef KAFIBER_FIBER_H
#define KAFIBER_FIBER_H

#include <kafiber/error.h>
#include <kafiber/types.h>

KF_BEGIN_DECLS

/* KF_OK after `duration` nanoseconds; KF_ERR_CANCELLED at once when the handler is asked to stop.
 */
KF_API kf_err kf_sleep(kf_time duration);

enum {
    KF_WAIT_READ = 1,
    KF_WAIT_WRITE = 2
};

/*
 * Waits until the file descriptor is ready for one of `events`. One waiter
 * for each descriptor. KF_ERR_TIMED_OUT when `deadline` passes,
 * KF_ERR_CANCELLED when the handler is asked to stop.
 */
KF_API kf_err kf_wait_fd(int fd, int events, kf_time deadline);

/* Whether this handler's work is no longer wanted: its partition was lost, or time is up. */
KF_API bool kf_cancelled(void);

/* Lets other ready fibers run first. */
KF_API void kf_yield(void);

/* Now, on the clock that deadlines use. */
KF_API kf_time kf_now(void);

/*
 * A child fiber. It runs at the earliest when the caller suspends, and ends
 * before its parent: a handler that returns without joining waits for its
 * children. `kf_join` hands out the child's result and frees the handle.
 */
typedef struct kf_fiber kf_fiber;
typedef kf_err (*kf_fiber_fn)(void *context);

KF_API kf_err kf_spawn(kf_fiber_fn run, void *context, kf_fiber **child);
KF_API kf_err kf_join(kf_fiber *child);

/* One pointer that belongs to the running fiber, NULL at first; in place of thread-locals. */
KF_API void **kf_fiber_local(void);

KF_END_DECLS

#endif
