/*
 * work: what setting up a connection wants done off the loop: a private key's
 * work, a password's hash, a token.
 *
 *   conn wants it ──▶ link hands it to a helper thread ──▶ kf__conn_worked
 *                              └ the connection went meanwhile: gone()
 *
 * Embedded in what it works on, which belongs to the helper as long as `out`
 * is set: the connection reads, writes and frees nothing of it then.
 */
#ifndef KF_NET_WORK_H
#define KF_NET_WORK_H

#include "net/loop/loop.h"
#include <stdbool.h>

struct kf__work {
    struct kf__job job;                  /* the link's */
    void (*run)(struct kf__work *work);  /* on a helper thread; may block */
    void (*gone)(struct kf__work *work); /* on the loop's thread: frees the whole */
    void *owner;                         /* while out: whom to tell; NULL: the connection went */
    bool out;
};

/* The connection lets go of it: gone() now, or when the helper is back. */
static inline void kf__work_drop(struct kf__work *work)
{
    work->owner = NULL;
    if (!work->out)
        work->gone(work);
}

#endif
