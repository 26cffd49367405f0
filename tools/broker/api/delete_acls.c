/*
 * DeleteAcls (31), versions 1–3: 1 patterns (KIP-290), 2 flexible, 3 users as
 * resources (KIP-373). What a filter fits is told, and gone once all of it is
 * told. A filter with an UNKNOWN closes the connection, as in Kafka.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_delete_acls_response_delete_acls_filter_result filter_answer;
typedef struct kf_delete_acls_request_delete_acls_filter asked_filter;

/* Marks what fits and tells it: as in Kafka what fits two filters is told twice. */
static bool tell_fitting(struct kf__exchange *exchange, const asked_filter *asked, bool *marked,
                         filter_answer *answer)
{
    const struct kf__acls *acls = &exchange->broker->acls;
    int32_t count = 0, at = 0;
    struct kf__acl filter = {
        .resource = asked->resource_type_filter,
        .name = asked->resource_name_filter,
        .pattern = asked->pattern_type_filter,
        .principal = asked->principal_filter,
        .host = asked->host_filter,
        .operation = asked->operation,
        .permission = asked->permission_type,
    };
    for (size_t i = 0; i < acls->count; i++)
        count += kf__acl_fits(&filter, &acls->items[i]);
    if (!KF__FILL(exchange, "filter_results/matching_acls", answer->matching_acls, count))
        return false;
    for (size_t i = 0; i < acls->count && at < count; i++) {
        const struct kf__acl *acl = &acls->items[i];
        if (!kf__acl_fits(&filter, acl))
            continue;
        struct kf_delete_acls_response_delete_acls_matching_acl *told =
            &answer->matching_acls.items[at++];
        told->error_message = kf__text(NULL);
        told->resource_type = acl->resource;
        told->resource_name = kf__answer_text(exchange, acl->name);
        told->pattern_type = acl->pattern;
        told->principal = kf__answer_text(exchange, acl->principal);
        told->host = kf__answer_text(exchange, acl->host);
        told->operation = acl->operation;
        told->permission_type = acl->permission;
        if (told->resource_name.size != acl->name.size ||
            told->principal.size != acl->principal.size || told->host.size != acl->host.size)
            return false; /* out of memory */
        marked[i] = true;
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

/* Numbers that Kafka has no name for. */
static const char *unknown_part(const asked_filter *asked)
{
    if (asked->resource_type_filter < 0 || asked->resource_type_filter > KF__ACL_USER ||
        asked->pattern_type_filter < 0 || asked->pattern_type_filter > KF__ACL_PREFIXED)
        return "Unknown patternFilter.";
    if (asked->operation < 0 || asked->operation > KF__ACL_TWO_PHASE_COMMIT ||
        asked->permission_type < 0 || asked->permission_type > KF__ACL_ALLOW)
        return "Unknown entryFilter.";
    return NULL;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_delete_acls_request *request = exchange->request;
    struct kf_delete_acls_response *response = exchange->response;
    if (has_unknown(request) ||
        !KF__FILL(exchange, "filter_results", response->filter_results, request->filters.count))
        return KF__REFUSED;
    struct kf__acls *acls = &exchange->broker->acls;
    bool *marked = kf_arena_alloc(&exchange->arena, acls->count + 1);
    if (!marked)
        return KF__REFUSED;
    memset(marked, 0, acls->count + 1);
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    const char *why = err ? kf__kafka_words(err) : NULL;
    if (!err && !acls->enforced) {
        err = KF_ERR_SECURITY_DISABLED;
        why = "No Authorizer is configured.";
    }
    for (int32_t i = 0; i < request->filters.count; i++) {
        filter_answer *answer = &response->filter_results.items[i];
        const char *unknown = err ? NULL : unknown_part(&request->filters.items[i]);
        answer->error_code = kf__wire_error(unknown ? KF_ERR_INVALID_REQUEST : err);
        answer->error_message = kf__text(unknown ? unknown : why);
        if (!err && !unknown && !tell_fitting(exchange, &request->filters.items[i], marked, answer))
            return KF__REFUSED;
    }
    kf__acls_remove_marked(acls, marked);
    return KF__ANSWERED;
}

const struct kf__api kf__api_delete_acls = {.key = KF_API_DELETE_ACLS,
                                            .min_version = 1,
                                            .max_version = 3,
                                            .advertised_min = 1,
                                            .handle = handle};
