/*
 * world: everything that this library asks of the operating system, as one
 * table, so that a test or a simulation replaces the world: clocks, random
 * numbers, sockets, name resolution, thread start.
 */
#ifndef KF_NET_WORLD_H
#define KF_NET_WORLD_H

#include <kafiber/error.h>
#include <kafiber/types.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct kf__address {
    struct sockaddr_storage storage;
    socklen_t size;
};

enum {
    KF__MAX_ADDRESSES = 32
}; /* of one host name; more are ignored */

struct kf__world {
    void *context;
    kf_time (*now)(void *context);     /* monotonic, nanoseconds */
    int64_t (*wall_ms)(void *context); /* milliseconds since 1970 UTC; for records and logs only */
    uint64_t (*random)(void *context); /* thread-safe; not for secrets */
    /* Sockets are non-blocking and close-on-exec. Results as of the system calls, errno in *error.
     */
    int (*connect)(void *context, const struct kf__address *address, int *error);
    int (*connect_result)(void *context, int fd); /* SO_ERROR: 0 or an errno */
    ssize_t (*receive)(void *context, int fd, void *bytes, size_t size, int *error);
    ssize_t (*send)(void *context, int fd, const struct iovec *parts, int count, int *error);
    void (*close)(void *context, int fd);
    /* Blocks; runs on a helper thread. KF_ERR_NAME_NOT_RESOLVED. */
    kf_err (*resolve)(void *context, const char *host, uint16_t port, struct kf__address *addresses,
                      size_t *count);
    /* Starts a detached thread with all signals blocked. */
    kf_err (*start_thread)(void *context, void (*run)(void *argument), void *argument);
    /* A world without descriptors of the operating system (else NULL): which of `wanted`
       (KF__READABLE, KF__WRITABLE) would not block; and, where the loop would wait, that it would,
       so that time may pass. May be NULL: it does not. */
    int (*ready)(void *context, int fd, int wanted);
    void (*pass)(void *context, int timeout_ms);
};

/* Linux or POSIX, as it is. */
extern const struct kf__world kf__real_world;

#endif
