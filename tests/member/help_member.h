/*
 * help_member: a member of ours against the embedded broker, with a journal
 * of what its handler was given, so that a test is a few lines of scenario.
 *
 *     struct member member;
 *     member_broker(&member, NULL);
 *     … topics, records, faults …
 *     member_open(&member, "group.id=g", "heartbeat.interval.ms=100", NULL);
 *     member_handle(&member, "t", KF_AT_LEAST_ONCE);
 *     member_start(&member);
 *     WAIT_FOR(member_handled(&member) == 10);
 *     member_close(&member);
 */
#ifndef KF_TESTS_HELP_MEMBER_H
#define KF_TESTS_HELP_MEMBER_H

#include <kafiber/broker.h>
#include <kafiber/kafiber.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    ENTRIES_MAX = 200000,
    EVENTS_MAX = 512,
    PARTITIONS_MAX = 64,
    PATIENCE_MS = 30000, /* after that a test has failed */
};

struct entry {
    int32_t partition;
    int64_t offset;
    int32_t attempt;
    kf_verdict verdict;
    int64_t committed; /* as the broker had it while the handler ran; -2: not asked */
    char topic[24];
    char value[24];
};

struct event {
    char name[48];
    int32_t partition;
    int64_t offset;
    kf_err error;
};

struct member {
    kf_broker *broker;
    bool owns_broker;
    kf_config *config;
    kf_runtime *runtime;
    kf_error error;
    bool is_open;

    /* What the handler does, set by the test at any time. */
    atomic_int sleep_ms;           /* its thread sleeps */
    atomic_int stuck_on_partition; /* waits there until `let_go`; -1: nowhere */
    atomic_bool is_stuck;          /* set by the handler that waits there */
    atomic_bool let_go;
    atomic_bool ask_committed;
    _Atomic(kf_verdict (*)(struct member *, const kf_message *)) decide; /* NULL: handled */
    void *context;                                                       /* the test's */

    pthread_mutex_t lock; /* guards the rest */
    struct entry *entries;
    size_t count;
    size_t handled; /* of these, with KF_HANDLED */
    struct event events[EVENTS_MAX];
    size_t event_count;
    size_t given_up_at[PARTITIONS_MAX]; /* SIZE_MAX while it is ours */
    size_t handled_after;               /* records of partitions that were given up by then */
    size_t assigned, revoked, lost;     /* partitions, as told to kf_runtime_on_rebalance */
};

/* Zeroes the member and starts a broker on a thread of its own. */
void member_broker(struct member *member, const kf_broker_options *options);
/* A second member of the first one's group. */
void member_join(struct member *member, const struct member *first);
/* Settings as KEY=VALUE, then NULL; the bootstrap and quick times are set already. */
void member_open(struct member *member, ...);
void member_handle(struct member *member, const char *topic, kf_semantics semantics);
void member_handle_with(struct member *member, const char *topic, kf_semantics semantics,
                        const kf_topic_options *options);
void member_start(struct member *member); /* asserts that it does */
/* Stops, waits, closes; returns what the run ended with, `error` says more. */
kf_err member_stop(struct member *member);
/* The same, and the broker goes too. */
void member_close(struct member *member);

/* `count` records "0", "1", … into one partition, one batch each. */
void produce(struct member *member, const char *topic, int32_t partition, int count);
int32_t add_fault(struct member *member, kf_broker_fault fault);

size_t member_count(struct member *member);
size_t member_handled(struct member *member);
size_t member_assigned(struct member *member);
bool member_has_event(struct member *member, const char *name);
size_t member_events(struct member *member, const char *name);
int64_t member_committed(struct member *member, const char *topic, int32_t partition);
/* How often that record was handled successfully. */
int member_times(struct member *member, const char *topic, int32_t partition, int64_t offset);

/* Records of a partition below `end` that were never handled, and that were more than once. */
struct span {
    int64_t missing;
    int64_t repeated;
};
struct span span_of(struct member *member, const char *topic, int32_t partition, int64_t end);

/* Waits until the expression is true, and asserts that it became so within PATIENCE_MS. */
#define WAIT_FOR(expression)                                                                       \
    do {                                                                                           \
        kf_time end_ = kf_now() + PATIENCE_MS * KF_MILLISECOND;                                    \
        while (!(expression) && kf_now() < end_)                                                   \
            kf_sleep(2 * KF_MILLISECOND);                                                          \
        cr_assert(expression, "waited too long for " #expression);                                 \
    } while (0)

#endif
