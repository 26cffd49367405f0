/*
 * io: one loop, one cluster and the thread that turns them, for what blocks
 * its callers: client, reader, producer.
 *
 *     any thread ──kf__io_ask──▶ begin() on the I/O thread … kf__ask_over ──▶ returns
 *
 * A thread that would only wait for an answer may turn the loop meanwhile:
 * kf__io_enter, kf__io_leave. That saves two switches of threads. The I/O
 * thread steps aside where such threads come often and nothing else goes on.
 *
 * Knows no API and no partition. The runtime does not use it: a group member
 * has a loop of its own, with workers and events.
 */
#ifndef KF_RUNTIME_IO_H
#define KF_RUNTIME_IO_H

#include "net/cluster/cluster.h"
#include "net/loop/list.h"
#include "runtime/config/config.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct kf__io {
    const kf_allocator *alloc; /* NULL before opening: the default one; and once it is closed */
    kf_config *config;         /* a copy; the settings borrow from it */
    struct kf__settings settings;
    struct kf__loop *loop;
    struct kf__cluster *cluster;
    pid_t pid; /* of the process that opened it */

    /* Told on the I/O thread; set before kf__io_start; may be NULL. */
    void *owner;
    void (*metadata)(void *owner, bool changed);
    void (*fatal)(void *owner);
    /* Whether nothing is under way that an answer could come for; NULL: nobody may enter. */
    bool (*rests)(void *owner);

    pthread_t thread;
    bool running;
    atomic_bool stopping;
    pthread_mutex_t turning; /* held by the thread that turns the loop, the I/O thread or a guest */
    _Atomic(pthread_t) turner;  /* that one */
    _Atomic kf_time wanted_at;  /* somebody wanted to enter, or left; 0: never */
    _Atomic kf_time crowded_at; /* two did at once; 0: never */
    kf_time naps_until;         /* the I/O thread, which has stepped aside; under `turning` */
    pthread_mutex_t lock;       /* guards each ask's `over` */
    pthread_cond_t changed;     /* some ask is over; on the monotonic clock */

    /* ---- the I/O thread's, and a guest's in its place ---- */
    bool has_metadata;
    int32_t asks;                  /* begun and not over */
    kf_error fatal_error;          /* no retry cures it */
    kf_error trouble;              /* the last connection that failed, for sentences */
    struct kf__link asks_for_node; /* kf__io_wait.link: wait for metadata */
};

/* `io` is zeroed memory, but for `alloc`. Nothing is connected; after an error it is closed
 * already. */
kf_err kf__io_open(struct kf__io *io, const kf_config *config, kf_error *error);
kf_err kf__io_start(struct kf__io *io, kf_error *error);
/* The thread has ended; cluster and loop are still there, for the caller's thread now. */
void kf__io_stop(struct kf__io *io);
/* Calls still under way end with KF_ERR_CLOSED. */
void kf__io_close(struct kf__io *io);

/*
 * A plain thread that is about to wait turns the loop in the I/O thread's
 * place, until kf__io_leave; with kf__loop_work and kf__loop_turn, and no
 * wait but theirs. False: the I/O thread or another guest does.
 */
bool kf__io_enter(struct kf__io *io);
void kf__io_leave(struct kf__io *io);
/* Between the two: what is posted, and turns until *over, which a turn sets, or the deadline. */
void kf__io_turn(struct kf__io *io, const bool *over, kf_time deadline);
/* Whether the calling thread is the one that turns the loop: what it waited for would not come. */
bool kf__io_turns_here(const struct kf__io *io);

/* A question from another thread, in the memory of who waits for its answer. */
struct kf__ask {
    struct kf__task task;
    struct kf__io *io;
    void (*begin)(struct kf__ask *ask); /* on the I/O thread */
    bool over;
    kf_err err;
};
/* Blocks until kf__ask_over, turning the loop itself where it may. KF_ERR_FORKED in a child
 * process.
 */
kf_err kf__io_ask(struct kf__io *io, struct kf__ask *ask);
/* The I/O thread's; exactly once for each ask. The ask's memory is gone afterwards. */
void kf__ask_over(struct kf__ask *ask, kf_err err);

/* Until metadata knows of a node, or has answered once; on the I/O thread. */
struct kf__io_wait {
    struct kf__link link;
    struct kf__timer timer;
    struct kf__io *io;
    int32_t node; /* KF__NODE_CONTROLLER: the controller */
    void (*go_on)(struct kf__io_wait *wait);
};
/* go_on is called exactly once, at the deadline at the latest; maybe before this returns. */
void kf__io_wait_for_node(struct kf__io *io, struct kf__io_wait *wait, int32_t node,
                          kf_time deadline, void (*go_on)(struct kf__io_wait *wait));

#endif
