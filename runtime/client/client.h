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

/* Waits the moment between two tries; false, at once, where the deadline leaves none for another.
 */
bool kf__client_pause(kf_time deadline);

#endif
