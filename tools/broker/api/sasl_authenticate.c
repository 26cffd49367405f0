/*
 * SaslAuthenticate (36), versions 0–2: one SASL message and its answer
 * (KIP-152). 1 says how long the session lives (KIP-368). After a refusal the
 * connection closes.
 */
#include "tools/broker/api/apis.h"
#include "tools/broker/state.h"

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_sasl_authenticate_request *request = exchange->request;
    struct kf_sasl_authenticate_response *response = exchange->response;
    struct kf__session *session = exchange->session;
    struct kf__sasl_answer answer = {.err = kf__forced_all(exchange)};
    if (answer.err)
        session->state = KF__SESSION_OUT;
    else
        kf__session_step(session, &exchange->broker->sasl, request->auth_bytes, exchange->now,
                         kf__broker_wall_ms(exchange->broker), &answer);
    response->error_code = kf__wire_error(answer.err);
    response->auth_bytes = kf__answer_bytes(exchange, answer.bytes);
    if (answer.err && answer.reason[0])
        response->error_message = kf__answer_text(exchange, kf__text(answer.reason));
    if (!answer.err && session->state == KF__SESSION_KNOWN)
        response->session_lifetime_ms = session->lifetime_ms;
    return KF__ANSWERED;
}

const struct kf__api kf__api_sasl_authenticate = {
    .key = KF_API_SASL_AUTHENTICATE, .max_version = 2, .handle = handle};
