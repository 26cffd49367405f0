/*
 * exchange: one request on its way through the broker, and its answer.
 *
 *   frame ─▶ dispatch.c ─▶ api->handle(exchange) ─┬─▶ KF__ANSWERED ─▶ sent
 *                                                 ├─▶ KF__PARKED: later, by retry or `ready`
 *                                                 ├─▶ KF__UNANSWERED (acks=0)
 *                                                 └─▶ KF__REFUSED: connection closed
 *
 * A connection has one exchange at a time, as in Kafka: the next request is
 * read when this one is answered. An API file sees nothing but this header,
 * the state and its message structs.
 */
#ifndef KF_BROKER_EXCHANGE_H
#define KF_BROKER_EXCHANGE_H

#include "tools/broker/faults/rules.h"
#include "tools/broker/log/topics.h"
#include "tools/broker/text.h"
#include <kafiber/codec.h>
#include <kafiber/messages.h>

enum kf__outcome {
    KF__ANSWERED,
    KF__PARKED,
    KF__UNANSWERED,
    KF__REFUSED,
};

struct kf__exchange;
struct kf__session;

/* What the broker answers. The list in registry.c is what ApiVersions tells. */
struct kf__api {
    int16_t key;
    int16_t min_version;
    int16_t max_version;
    int16_t advertised_min; /* Produce: Kafka advertises 0 and accepts 3 (KAFKA-18659) */
    enum kf__outcome (*handle)(struct kf__exchange *exchange);
};

struct kf__exchange {
    struct kf_broker *broker;
    const struct kf__api *api;
    int32_t node;     /* that was asked */
    int32_t listener; /* by which it came */
    int16_t version;
    int32_t correlation_id;
    uint64_t connection_id;
    struct kf__session *session; /* of the connection; for SASL's own requests */
    bool must_authenticate;      /* its listener wants SASL */
    kf_string client_id;         /* borrows from the frame */
    kf_string client_host;       /* borrows from the connection, as the next does */
    kf_string principal;         /* "User:ANONYMOUS" where nobody has said who he is */
    const void *request;
    void *response;
    kf_arena arena; /* of both */
    struct kf__verdict verdict;
    kf_time started;
    kf_time now;

    /* parked */
    bool parked;
    bool ready;            /* the answer is complete: send it */
    kf_time deadline;      /* when retry is called at the latest */
    uint64_t seen_changes; /* of the broker, when retry was last called */
    uint64_t waits_for;    /* marks of the partitions (topics.h) whose records would answer it */
    /* True: the answer is complete. `last`: the deadline has passed. */
    bool (*retry)(struct kf__exchange *exchange, bool last);
    void *waiting; /* the API's own, in the arena */
};

/* A parked exchange's answer is complete: it is sent in this turn or the next. */
void kf__dispatch_ready(struct kf__exchange *exchange);

/* The versions of it that the broker takes, and the lowest it tells of; none: max below min. */
struct kf__api_range {
    int16_t min;
    int16_t max;
    int16_t advertised_min;
};
struct kf__api_range kf__api_versions(const struct kf_broker *broker, const struct kf__api *api);

const struct kf__api *kf__api_find(int16_t key);
const struct kf__api *kf__api_at(size_t index); /* in order of keys; NULL after the last */

/*
 * `count` elements of the response's array at `path` ("topics/partitions"),
 * at their defaults; NULL when out of memory.
 */
void *kf__answer_items(struct kf__exchange *exchange, const char *path, int32_t count);

/* Fills `array` of the response; on failure the exchange is refused by the caller. */
#define KF__FILL(exchange, path, array, wanted)                                                    \
    (((array).items = kf__answer_items((exchange), (path), (wanted))),                             \
     ((array).count = (array).items ? (wanted) : 0), (array).items != NULL)

/*
 * What a request does all at once or not at all: items of one type, in the exchange's arena, and
 * where the answer to each of them stands.
 */
struct kf__all_or_none {
    void *items;
    int16_t **answers;
    size_t count;
};

/* Room for so many of `size` bytes; false: out of memory. */
bool kf__all_or_none_open(struct kf__exchange *exchange, struct kf__all_or_none *all, size_t most,
                          size_t size);
void kf__all_or_none_tell(const struct kf__all_or_none *all, int16_t code);

/* An array of int32 in the exchange's arena. */
int32_t *kf__answer_ints(struct kf__exchange *exchange, int32_t count);
/* A copy in the exchange's arena; null stays null. Empty when out of memory. */
kf_string kf__answer_text(struct kf__exchange *exchange, kf_string text);
kf_bytes kf__answer_bytes(struct kf__exchange *exchange, kf_bytes bytes);

/* A node's address, as clients of this listener are told. */
kf_string kf__node_host(const struct kf__exchange *exchange);
int32_t kf__node_port(const struct kf__exchange *exchange, int32_t node);

/* The error that a fault wants here; topic null: for the answer as a whole. */
kf_err kf__forced(const struct kf__exchange *exchange, kf_string topic, int32_t partition);
static inline kf_err kf__forced_all(const struct kf__exchange *exchange)
{
    return kf__forced(exchange, (kf_string){0}, -1);
}

/*
 * The partition, if this node leads it. UNKNOWN_TOPIC_OR_PARTITION,
 * UNKNOWN_TOPIC_ID, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH,
 * UNKNOWN_LEADER_EPOCH, TOPIC_AUTHORIZATION_FAILED; or what a fault wants. *partition is set where
 * there is one, whatever the error. `epoch` -1: not said.
 */
kf_err kf__led_partition(const struct kf__exchange *exchange, struct kf__topic *topic,
                         int32_t index, int32_t epoch, struct kf__partition **partition);

/* NOT_COORDINATOR, INVALID_GROUP_ID, …_AUTHORIZATION_FAILED, or what a fault wants. */
kf_err kf__check_coordinator(const struct kf__exchange *exchange, kf_string group);
kf_err kf__check_txn_coordinator(const struct kf__exchange *exchange, kf_string transactional_id);

/* Why there are no delegation tokens for this client. */
kf_err kf__no_tokens(const struct kf__exchange *exchange);
/* "User" and "alice" */
void kf__tell_principal(struct kf__exchange *exchange, kf_string *type, kf_string *name);

/* Counts bytes against the client's quota (quotas.h) and throttles it where it has one too many. */
void kf__charge(struct kf__exchange *exchange, int key, size_t bytes);
/* The same for what may still be kept back: false where it must be, and doesn't count. */
bool kf__charge_or_keep(struct kf__exchange *exchange, int key, size_t bytes);
/* What the client may be sent at once; SIZE_MAX: no quota binds it. */
size_t kf__quota_room(const struct kf__exchange *exchange, int key);

/* Kafka's own words for an error, where it has no better ones; static. OK: "NONE". */
const char *kf__kafka_words(kf_err err);

static inline int16_t kf__wire_error(kf_err err)
{
    if (err >= -1)
        return (int16_t)err;
    return err == KF_ERR_NO_MEMORY ? KF_ERR_POLICY_VIOLATION : KF_ERR_UNKNOWN_SERVER_ERROR;
}

#endif
