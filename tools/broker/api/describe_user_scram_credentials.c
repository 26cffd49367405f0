/*
 * DescribeUserScramCredentials (50), version 0: whose SCRAM credentials there
 * are, with their iterations and never their keys (KIP-554).
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

typedef struct kf_describe_user_scram_credentials_response_describe_user_scram_credentials_result
    result;

enum {
    WHY_BYTES = 200
};

static bool fill_user(struct kf__exchange *exchange, result *told, const struct kf__user *user)
{
    struct kf_describe_user_scram_credentials_response_credential_info *infos =
        kf_arena_alloc(&exchange->arena, KF__USER_DIGESTS * sizeof *infos);
    if (!infos)
        return false;
    told->credential_infos.items = infos;
    for (int digest = 0; user && digest < KF__USER_DIGESTS; digest++) {
        if (!user->credentials[digest].iterations)
            continue;
        infos[told->credential_infos.count].mechanism = (int8_t)(digest + 1);
        infos[told->credential_infos.count++].iterations = user->credentials[digest].iterations;
    }
    return true;
}

static bool has_scram(const struct kf__user *user)
{
    return user->credentials[KF__SHA256].iterations || user->credentials[KF__SHA512].iterations;
}

static void fail(struct kf__exchange *exchange, result *told, kf_err err, const char *format)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof why, format, (int)(told->user.size < 100 ? told->user.size : 100),
             told->user.data);
    told->error_code = kf__wire_error(err);
    told->error_message = kf__answer_text(exchange, kf__text(why));
}

static bool answer_all(struct kf__exchange *exchange,
                       struct kf_describe_user_scram_credentials_response *response)
{
    const struct kf__users *users = &exchange->broker->sasl.users;
    int32_t count = 0, at = 0;
    for (int32_t i = 0; i < users->count; i++)
        count += has_scram(users->items[i]);
    if (!KF__FILL(exchange, "results", response->results, count))
        return count == 0;
    for (int32_t i = 0; i < users->count; i++) {
        if (!has_scram(users->items[i]))
            continue;
        response->results.items[at].user = kf__answer_text(exchange, users->items[i]->name);
        if (!fill_user(exchange, &response->results.items[at++], users->items[i]))
            return false;
    }
    return true;
}

static bool answer_named(struct kf__exchange *exchange,
                         struct kf_describe_user_scram_credentials_response *response)
{
    const struct kf_describe_user_scram_credentials_request *request = exchange->request;
    const struct kf__users *users = &exchange->broker->sasl.users;
    struct kf__named *names =
        kf_arena_alloc(&exchange->arena, ((size_t)request->users.count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < request->users.count; i++)
        names[i] = (struct kf__named){.text = request->users.items[i].name};
    const char *marks =
        names ? kf__mark_twins(&exchange->arena, names, request->users.count) : NULL;
    if (!marks || !KF__FILL(exchange, "results", response->results, request->users.count))
        return false;
    response->results.count = 0;
    for (int32_t i = 0; i < request->users.count; i++) {
        if (marks[i] == KF__TWIN_AGAIN)
            continue;
        result *told = &response->results.items[response->results.count++];
        told->user = request->users.items[i].name;
        const struct kf__user *user = kf__users_find(users, told->user);
        if (marks[i] == KF__FIRST_OF_TWINS)
            fail(exchange, told, KF_ERR_DUPLICATE_RESOURCE,
                 "Cannot describe SCRAM credentials for the same user twice in a single request: "
                 "%.*s");
        else if (!user || !has_scram(user))
            fail(exchange, told, KF_ERR_RESOURCE_NOT_FOUND,
                 "Attempt to describe a user credential that does not exist: %.*s");
        else if (!fill_user(exchange, told, user))
            return false;
    }
    return true;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const struct kf_describe_user_scram_credentials_request *request = exchange->request;
    struct kf_describe_user_scram_credentials_response *response = exchange->response;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_all(exchange);
    response->error_code = kf__wire_error(err);
    if (err)
        return KF__ANSWERED;
    bool named = request->users.items && request->users.count > 0;
    bool filled = named ? answer_named(exchange, response) : answer_all(exchange, response);
    return filled ? KF__ANSWERED : KF__REFUSED;
}

const struct kf__api kf__api_describe_user_scram_credentials = {
    .key = KF_API_DESCRIBE_USER_SCRAM_CREDENTIALS, .handle = handle};
