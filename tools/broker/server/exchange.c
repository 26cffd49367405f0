#include "tools/broker/server/exchange.h"

#include "proto/codec/schema.h"
#include "tools/broker/admin/authorize.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"

/* The field of the response that `path` names; false where there is none. */
static bool find_field(const kf_schema *schema, const char *path, kf_field *field)
{
    kf_fields walk = kf_fields_of(schema);
    for (;;) {
        size_t length = strcspn(path, "/");
        bool found = false;
        while (!found && kf_fields_next(&walk, field))
            found = strncmp(field->name, path, length) == 0 && field->name[length] == 0;
        if (!found || path[length] == 0)
            return found;
        path += length + 1;
        walk = kf_fields_inside(field);
    }
}

void *kf__answer_items(struct kf__exchange *exchange, const char *path, int32_t count)
{
    kf_field field;
    if (count < 0 || !find_field(kf_schema_response(exchange->api->key), path, &field))
        return NULL;
    size_t size = field.element_size;
    uint8_t *items = kf_arena_alloc(&exchange->arena, size * (size_t)(count > 0 ? count : 1));
    for (int32_t i = 0; items && i < count && field.type == KF_FIELD_STRUCT; i++)
        kf__reset_struct(field.inside, items + (size_t)i * size);
    return items;
}

bool kf__all_or_none_open(struct kf__exchange *exchange, struct kf__all_or_none *all, size_t most,
                          size_t size)
{
    *all = (struct kf__all_or_none){0};
    all->items = kf_arena_alloc(&exchange->arena, (most + 1) * size);
    all->answers = kf_arena_alloc(&exchange->arena, (most + 1) * sizeof *all->answers);
    return all->items && all->answers;
}

void kf__all_or_none_tell(const struct kf__all_or_none *all, int16_t code)
{
    for (size_t i = 0; i < all->count; i++)
        *all->answers[i] = code;
}

int32_t *kf__answer_ints(struct kf__exchange *exchange, int32_t count)
{
    return kf_arena_alloc(&exchange->arena, sizeof(int32_t) * (size_t)(count > 0 ? count : 1));
}

kf_bytes kf__answer_bytes(struct kf__exchange *exchange, kf_bytes bytes)
{
    static const uint8_t nothing[1];
    if (!bytes.data)
        return bytes;
    uint8_t *copy = kf_arena_alloc(&exchange->arena, bytes.size + 1);
    if (!copy)
        return (kf_bytes){.data = nothing, .size = 0};
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    return (kf_bytes){.data = copy, .size = bytes.size};
}

kf_string kf__answer_text(struct kf__exchange *exchange, kf_string text)
{
    kf_bytes bytes = {.data = (const uint8_t *)text.data, .size = text.size};
    bytes = kf__answer_bytes(exchange, bytes);
    return (kf_string){.data = (const char *)bytes.data, .size = bytes.size};
}

kf_err kf__forced(const struct kf__exchange *exchange, kf_string topic, int32_t partition)
{
    return kf__rule_error(exchange->verdict.error, topic, partition);
}

kf_err kf__led_partition(const struct kf__exchange *exchange, struct kf__topic *topic,
                         int32_t index, int32_t epoch, struct kf__partition **partition)
{
    *partition = kf__topic_partition(topic, index);
    kf_err forced = kf__forced(exchange, topic ? topic->name : (kf_string){0}, index);
    if (forced)
        return forced;
    kf_err refused = topic ? kf__may_topic(exchange, topic->name) : KF_OK;
    if (refused)
        return refused;
    if (!*partition)
        return KF_ERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (epoch != -1 && epoch < (*partition)->leader_epoch)
        return KF_ERR_FENCED_LEADER_EPOCH;
    if (epoch >= 0 && epoch > (*partition)->leader_epoch)
        return KF_ERR_UNKNOWN_LEADER_EPOCH;
    return (*partition)->leader == exchange->node ? KF_OK : KF_ERR_NOT_LEADER_OR_FOLLOWER;
}

static kf_err check_coordinator(const struct kf__exchange *exchange, enum kf__internal which,
                                kf_string key)
{
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_key(exchange, key);
    if (err)
        return err;
    return kf__coordinator_of(exchange->broker, which, key) == exchange->node
               ? KF_OK
               : KF_ERR_NOT_COORDINATOR;
}

kf_err kf__check_coordinator(const struct kf__exchange *exchange, kf_string group)
{
    return check_coordinator(exchange, KF__OFFSETS, group);
}

kf_err kf__check_txn_coordinator(const struct kf__exchange *exchange, kf_string transactional_id)
{
    return check_coordinator(exchange, KF__TRANSACTIONS, transactional_id);
}

/* "User:alice" in two; without a colon it is a name. */
static void split_principal(kf_string principal, kf_string *type, kf_string *name)
{
    const char *colon = principal.size > 0 ? memchr(principal.data, ':', principal.size) : NULL;
    size_t size = colon ? (size_t)(colon - principal.data) : 0;
    *type = (kf_string){.data = principal.data, .size = size};
    *name = principal;
    if (colon)
        *name = (kf_string){.data = colon + 1, .size = principal.size - size - 1};
}

kf_err kf__no_tokens(const struct kf__exchange *exchange)
{
    return kf__text_equal(exchange->principal, kf__text("User:ANONYMOUS"))
               ? KF_ERR_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
               : KF_ERR_DELEGATION_TOKEN_AUTH_DISABLED;
}

void kf__tell_principal(struct kf__exchange *exchange, kf_string *type, kf_string *name)
{
    kf_string kind, who;
    split_principal(exchange->principal, &kind, &who);
    *type = kf__answer_text(exchange, kind);
    *name = kf__answer_text(exchange, who);
}

static int64_t charge(struct kf__exchange *exchange, int key, size_t bytes, bool if_free)
{
    struct kf__quotas *quotas = &exchange->broker->quotas;
    struct kf__quota_charge charge = {.key = (enum kf__quota_key)key,
                                      .client = exchange->client_id,
                                      .bytes = bytes,
                                      .if_free = if_free};
    kf_string type;
    if (quotas->count == 0)
        return 0;
    split_principal(exchange->principal, &type, &charge.user);
    int64_t ms = kf__quotas_charge(quotas, &charge, exchange->now / KF_MILLISECOND);
    if (ms > exchange->verdict.throttle_ms)
        exchange->verdict.throttle_ms = ms;
    return ms;
}

void kf__charge(struct kf__exchange *exchange, int key, size_t bytes)
{
    charge(exchange, key, bytes, false);
}

bool kf__charge_or_keep(struct kf__exchange *exchange, int key, size_t bytes)
{
    return charge(exchange, key, bytes, true) == 0;
}

size_t kf__quota_room(const struct kf__exchange *exchange, int key)
{
    kf_string type, user;
    split_principal(exchange->principal, &type, &user);
    return kf__quotas_window(&exchange->broker->quotas, (enum kf__quota_key)key, user,
                             exchange->client_id);
}

kf_string kf__node_host(const struct kf__exchange *exchange)
{
    return kf__text(exchange->broker->server.listeners.items[exchange->listener].host);
}

int32_t kf__node_port(const struct kf__exchange *exchange, int32_t node)
{
    return exchange->broker->server.nodes[node].ports[exchange->listener].number;
}

const char *kf__kafka_words(kf_err err)
{
    switch (err) {
    case KF_OK:
        return "NONE";
    case KF_ERR_UNKNOWN_TOPIC_OR_PARTITION:
        return "This server does not host this topic-partition.";
    case KF_ERR_UNKNOWN_TOPIC_ID:
        return "This server does not host this topic ID.";
    case KF_ERR_INVALID_REQUEST:
        return "This most likely occurs because of a request being malformed by the client library "
               "or the message was sent to an incompatible broker. See the broker logs for more "
               "details.";
    case KF_ERR_ELECTION_NOT_NEEDED:
        return "Leader election not needed for topic partition.";
    case KF_ERR_COORDINATOR_NOT_AVAILABLE:
        return "The coordinator is not available.";
    case KF_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "Topic authorization failed.";
    case KF_ERR_GROUP_AUTHORIZATION_FAILED:
        return "Group authorization failed.";
    case KF_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return "Cluster authorization failed.";
    case KF_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return "Transactional Id authorization failed.";
    default:
        return kf_err_text(err);
    }
}
