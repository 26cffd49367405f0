/*
 * DeleteAcls (31), versions 1–3: 1 patterns (KIP-290), 2 flexible, 3 users as
 * resources (KIP-373). What a filter fits is gone, and told. A filter with an
 * UNKNOWN closes the connection, as in Kafka.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_delete_acls_response_delete_acls_filter_result filter_answer;
typedef struct kf_delete_acls_request_delete_acls_filter asked_filter;

static bool delete_fitting(struct kf__exchange *exchange, const asked_filter *asked,
                           filter_answer *answer)
{
    struct kf__acls *acls = &exchange->broker->acls;
    struct kf__acl filter = {
        .resource = asked->resource_type_filter,
        .name = asked->resource_name_filter,
        .pattern = asked->pattern_type_filter,
        .principal = asked->principal_filter,
        .host = asked->host_filter,
        .operation = asked->operation,
        .permission = asked->permission_type,
    };
    if (!KF__FILL(exchange, "filter_results/matching_acls", answer->matching_acls,
                  (int32_t)acls->count))
        return false;
    answer->matching_acls.count = 0;
    for (size_t i = 0; i < acls->count;) {
        const struct kf__acl *acl = &acls->items[i];
        if (!kf__acl_fits(&filter, acl)) {
            i++;
            continue;
        }
        struct kf_delete_acls_response_delete_acls_matching_acl *told =
            &answer->matching_acls.items[answer->matching_acls.count++];
        told->resource_type = acl->resource;
        told->resource_name = kf__answer_text(exchange, acl->name);
        told->pattern_type = acl->pattern;
        told->principal = kf__answer_text(exchange, acl->principal);
        told->host = kf__answer_text(exchange, acl->host);
        told->operation = acl->operation;
        told->permission_type = acl->permission;
        kf__acls_remove(acls, i);
    }
    return true;
}

static bool has_unknown(const struct kf_delete_acls_request *request)
{
    for (int32_t i = 0; i < request->filters.count; i++) {
        const asked_filter *asked = &request->filters.items[i];
        if (asked->resource_type_filter == 0 || asked->pattern_type_filter == 0 ||
            asked->operation == 0 || asked->permission_type == 0)
            return true;
    }
    return false;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_delete_acls_request *request = exchange->request;
    struct kf_delete_acls_response *response = exchange->response;
    if (has_unknown(request) ||
        !KF__FILL(exchange, "filter_results", response->filter_results, request->filters.count))
        return KF__REFUSED;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    const char *why = err ? kf__kafka_words(err) : NULL;
    if (!err && !exchange->broker->acls.enforced) {
        err = KF_ERR_SECURITY_DISABLED;
        why = "No Authorizer is configured.";
    }
    for (int32_t i = 0; i < request->filters.count; i++) {
        filter_answer *answer = &response->filter_results.items[i];
        answer->error_code = kf__wire_error(err);
        answer->error_message = kf__text(why);
        if (!err && !delete_fitting(exchange, &request->filters.items[i], answer))
            return KF__REFUSED;
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_delete_acls = {.key = KF_API_DELETE_ACLS,
                                            .min_version = 1,
                                            .max_version = 3,
                                            .advertised_min = 1,
                                            .handle = handle};
