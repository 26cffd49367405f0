/*
 * DescribeClientQuotas (48), versions 0–1: 1 flexible (KIP-546). A filter names
 * parts of an entity; strict: it must have no others.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/admin/quotas.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

enum {
    MATCH_EXACT = 0,
    MATCH_DEFAULT = 1,
    MATCH_ANY = 2,
    WHY_BYTES = 300,
};

typedef struct kf_describe_client_quotas_request_component_data component;

struct filter {
    const component *parts[KF__QUOTA_PARTS]; /* NULL: not named */
    bool strict;
};

static kf_err refuse(char *why, const char *format, kf_string about)
{
    snprintf(why, WHY_BYTES, format, (int)(about.size < 150 ? about.size : 150),
             about.data ? about.data : "");
    return KF_ERR_INVALID_REQUEST;
}

static kf_err check_match(const component *asked, char *why)
{
    static const kf_string nothing;
    switch (asked->match_type) {
    case MATCH_EXACT:
        return asked->match.data ? KF_OK
                                 : refuse(why,
                                          "Request specified MATCH_TYPE_EXACT, but set match "
                                          "string to null.%.*s",
                                          nothing);
    case MATCH_DEFAULT:
    case MATCH_ANY:
        if (!asked->match.data)
            return KF_OK;
        snprintf(why, WHY_BYTES,
                 "Request specified MATCH_TYPE_%s, but also specified a match string.",
                 asked->match_type == MATCH_DEFAULT ? "DEFAULT" : "SPECIFIED");
        return KF_ERR_INVALID_REQUEST;
    default:
        snprintf(why, WHY_BYTES, "Unknown match type %d", asked->match_type);
        return KF_ERR_INVALID_REQUEST;
    }
}

static kf_err read_filter(const struct kf_describe_client_quotas_request *request,
                          struct filter *filter, char *why)
{
    *filter = (struct filter){.strict = request->strict};
    for (int32_t i = 0; i < request->components.count; i++) {
        const component *asked = &request->components.items[i];
        int part = 0;
        while (part < KF__QUOTA_PARTS &&
               !kf__text_equal(asked->entity_type,
                               kf__text(kf__quota_part_name((enum kf__quota_part)part))))
            part++;
        if (asked->entity_type.size == 0)
            return refuse(why, "Invalid empty entity type.%.*s", (kf_string){0});
        kf_err err = check_match(asked, why);
        if (err)
            return err;
        if (part == KF__QUOTA_PARTS) {
            refuse(why, "Unsupported entity type %.*s", asked->entity_type);
            return KF_ERR_UNSUPPORTED_VERSION;
        }
        if (filter->parts[part])
            return refuse(why, "Entity type %.*s cannot appear more than once in the filter.",
                          asked->entity_type);
        filter->parts[part] = asked;
    }
    if (filter->parts[KF__QUOTA_IP] &&
        (filter->parts[KF__QUOTA_USER] || filter->parts[KF__QUOTA_CLIENT]))
        return refuse(why,
                      "Invalid entity filter component combination. IP filter component should not "
                      "be used with user or clientId filter component.%.*s",
                      (kf_string){0});
    return KF_OK;
}

static bool fits(const struct filter *filter, const struct kf__quota_entity *entity)
{
    bool named = false;
    for (int i = 0; i < KF__QUOTA_PARTS; i++) {
        const component *asked = filter->parts[i];
        named |= asked != NULL;
        if (!asked && filter->strict && entity->has[i])
            return false;
        if (!asked)
            continue;
        if (!entity->has[i] ||
            (asked->match_type == MATCH_EXACT && !kf__text_equal(entity->names[i], asked->match)) ||
            (asked->match_type == MATCH_DEFAULT && entity->names[i].data))
            return false;
    }
    return named || !filter->strict;
}

static bool tell(struct kf__exchange *exchange, const struct kf__quota *quota,
                 struct kf_describe_client_quotas_response_entry_data *answer)
{
    /* Kafka's order of an entity's parts */
    static const enum kf__quota_part order[] = {KF__QUOTA_CLIENT, KF__QUOTA_USER, KF__QUOTA_IP};
    if (!KF__FILL(exchange, "entries/entity", answer->entity, KF__QUOTA_PARTS) ||
        !KF__FILL(exchange, "entries/values", answer->values, KF__QUOTA_KEYS))
        return false;
    answer->entity.count = answer->values.count = 0;
    for (int i = 0; i < KF__QUOTA_PARTS; i++) {
        if (!quota->entity.has[order[i]])
            continue;
        int32_t at = answer->entity.count++;
        answer->entity.items[at].entity_type = kf__text(kf__quota_part_name(order[i]));
        answer->entity.items[at].entity_name =
            kf__answer_text(exchange, quota->entity.names[order[i]]);
    }
    for (int i = 0; i < KF__QUOTA_KEYS; i++) {
        if (!quota->set[i])
            continue;
        int32_t at = answer->values.count++;
        answer->values.items[at].key = kf__text(kf__quota_key_name((enum kf__quota_key)i));
        answer->values.items[at].value = quota->values[i];
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_client_quotas_request *request = exchange->request;
    struct kf_describe_client_quotas_response *response = exchange->response;
    const struct kf__quotas *quotas = &exchange->broker->quotas;
    struct filter filter;
    char why[WHY_BYTES] = "";
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    if (!err)
        err = read_filter(request, &filter, why);
    response->error_code = kf__wire_error(err);
    response->error_message = kf__answer_text(exchange, kf__text(why));
    if (err) {
        response->entries.count = -1;
        return KF__ANSWERED;
    }
    if (!KF__FILL(exchange, "entries", response->entries, (int32_t)quotas->count))
        return KF__REFUSED;
    response->entries.count = 0;
    for (size_t i = 0; i < quotas->count; i++)
        if (fits(&filter, &quotas->items[i].entity) &&
            !tell(exchange, &quotas->items[i], &response->entries.items[response->entries.count++]))
            return KF__REFUSED;
    return KF__ANSWERED;
}

const struct kf__api kf__api_describe_client_quotas = {
    .key = KF_API_DESCRIBE_CLIENT_QUOTAS, .max_version = 1, .handle = handle};
