#include "tools/broker/admin/quotas.h"

#include "tools/broker/text.h"

enum {
    MAX_METERS = 10000, /* clients watched at a time; beyond: nobody new is throttled */
    MAX_THROTTLE_MS = 1000 * KF__QUOTA_SAMPLES, /* a whole window; Kafka's bound for requests */
};

void kf__quotas_init(struct kf__quotas *quotas, const kf_allocator *alloc)
{
    *quotas = (struct kf__quotas){.alloc = alloc};
}

static void free_entity(const kf_allocator *alloc, struct kf__quota_entity *entity)
{
    for (int i = 0; i < KF__QUOTA_PARTS; i++)
        kf__text_free(alloc, &entity->names[i]);
}

void kf__quotas_free(struct kf__quotas *quotas)
{
    for (size_t i = 0; i < quotas->count; i++)
        free_entity(quotas->alloc, &quotas->items[i].entity);
    for (size_t i = 0; i < quotas->meter_count; i++) {
        kf__text_free(quotas->alloc, &quotas->meters[i].user);
        kf__text_free(quotas->alloc, &quotas->meters[i].client);
    }
    kf_free(quotas->alloc, quotas->items);
    kf_free(quotas->alloc, quotas->meters);
    kf__quotas_init(quotas, quotas->alloc);
}

const char *kf__quota_part_name(enum kf__quota_part part)
{
    static const char *const names[KF__QUOTA_PARTS] = {"user", "client-id", "ip"};
    return names[part];
}

const char *kf__quota_key_name(enum kf__quota_key key)
{
    static const char *const names[KF__QUOTA_KEYS] = {
        "consumer_byte_rate", "controller_mutation_rate", "producer_byte_rate",
        "request_percentage", "connection_creation_rate"};
    return names[key];
}

/* ---- what is set ---- */

static bool is_same(const struct kf__quota_entity *a, const struct kf__quota_entity *b)
{
    for (int i = 0; i < KF__QUOTA_PARTS; i++)
        if (a->has[i] != b->has[i] || (a->has[i] && !kf__text_equal(a->names[i], b->names[i])))
            return false;
    return true;
}

const struct kf__quota *kf__quotas_find(const struct kf__quotas *quotas,
                                        const struct kf__quota_entity *entity)
{
    for (size_t i = 0; i < quotas->count; i++)
        if (is_same(&quotas->items[i].entity, entity))
            return &quotas->items[i];
    return NULL;
}

static kf_err add(struct kf__quotas *quotas, const struct kf__quota_entity *entity,
                  struct kf__quota **added)
{
    if (quotas->count == quotas->capacity) {
        size_t capacity = quotas->capacity ? quotas->capacity * 2 : 8;
        struct kf__quota *items =
            kf_realloc(quotas->alloc, quotas->items, capacity * sizeof *items);
        if (!items)
            return KF_ERR_NO_MEMORY;
        quotas->items = items;
        quotas->capacity = capacity;
    }
    struct kf__quota fresh = {0};
    kf_err err = KF_OK;
    for (int i = 0; !err && i < KF__QUOTA_PARTS; i++) {
        fresh.entity.has[i] = entity->has[i];
        err = kf__text_copy(quotas->alloc, entity->names[i], &fresh.entity.names[i]);
    }
    if (err) {
        free_entity(quotas->alloc, &fresh.entity);
        return err;
    }
    *added = &quotas->items[quotas->count++];
    **added = fresh;
    return KF_OK;
}

static void drop_if_empty(struct kf__quotas *quotas, struct kf__quota *quota)
{
    for (int i = 0; i < KF__QUOTA_KEYS; i++)
        if (quota->set[i])
            return;
    free_entity(quotas->alloc, &quota->entity);
    *quota = quotas->items[--quotas->count];
}

kf_err kf__quotas_set(struct kf__quotas *quotas, const struct kf__quota_entity *entity,
                      enum kf__quota_key key, const double *value)
{
    const struct kf__quota *found = kf__quotas_find(quotas, entity);
    struct kf__quota *quota = found ? &quotas->items[found - quotas->items] : NULL;
    if (!quota && !value)
        return KF_OK;
    if (!quota) {
        kf_err err = add(quotas, entity, &quota);
        if (err)
            return err;
    }
    quota->set[key] = value != NULL;
    quota->values[key] = value ? *value : 0;
    if (!value)
        drop_if_empty(quotas, quota);
    return KF_OK;
}

/* ---- who is bound by what ---- */

/* One of Kafka's eight, from the most to the least particular. */
static const struct kf__quota *look(const struct kf__quotas *quotas, enum kf__quota_key key,
                                    const kf_string *user, const kf_string *client)
{
    struct kf__quota_entity entity = {0};
    entity.has[KF__QUOTA_USER] = user != NULL;
    entity.has[KF__QUOTA_CLIENT] = client != NULL;
    if (user)
        entity.names[KF__QUOTA_USER] = *user;
    if (client)
        entity.names[KF__QUOTA_CLIENT] = *client;
    const struct kf__quota *found = kf__quotas_find(quotas, &entity);
    return found && found->set[key] ? found : NULL;
}

static const struct kf__quota *bound_by(const struct kf__quotas *quotas, enum kf__quota_key key,
                                        kf_string user, kf_string client)
{
    static const kf_string standard;
    const struct kf__quota *found = look(quotas, key, &user, &client);
    if (!found)
        found = look(quotas, key, &user, &standard);
    if (!found)
        found = look(quotas, key, &user, NULL);
    if (!found)
        found = look(quotas, key, &standard, &client);
    if (!found)
        found = look(quotas, key, &standard, &standard);
    if (!found)
        found = look(quotas, key, &standard, NULL);
    if (!found)
        found = look(quotas, key, NULL, &client);
    return found ? found : look(quotas, key, NULL, &standard);
}

/* Clients share a meter where their quota doesn't tell them apart. */
static struct kf__quota_meter *meter_of(struct kf__quotas *quotas, enum kf__quota_key key,
                                        kf_string user, kf_string client)
{
    for (size_t i = 0; i < quotas->meter_count; i++) {
        struct kf__quota_meter *meter = &quotas->meters[i];
        if (meter->key == key && kf__text_equal(meter->user, user) &&
            kf__text_equal(meter->client, client))
            return meter;
    }
    if (quotas->meter_count == MAX_METERS)
        return NULL;
    if (quotas->meter_count == quotas->meter_capacity) {
        size_t capacity = quotas->meter_capacity ? quotas->meter_capacity * 2 : 8;
        struct kf__quota_meter *meters =
            kf_realloc(quotas->alloc, quotas->meters, capacity * sizeof *meters);
        if (!meters)
            return NULL;
        quotas->meters = meters;
        quotas->meter_capacity = capacity;
    }
    struct kf__quota_meter fresh = {.key = key};
    if (kf__text_copy(quotas->alloc, user, &fresh.user))
        return NULL;
    if (kf__text_copy(quotas->alloc, client, &fresh.client)) {
        kf__text_free(quotas->alloc, &fresh.user);
        return NULL;
    }
    quotas->meters[quotas->meter_count] = fresh;
    return &quotas->meters[quotas->meter_count++];
}

size_t kf__quotas_window(const struct kf__quotas *quotas, enum kf__quota_key key, kf_string user,
                         kf_string client)
{
    const struct kf__quota *quota = quotas->count > 0 ? bound_by(quotas, key, user, client) : NULL;
    double bytes = quota ? quota->values[key] * (KF__QUOTA_SAMPLES - 1) : 1e18;
    return bytes < 1e18 ? (size_t)bytes : SIZE_MAX;
}

/* For how many ms the client must be still. */
static int64_t still_for(const struct kf__quota_meter *meter, double rate, int64_t now_ms)
{
    int64_t second = now_ms / 1000, oldest = second;
    double sum = 0;
    for (int i = 0; i < KF__QUOTA_SAMPLES; i++) {
        if (meter->second[i] <= second - KF__QUOTA_SAMPLES)
            continue;
        sum += meter->bytes[i];
        if (meter->bytes[i] > 0 && meter->second[i] < oldest)
            oldest = meter->second[i];
    }
    /* The window is never taken for shorter than all its samples but the last, as in Kafka. */
    double window = (double)(now_ms - oldest * 1000);
    double least = 1000.0 * (KF__QUOTA_SAMPLES - 1);
    window = window < least ? least : window;
    double over = sum * 1000 - rate * window;
    if (over <= 0)
        return 0;
    double ms = over / rate;
    if (ms > (double)MAX_THROTTLE_MS)
        return MAX_THROTTLE_MS;
    return ms < 1 ? 1 : (int64_t)ms;
}

int64_t kf__quotas_charge(struct kf__quotas *quotas, const struct kf__quota_charge *charge,
                          int64_t now_ms)
{
    const struct kf__quota *quota =
        quotas->count > 0 ? bound_by(quotas, charge->key, charge->user, charge->client) : NULL;
    if (!quota)
        return 0;
    kf_string none = {0};
    struct kf__quota_meter *meter =
        meter_of(quotas, charge->key, quota->entity.has[KF__QUOTA_USER] ? charge->user : none,
                 quota->entity.has[KF__QUOTA_CLIENT] ? charge->client : none);
    if (!meter)
        return 0;
    int64_t second = now_ms / 1000;
    size_t at = (size_t)(second % KF__QUOTA_SAMPLES);
    if (meter->second[at] != second) {
        meter->second[at] = second;
        meter->bytes[at] = 0;
    }
    meter->bytes[at] += (double)charge->bytes;
    int64_t ms = still_for(meter, quota->values[charge->key], now_ms);
    if (ms > 0 && charge->if_free)
        meter->bytes[at] -= (double)charge->bytes;
    return ms;
}
