/*
 * quotas: client quotas by user, client id and address, and how long a client
 * is throttled for what it moves.
 *
 * Rates are enforced as Kafka's defaults do it: bytes over a window of eleven
 * samples of a second. Over the quota the answer says a throttle time and the
 * connection is muted for it (KIP-219). request_percentage,
 * controller_mutation_rate and connection_creation_rate are kept, not
 * enforced. Pure. Called by the quota APIs, api/produce.c and api/fetch.c.
 */
#ifndef KF_BROKER_QUOTAS_H
#define KF_BROKER_QUOTAS_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

/* Places of an entity's names; Kafka's "user", "client-id", "ip". */
enum kf__quota_part {
    KF__QUOTA_USER,
    KF__QUOTA_CLIENT,
    KF__QUOTA_IP,
    KF__QUOTA_PARTS,
};

enum kf__quota_key {
    KF__QUOTA_CONSUMER_RATE, /* in order of names */
    KF__QUOTA_MUTATION_RATE,
    KF__QUOTA_PRODUCER_RATE,
    KF__QUOTA_REQUEST_SHARE,
    KF__QUOTA_CONNECTION_RATE,
    KF__QUOTA_KEYS,
};

enum {
    KF__QUOTA_SAMPLES = 11, /* of a second: quota.window.num, quota.window.size.seconds */
};

struct kf__quota_entity {
    bool has[KF__QUOTA_PARTS];
    kf_string names[KF__QUOTA_PARTS]; /* null: the default */
};

struct kf__quota {
    struct kf__quota_entity entity;
    bool set[KF__QUOTA_KEYS];
    double values[KF__QUOTA_KEYS];
};

/* What one client has moved lately: by the entity whose quota counts. */
struct kf__quota_meter {
    kf_string user;
    kf_string client;
    int64_t second[KF__QUOTA_SAMPLES]; /* which one the sample is of */
    double bytes[KF__QUOTA_SAMPLES];
    enum kf__quota_key key;
};

struct kf__quotas {
    const kf_allocator *alloc;
    struct kf__quota *items;
    size_t count;
    size_t capacity;
    struct kf__quota_meter *meters;
    size_t meter_count;
    size_t meter_capacity;
};

void kf__quotas_init(struct kf__quotas *quotas, const kf_allocator *alloc);
void kf__quotas_free(struct kf__quotas *quotas);

const char *kf__quota_part_name(enum kf__quota_part part);
const char *kf__quota_key_name(enum kf__quota_key key);

/* NULL: nothing is set for exactly this entity. */
const struct kf__quota *kf__quotas_find(const struct kf__quotas *quotas,
                                        const struct kf__quota_entity *entity);
/* Copies. value NULL: takes it out. */
kf_err kf__quotas_set(struct kf__quotas *quotas, const struct kf__quota_entity *entity,
                      enum kf__quota_key key, const double *value);

/* Bytes of a user's client. */
struct kf__quota_charge {
    enum kf__quota_key key;
    kf_string user;
    kf_string client;
    size_t bytes;
    bool if_free; /* where it must be still they don't count: they are not sent */
};

/*
 * Notes the bytes and answers for how many ms the client must be still; 0: not
 * at all. `now_ms` never goes back.
 */
int64_t kf__quotas_charge(struct kf__quotas *quotas, const struct kf__quota_charge *charge,
                          int64_t now_ms);
/* What a client may move in a window that begins empty; SIZE_MAX: no quota binds it. */
size_t kf__quotas_window(const struct kf__quotas *quotas, enum kf__quota_key key, kf_string user,
                         kf_string client);

#endif
