/*
 * client: what others of this library build on a client: a reader is one,
 * with partitions.
 */
#ifndef KF_RUNTIME_CLIENT_H
#define KF_RUNTIME_CLIENT_H

#include "runtime/client/io.h"
#include <kafiber/client.h>

struct kf_client {
    struct kf__io io;
};

/*
 * Tries of one question until a deadline. The try that time runs out on says nothing: what the
 * one before it heard is told then.
 */
struct kf__tries {
    kf_time deadline;
    kf_error why;    /* this try has failed */
    kf_error before; /* the one before it has */
};

/* Waits the moment between two tries; false, at once, where the deadline leaves none for another.
 */
bool kf__tries_again(struct kf__tries *tries);
/* `err` is the last try's; returns, and puts into *error, what there is to tell. */
kf_err kf__tries_end(const struct kf__tries *tries, kf_err err, kf_error *error);

#endif
