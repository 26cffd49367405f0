/*
 * SaslHandshake (17), versions 0–1: which mechanism. After version 0 bare SASL
 * messages follow, after version 1 SaslAuthenticate (KIP-152). On an
 * authenticated connection it begins a re-authentication (KIP-368).
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static bool list_mechanisms(struct kf__exchange *exchange,
                            struct kf_sasl_handshake_response *response)
{
    const struct kf__sasl_server *server = &exchange->broker->sasl;
    int32_t count = 0;
    for (int kind = 0; kind < KF__SASL_KINDS; kind++)
        count += server->offered[kind];
    kf_string *names = kf_arena_alloc(&exchange->arena, (size_t)count * sizeof *names + 1);
    if (!names)
        return false;
    response->mechanisms.items = names;
    for (int kind = 0; kind < KF__SASL_KINDS; kind++)
        if (server->offered[kind])
            names[response->mechanisms.count++] =
                kf__text(kf__sasl_kind_name((enum kf__sasl_kind)kind));
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_sasl_handshake_request *request = exchange->request;
    struct kf_sasl_handshake_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__session_handshake(exchange->session, &exchange->broker->sasl,
                                    exchange->must_authenticate, exchange->version,
                                    request->mechanism, exchange->now);
    response->error_code = kf__wire_error(err);
    if (err == KF_ERR_ILLEGAL_SASL_STATE)
        return KF__ANSWERED;
    return list_mechanisms(exchange, response) ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_sasl_handshake = {
    .key = KF_API_SASL_HANDSHAKE, .max_version = 1, .handle = handle};
