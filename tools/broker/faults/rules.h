/*
 * rules: what shall go wrong, and when: faults of requests, and events of the
 * cluster that a count of requests or the clock sets off. Script and C calls
 * both end here.
 *
 *     on  API conditions… FAULT     matched against each request ─▶ verdict
 *     at  API conditions… EVENT     the same ─▶ due, done when the request is handled
 *     after TIME EVENT              due when its time has come
 *
 * Pure. Asked by dispatch.c once for each request and by events.c each turn;
 * the API files ask which part of an answer an error is meant for.
 */
#ifndef KF_BROKER_RULES_H
#define KF_BROKER_RULES_H

#include <kafiber/broker.h>

enum kf__event_kind {
    KF__NO_EVENT, /* the rule is a fault */
    KF__STOP_NODE,
    KF__START_NODE,
    KF__MOVE_LEADER,
    KF__MOVE_COORDINATOR,
    KF__CREATE_TOPIC,
    KF__CREATE_PARTITIONS,
    KF__DELETE_TOPIC,
    KF__DELETE_RECORDS,
    KF__CLOSE_CONNECTIONS,
    KF__PAUSE,
    KF__RESUME,
    KF__ELECT_LEADER,
    KF__HOLD_REPLICA,
    KF__RELEASE_REPLICA,
    KF__CLEAN, /* without a name: all topics */
    KF__EXPIRE_OFFSETS,
    KF__EXPIRE_PRODUCERS,
};

struct kf__event {
    enum kf__event_kind kind;
    kf_string name; /* topic or group; the rule owns it */
    int32_t partition;
    int32_t node;
    int64_t number; /* partitions, or an offset; of an election: 1 is unclean */
};

struct kf__rule {
    kf_broker_fault what; /* its texts are those below */
    kf_string topic;      /* owned; null: any */
    kf_string client;     /* owned; null: any */
    struct kf__event event;
    kf_time at;     /* of a timed event: when it happens; KF_FOREVER: not by the clock */
    kf_time period; /* and then again so often; 0: once */
    int32_t due;    /* how often the event has to happen now */
    int32_t id;
    int64_t seen; /* requests that matched */
    int64_t hits;
    uint64_t dice;
};

struct kf__rules {
    const kf_allocator *alloc;
    struct kf__rule **items;
    size_t count;
    int32_t last_id;
    uint64_t seed;
    bool due; /* some event has to happen now */
};

/* What is known of one request. */
struct kf__sight {
    int16_t api_key;
    int16_t version;
    int32_t node;
    uint64_t connection;
    kf_string client_id;
    const void *context;
    /* Does it name this partition of the topic? partition -1: any of it. */
    bool (*mentions)(const void *context, kf_string topic, int32_t partition);
};

/* What shall happen to one request; zero: nothing. */
struct kf__verdict {
    struct kf__rule *error; /* ANSWER_ERROR; valid while the request is handled first */
    bool close;
    bool close_answer;
    bool drop_request;
    bool drop_answer;
    bool cut;
    bool garbage;
    bool corrupt;
    int64_t delay_ms;
    int64_t throttle_ms;
    size_t bytes; /* of cut or garbage */
};

void kf__rules_init(struct kf__rules *rules, const kf_allocator *alloc, uint64_t seed);
void kf__rules_free(struct kf__rules *rules);
/* A copy; its id is above 0. 0: out of memory, or it makes no sense. */
int32_t kf__rules_add(struct kf__rules *rules, const kf_broker_fault *what,
                      const struct kf__event *event, kf_time at, kf_time period);
/* id 0: all; `above`: those added later than that one. */
void kf__rules_clear(struct kf__rules *rules, int32_t id);
void kf__rules_clear_above(struct kf__rules *rules, int32_t id);
int64_t kf__rules_hits(const struct kf__rules *rules, int32_t id);
/* Counts the request in. */
struct kf__verdict kf__rules_judge(struct kf__rules *rules, const struct kf__sight *sight);
/* The earliest timed events that are due by `now` are marked; false: none is left. */
bool kf__rules_tick(struct kf__rules *rules, kf_time now);
/* When the next one is; KF_FOREVER: none. */
kf_time kf__rules_deadline(const struct kf__rules *rules);
/* The next event that has to happen, in the order of the rules; false: none is left. */
bool kf__rules_take_event(struct kf__rules *rules, struct kf__event *event);
/* The error meant for this part of an answer; KF_OK: none. Topic null: the answer as a whole. */
kf_err kf__rule_error(const struct kf__rule *rule, kf_string topic, int32_t partition);

#endif
