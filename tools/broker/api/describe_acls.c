/*
 * DescribeAcls (29), versions 1–3: 1 patterns (KIP-290), 2 flexible, 3 users
 * as resources (KIP-373). A filter with an UNKNOWN closes the connection, as
 * in Kafka.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_describe_acls_response_describe_acls_resource resource_answer;

static bool is_same_resource(const struct kf__acl *a, const struct kf__acl *b)
{
    return a->resource == b->resource && a->pattern == b->pattern &&
           kf__text_equal(a->name, b->name);
}

/* The entries of one resource, from `from` to `end`, as far as the filter wants them. */
static bool tell_resource(struct kf__exchange *exchange, const struct kf__acl *filter, size_t from,
                          size_t end, resource_answer *answer)
{
    const struct kf__acl *items = exchange->broker->acls.items;
    answer->resource_type = items[from].resource;
    answer->resource_name = kf__answer_text(exchange, items[from].name);
    answer->pattern_type = items[from].pattern;
    if (!KF__FILL(exchange, "resources/acls", answer->acls, (int32_t)(end - from)))
        return false;
    answer->acls.count = 0;
    for (size_t i = from; i < end; i++) {
        if (!kf__acl_fits(filter, &items[i]))
            continue;
        struct kf_describe_acls_response_acl_description *acl =
            &answer->acls.items[answer->acls.count++];
        acl->principal = kf__answer_text(exchange, items[i].principal);
        acl->host = kf__answer_text(exchange, items[i].host);
        acl->operation = items[i].operation;
        acl->permission_type = items[i].permission;
    }
    return true;
}

static bool tell(struct kf__exchange *exchange, const struct kf__acl *filter)
{
    struct kf_describe_acls_response *response = exchange->response;
    const struct kf__acls *acls = &exchange->broker->acls;
    if (!KF__FILL(exchange, "resources", response->resources, (int32_t)acls->count))
        return false;
    response->resources.count = 0;
    for (size_t from = 0; from < acls->count;) {
        size_t end = from;
        bool wanted = false;
        while (end < acls->count && is_same_resource(&acls->items[from], &acls->items[end]))
            wanted |= kf__acl_fits(filter, &acls->items[end++]);
        if (wanted && !tell_resource(exchange, filter, from, end,
                                     &response->resources.items[response->resources.count++]))
            return false;
        from = end;
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_acls_request *request = exchange->request;
    struct kf_describe_acls_response *response = exchange->response;
    struct kf__acl filter = {
        .resource = request->resource_type_filter,
        .name = request->resource_name_filter,
        .pattern = request->pattern_type_filter,
        .principal = request->principal_filter,
        .host = request->host_filter,
        .operation = request->operation,
        .permission = request->permission_type,
    };
    if (filter.resource == 0 || filter.pattern == 0 || filter.operation == 0 ||
        filter.permission == 0)
        return KF__REFUSED;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    response->error_message = kf__text(err ? kf__kafka_words(err) : "");
    if (!err && !exchange->broker->acls.enforced) {
        err = KF_ERR_SECURITY_DISABLED;
        response->error_message = kf__text("No Authorizer is configured on the broker");
    }
    response->error_code = kf__wire_error(err);
    return err || tell(exchange, &filter) ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_describe_acls = {.key = KF_API_DESCRIBE_ACLS,
                                              .min_version = 1,
                                              .max_version = 3,
                                              .advertised_min = 1,
                                              .handle = handle};
