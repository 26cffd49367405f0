/*
 * RenewDelegationToken (39), versions 1–2: 2 flexible.
 *
 * There are no tokens (KIP-48) here: as from a Kafka without
 * delegation.token.secret.key the answer is DELEGATION_TOKEN_AUTH_DISABLED, or
 * DELEGATION_TOKEN_REQUEST_NOT_ALLOWED to whom nobody has authenticated.
 */
#include "tools/broker/api/apis.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    struct kf_renew_delegation_token_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    response->error_code = kf__wire_error(err ? err : kf__no_tokens(exchange));
    response->expiry_timestamp_ms = -1;
    return KF__ANSWERED;
}

const struct kf__api kf__api_renew_delegation_token = {.key = KF_API_RENEW_DELEGATION_TOKEN,
                                                       .min_version = 1,
                                                       .max_version = 2,
                                                       .advertised_min = 1,
                                                       .handle = handle};
