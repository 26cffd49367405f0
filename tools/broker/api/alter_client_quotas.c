/*
 * AlterClientQuotas (49), versions 0–1: 1 flexible (KIP-546). Entries fail one
 * by one.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/admin/quotas.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

#include <arpa/inet.h>

typedef struct kf_alter_client_quotas_request_entry_data asked_entry;

enum {
    WHY_BYTES = 300,
    MOST_OPS = 50, /* of one entity; more are refused like a key that is named twice */
};

static kf_err refuse(char *why, const char *format, kf_string about)
{
    snprintf(why, WHY_BYTES, format, (int)(about.size < 150 ? about.size : 150),
             about.data ? about.data : "");
    return KF_ERR_INVALID_REQUEST;
}

static kf_err read_entity(const asked_entry *asked, struct kf__quota_entity *entity, char *why)
{
    static const kf_string nothing;
    *entity = (struct kf__quota_entity){0};
    if (asked->entity.count == 0)
        return refuse(why, "Invalid empty client quota entity%.*s", nothing);
    for (int32_t i = 0; i < asked->entity.count; i++) {
        kf_string type = asked->entity.items[i].entity_type;
        kf_string name = asked->entity.items[i].entity_name;
        int part = 0;
        while (part < KF__QUOTA_PARTS &&
               !kf__text_equal(type, kf__text(kf__quota_part_name((enum kf__quota_part)part))))
            part++;
        if (part == KF__QUOTA_PARTS)
            return refuse(why, "Unhandled client quota entity type: %.*s", type);
        if (name.data && name.size == 0)
            return refuse(why, "Empty %.*s not supported", type);
        entity->has[part] = true;
        entity->names[part] = name;
    }
    if (entity->has[KF__QUOTA_IP] && (entity->has[KF__QUOTA_USER] || entity->has[KF__QUOTA_CLIENT]))
        return refuse(why,
                      "Invalid quota entity combination, IP entity shouldnot be combined with User "
                      "or ClientId%.*s",
                      nothing);
    char address[64];
    uint8_t bytes[16];
    kf_string ip = entity->names[KF__QUOTA_IP];
    if (ip.data) { /* Kafka resolves names as well */
        snprintf(address, sizeof address, "%.*s", (int)(ip.size < 63 ? ip.size : 63), ip.data);
        if (inet_pton(AF_INET, address, bytes) != 1 && inet_pton(AF_INET6, address, bytes) != 1)
            return refuse(why, "%.*s is not a valid IP or resolvable host.", ip);
    }
    return KF_OK;
}

static kf_err check_value(enum kf__quota_key key, double value, char *why)
{
    const char *name = kf__quota_key_name(key);
    bool small = key == KF__QUOTA_CONNECTION_RATE;
    bool whole = small || key == KF__QUOTA_PRODUCER_RATE || key == KF__QUOTA_CONSUMER_RATE;
    if (!(value > 0)) {
        snprintf(why, WHY_BYTES, "Quota %s must be greater than 0", name);
        return KF_ERR_INVALID_REQUEST;
    }
    if (whole && value > (small ? 2147483647.0 : 9223372036854775807.0)) {
        snprintf(why, WHY_BYTES, "Proposed value for %s is too large for %s.", name,
                 small ? "an INT" : "a LONG");
        return KF_ERR_INVALID_REQUEST;
    }
    if (whole && value < 9e15 && value != (double)(int64_t)value) {
        snprintf(why, WHY_BYTES, "%s cannot be a fractional value.", name);
        return KF_ERR_INVALID_REQUEST;
    }
    return KF_OK;
}

static kf_err find_key(const struct kf__quota_entity *entity, kf_string name,
                       enum kf__quota_key *key, char *why)
{
    int at = 0;
    while (at < KF__QUOTA_KEYS &&
           !kf__text_equal(name, kf__text(kf__quota_key_name((enum kf__quota_key)at))))
        at++;
    bool of_ip = at == KF__QUOTA_CONNECTION_RATE;
    if (at == KF__QUOTA_KEYS || of_ip != entity->has[KF__QUOTA_IP])
        return refuse(why, "Invalid configuration key %.*s", name);
    *key = (enum kf__quota_key)at;
    return KF_OK;
}

static kf_err check(const asked_entry *asked, struct kf__quota_entity *entity, char *why)
{
    kf_err err = read_entity(asked, entity, why);
    for (int32_t i = 0; !err && i < asked->ops.count; i++) {
        enum kf__quota_key key;
        if (asked->ops.items[i].remove)
            continue; /* whatever it is: it needn't be there */
        err = find_key(entity, asked->ops.items[i].key, &key, why);
        if (!err)
            err = check_value(key, asked->ops.items[i].value, why);
    }
    return err;
}

/* The operations of one kind. */
static kf_err store(struct kf__quotas *quotas, const asked_entry *asked,
                    const struct kf__quota_entity *entity, bool removes)
{
    char why[WHY_BYTES];
    kf_err err = KF_OK;
    for (int32_t i = 0; !err && i < asked->ops.count; i++) {
        enum kf__quota_key key;
        double value = asked->ops.items[i].value;
        if (asked->ops.items[i].remove == removes &&
            !find_key(entity, asked->ops.items[i].key, &key, why))
            err = kf__quotas_set(quotas, entity, key, removes ? NULL : &value);
    }
    return err;
}

/* All operations of the entry, or none: only the first value may find no memory, for the entity,
   and it would find none that a removal has just taken away. */
static kf_err alter(struct kf__exchange *exchange, const asked_entry *asked, bool validate_only,
                    char *why)
{
    struct kf__quotas *quotas = &exchange->broker->quotas;
    struct kf__quota_entity entity;
    kf_err err = check(asked, &entity, why);
    if (!err && !validate_only)
        err = store(quotas, asked, &entity, false);
    if (!err && !validate_only)
        err = store(quotas, asked, &entity, true);
    return err;
}

/* The entity as one text, the same for the same entity; of one that is wrong: its own. */
static kf_err name_entity(struct kf__exchange *exchange, const asked_entry *asked, int32_t index,
                          struct kf__named *name)
{
    char why[WHY_BYTES];
    struct kf__quota_entity entity;
    size_t size = 0, used = 0;
    *name = (struct kf__named){.kind = index + 1};
    if (read_entity(asked, &entity, why))
        return KF_OK;
    for (int i = 0; i < KF__QUOTA_PARTS; i++)
        size += entity.names[i].size + 1 + sizeof entity.names[i].size;
    char *text = kf_arena_alloc(&exchange->arena, size);
    if (!text)
        return KF_ERR_NO_MEMORY;
    for (int i = 0; i < KF__QUOTA_PARTS; i++) {
        kf_string part = entity.names[i];
        text[used++] = (char)(entity.has[i] + (part.data != NULL));
        memcpy(text + used, &part.size, sizeof part.size);
        used += sizeof part.size;
        if (part.size > 0)
            memcpy(text + used, part.data, part.size);
        used += part.size;
    }
    *name = (struct kf__named){.text = {text, used}};
    return KF_OK;
}

static const char *mark_twins(struct kf__exchange *exchange)
{
    const struct kf_alter_client_quotas_request *request = exchange->request;
    int32_t count = request->entries.count;
    struct kf__named *names = kf_arena_alloc(&exchange->arena, ((size_t)count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < count; i++)
        if (name_entity(exchange, &request->entries.items[i], i, &names[i]))
            return NULL;
    return names ? kf__mark_twins(&exchange->arena, names, count) : NULL;
}

/* There are only so many keys. */
static bool has_key_twice(const asked_entry *asked)
{
    for (int32_t i = 0; i < asked->ops.count; i++)
        for (int32_t j = 0; j < i; j++)
            if (i > MOST_OPS || kf__text_equal(asked->ops.items[i].key, asked->ops.items[j].key))
                return true;
    return false;
}

/* In Kafka's words, which name the parts in the order of Java's table. */
static kf_err refuse_twins(const struct kf__quota_entity *entity, char *why)
{
    static const enum kf__quota_part parts[] = {KF__QUOTA_CLIENT, KF__QUOTA_IP, KF__QUOTA_USER};
    int used = snprintf(why, WHY_BYTES, "Ignoring duplicate entity ClientQuotaEntity(entries={");
    const char *comma = "";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        kf_string name = entity->names[parts[i]];
        if (!entity->has[parts[i]])
            continue;
        used += snprintf(
            why + used, WHY_BYTES - (size_t)used, "%s%s=%.*s", comma, kf__quota_part_name(parts[i]),
            name.data ? (int)(name.size < 80 ? name.size : 80) : 4, name.data ? name.data : "null");
        comma = ", ";
    }
    snprintf(why + used, WHY_BYTES - (size_t)used, "})");
    return KF_ERR_INVALID_REQUEST;
}

/* Of an entity that is named several times the first entry counts, and is refused all the same. */
static kf_err alter_asked(struct kf__exchange *exchange, const asked_entry *asked, bool has_twin,
                          char *why)
{
    const struct kf_alter_client_quotas_request *request = exchange->request;
    struct kf__quota_entity entity;
    kf_err err = read_entity(asked, &entity, why);
    if (err)
        return err;
    bool twice = has_key_twice(asked);
    if (!twice)
        err = alter(exchange, asked, request->validate_only, why);
    return twice || has_twin ? refuse_twins(&entity, why) : err;
}

/* A type named twice is told once. */
static void tell_part(const asked_entry *asked, int32_t index,
                      struct kf_alter_client_quotas_response_entry_data *answer)
{
    kf_string type = asked->entity.items[index].entity_type;
    int32_t at = 0, known = answer->entity.count;
    while (at < known && at < KF__QUOTA_PARTS &&
           !kf__text_equal(answer->entity.items[at].entity_type, type))
        at++;
    if (at == known || at == KF__QUOTA_PARTS) /* more than there are types: all of it is wrong */
        at = answer->entity.count++;
    answer->entity.items[at].entity_type = type;
    answer->entity.items[at].entity_name = asked->entity.items[index].entity_name;
}

/* An entry of the answer for each entity. */
static bool fill_entities(struct kf__exchange *exchange, const char *marks)
{
    const struct kf_alter_client_quotas_request *request = exchange->request;
    struct kf_alter_client_quotas_response *response = exchange->response;
    int32_t told = 0;
    for (int32_t i = 0; i < request->entries.count; i++) {
        if (marks[i] == KF__TWIN_AGAIN)
            continue;
        if (!KF__FILL(exchange, "entries/entity", response->entries.items[told].entity,
                      request->entries.items[i].entity.count))
            return false;
        told++;
    }
    response->entries.count = told;
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_alter_client_quotas_request *request = exchange->request;
    struct kf_alter_client_quotas_response *response = exchange->response;
    kf_err all = kf__forced_all(exchange);
    if (!all)
        all = kf__may_all(exchange);
    const char *marks = mark_twins(exchange);
    if (!marks || !KF__FILL(exchange, "entries", response->entries, request->entries.count))
        return KF__REFUSED;
    if (!fill_entities(exchange, marks))
        return KF__REFUSED; /* before anything is altered */
    for (int32_t i = 0, told = 0; i < request->entries.count; i++) {
        const asked_entry *asked = &request->entries.items[i];
        if (marks[i] == KF__TWIN_AGAIN)
            continue;
        struct kf_alter_client_quotas_response_entry_data *answer =
            &response->entries.items[told++];
        char why[WHY_BYTES] = "";
        kf_err err = all;
        if (!err)
            err = alter_asked(exchange, asked, marks[i] == KF__FIRST_OF_TWINS, why);
        answer->error_code = kf__wire_error(err);
        answer->error_message = kf__answer_text(exchange, kf__text(why[0] ? why : NULL));
        answer->entity.count = 0;
        for (int32_t e = 0; e < asked->entity.count; e++)
            tell_part(asked, e, answer);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_alter_client_quotas = {
    .key = KF_API_ALTER_CLIENT_QUOTAS, .max_version = 1, .handle = handle};
