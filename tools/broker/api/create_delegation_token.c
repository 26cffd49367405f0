/*
 * CreateDelegationToken (38), versions 1–3: 3 for somebody else (KIP-373).
 *
 * There are no tokens (KIP-48) here: as from a Kafka without
 * delegation.token.secret.key the answer is DELEGATION_TOKEN_AUTH_DISABLED, or
 * DELEGATION_TOKEN_REQUEST_NOT_ALLOWED to whom nobody has authenticated.
 */
#include "tools/broker/api/apis.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_create_delegation_token_request *request = exchange->request;
    struct kf_create_delegation_token_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    bool names_owner = exchange->version >= 3 && request->owner_principal_name.size > 0;
    bool owner_has_type = request->owner_principal_type.data;
    if (!err)
        err =
            names_owner && !owner_has_type ? KF_ERR_UNKNOWN_SERVER_ERROR : kf__no_tokens(exchange);
    response->error_code = kf__wire_error(err);
    response->issue_timestamp_ms = response->expiry_timestamp_ms = response->max_timestamp_ms = -1;
    kf__tell_principal(exchange, &response->principal_type, &response->principal_name);
    if (names_owner && owner_has_type) {
        response->principal_type = request->owner_principal_type;
        response->principal_name = request->owner_principal_name;
    }
    if (exchange->version >= 3)
        kf__tell_principal(exchange, &response->token_requester_principal_type,
                           &response->token_requester_principal_name);
    return KF__ANSWERED;
}

const struct kf__api kf__api_create_delegation_token = {.key = KF_API_CREATE_DELEGATION_TOKEN,
                                                        .min_version = 1,
                                                        .max_version = 3,
                                                        .advertised_min = 1,
                                                        .handle = handle};
