/*
 * CreateAcls (30), versions 1–3: 1 prefixed patterns (KIP-290), 2 flexible,
 * 3 users as resources (KIP-373).
 *
 * Without the authorizer the answer is SECURITY_DISABLED. An UNKNOWN in the
 * request closes the connection and an ANY is an UNKNOWN_SERVER_ERROR, as in
 * Kafka.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

typedef struct kf_create_acls_request_acl_creation asked_acl;

static kf_err refuse(char *why, const char *text)
{
    snprintf(why, KF__MAX_WHY_BYTES, "%s", text);
    return KF_ERR_INVALID_REQUEST;
}

static kf_err check(const asked_acl *asked, char *why)
{
    if (asked->operation == KF__ACL_ANY || asked->permission_type == KF__ACL_ANY_PERMISSION ||
        asked->resource_pattern_type == KF__ACL_ANY_PATTERN ||
        asked->resource_pattern_type == KF__ACL_MATCH ||
        asked->resource_type == KF__ACL_ANY_RESOURCE)
        return KF_ERR_UNKNOWN_SERVER_ERROR;
    if (asked->resource_type < 0 || asked->resource_type > KF__ACL_USER)
        return refuse(why, "Invalid resourceType UNKNOWN");
    if (asked->operation < 0 || asked->operation > KF__ACL_TWO_PHASE_COMMIT)
        return refuse(why, "Invalid operation UNKNOWN");
    if (asked->permission_type < 0 || asked->permission_type > KF__ACL_ALLOW)
        return refuse(why, "Invalid permissionType UNKNOWN");
    if (asked->resource_pattern_type < 0 || asked->resource_pattern_type > KF__ACL_PREFIXED)
        return refuse(why, "Invalid patternType UNKNOWN");
    if (asked->resource_type == KF__ACL_CLUSTER &&
        !kf__text_equal(asked->resource_name, kf__cluster_name()))
        return refuse(why, "The only valid name for the CLUSTER resource is kafka-cluster");
    if (asked->resource_name.size == 0)
        return refuse(why, "Invalid empty resource name");
    if (asked->principal.size == 0 || !memchr(asked->principal.data, ':', asked->principal.size)) {
        snprintf(why, KF__MAX_WHY_BYTES,
                 "Could not parse principal from `%.*s` (no colon is present separating the "
                 "principal type from the principal name)",
                 (int)(asked->principal.size < 200 ? asked->principal.size : 200),
                 asked->principal.data);
        return KF_ERR_INVALID_REQUEST;
    }
    if (asked->host.size == 0)
        return refuse(why, "Host pattern cannot be null or empty");
    return KF_OK;
}

static bool has_unknown(const struct kf_create_acls_request *request)
{
    for (int32_t i = 0; i < request->creations.count; i++) {
        const asked_acl *asked = &request->creations.items[i];
        if (asked->resource_type == 0 || asked->resource_pattern_type == 0 ||
            asked->operation == 0 || asked->permission_type == 0)
            return true;
    }
    return false;
}

static kf_err create(struct kf__exchange *exchange, const asked_acl *asked, char *why)
{
    kf_err err = check(asked, why);
    struct kf__acl acl = {
        .resource = asked->resource_type,
        .name = asked->resource_name,
        .pattern = asked->resource_pattern_type,
        .principal = asked->principal,
        .host = asked->host,
        .operation = asked->operation,
        .permission = asked->permission_type,
    };
    return err ? err : kf__acls_add(&exchange->broker->acls, &acl);
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_create_acls_request *request = exchange->request;
    struct kf_create_acls_response *response = exchange->response;
    if (has_unknown(request))
        return KF__REFUSED;
    if (!KF__FILL(exchange, "results", response->results, request->creations.count))
        return KF__REFUSED;
    kf_err all = kf__forced_all(exchange);
    if (!all)
        all = kf__may_all(exchange);
    bool disabled = !all && !exchange->broker->acls.enforced;
    for (int32_t i = 0; i < request->creations.count; i++) {
        char why[KF__MAX_WHY_BYTES] = "";
        kf_err err = disabled ? KF_ERR_SECURITY_DISABLED : all;
        if (disabled)
            snprintf(why, sizeof why, "No Authorizer is configured.");
        if (!err)
            err = create(exchange, &request->creations.items[i], why);
        response->results.items[i].error_code = kf__wire_error(err);
        response->results.items[i].error_message =
            kf__answer_text(exchange, kf__text(!err || why[0] ? why : NULL));
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_create_acls = {.key = KF_API_CREATE_ACLS,
                                            .min_version = 1,
                                            .max_version = 3,
                                            .advertised_min = 1,
                                            .handle = handle};
