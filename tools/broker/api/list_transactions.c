/*
 * ListTransactions (66), versions 0–2: those that the asked node coordinates.
 *
 * 1  only those that are open longer than so many ms (KIP-994).
 * 2  only those whose id a pattern matches whole (KIP-1152), in RE2's syntax as
 *    far as group/topic_regex.h has it.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/group/topic_regex.h"
#include "tools/broker/log/internal_topics.h"
#include "tools/broker/state.h"
#include "tools/broker/txn/txn_markers.h"

enum {
    MAX_STEPS = 50000000, /* of all ids together: those that it doesn't come to don't match */
};

struct filter {
    const struct kf_list_transactions_request *request;
    struct kf__regex *pattern; /* NULL: all ids */
    int64_t steps;
    int64_t now_ms;
};

static kf_err compile(struct kf__exchange *exchange, struct filter *filter)
{
    kf_string wanted = filter->request->transactional_id_pattern;
    const char *why;
    if (wanted.size == 0)
        return KF_OK;
    return kf__regex_compile(exchange->broker->alloc, wanted, &filter->pattern, &why);
}

static bool has_state(const struct filter *filter, const struct kf__txn *txn)
{
    kf_string name = kf__text(kf__txn_state_name(txn->state));
    for (int32_t i = 0; i < filter->request->state_filters.count; i++)
        if (kf__text_equal(filter->request->state_filters.items[i], name))
            return true;
    return filter->request->state_filters.count == 0;
}

static bool has_producer(const struct filter *filter, const struct kf__txn *txn)
{
    for (int32_t i = 0; i < filter->request->producer_id_filters.count; i++)
        if (filter->request->producer_id_filters.items[i] == txn->producer_id)
            return true;
    return filter->request->producer_id_filters.count == 0;
}

static bool is_wanted(const struct kf__exchange *exchange, struct filter *filter,
                      const struct kf__txn *txn)
{
    int64_t duration = filter->request->duration_filter;
    return kf__coordinator_of(exchange->broker, KF__TRANSACTIONS, txn->id) == exchange->node &&
           !kf__may(exchange, KF__ACL_DESCRIBE, KF__ACL_TRANSACTIONAL_ID, txn->id) &&
           has_state(filter, txn) && has_producer(filter, txn) &&
           (duration < 0 || filter->now_ms - txn->started_ms > duration) &&
           (!filter->pattern || kf__regex_matches(filter->pattern, txn->id, &filter->steps));
}

static bool fill(struct kf__exchange *exchange, struct filter *filter)
{
    struct kf_list_transactions_response *response = exchange->response;
    const struct kf__txns *txns = &exchange->broker->txns;
    if (!KF__FILL(exchange, "transaction_states", response->transaction_states,
                  (int32_t)txns->count))
        return false;
    int32_t told = 0;
    for (size_t i = 0; i < txns->count; i++) {
        const struct kf__txn *txn = txns->items[i];
        if (!is_wanted(exchange, filter, txn))
            continue;
        struct kf_list_transactions_response_transaction_state *row =
            &response->transaction_states.items[told++];
        row->transactional_id = kf__answer_text(exchange, txn->id);
        row->producer_id = txn->producer_id;
        row->transaction_state = kf__text(kf__txn_state_name(txn->state));
    }
    response->transaction_states.count = told;
    return true;
}

/* States that Kafka knows and that we never enter are known too. */
static bool is_state(kf_string name)
{
    enum kf__txn_state state;
    return kf__txn_state_by_name(name, &state) || kf__text_equal(name, kf__text("Dead")) ||
           kf__text_equal(name, kf__text("PrepareEpochFence"));
}

static bool fill_unknown_states(struct kf__exchange *exchange)
{
    const struct kf_list_transactions_request *request = exchange->request;
    struct kf_list_transactions_response *response = exchange->response;
    if (!KF__FILL(exchange, "unknown_state_filters", response->unknown_state_filters,
                  request->state_filters.count))
        return false;
    int32_t unknown = 0;
    for (int32_t i = 0; i < request->state_filters.count; i++)
        if (!is_state(request->state_filters.items[i]))
            response->unknown_state_filters.items[unknown++] = request->state_filters.items[i];
    response->unknown_state_filters.count = unknown;
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    struct kf_list_transactions_response *response = exchange->response;
    struct filter filter = {.request = exchange->request,
                            .steps = MAX_STEPS,
                            .now_ms = kf__txn_now(exchange->broker, exchange->now).wall_ms};
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = compile(exchange, &filter);
    response->error_code = kf__wire_error(err);
    bool filled = err || (fill_unknown_states(exchange) && fill(exchange, &filter));
    kf__regex_free(filter.pattern);
    return filled ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_list_transactions = {
    .key = KF_API_LIST_TRANSACTIONS, .max_version = 2, .handle = handle};
