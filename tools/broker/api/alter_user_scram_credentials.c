/*
 * AlterUserScramCredentials (51), version 0: who may authenticate by SCRAM
 * (KIP-554). The password itself never comes here: the client salts it. A
 * user of whom anything is wrong stays as he was.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

typedef struct kf_alter_user_scram_credentials_request asked_all;
typedef struct kf_alter_user_scram_credentials_response_alter_user_scram_credentials_result result;

/* One row of either kind. */
struct change {
    kf_string user;
    int8_t mechanism;
    bool deletes;
    int32_t iterations;
    kf_bytes salt;
    kf_bytes salted;
};

static int32_t change_count(const asked_all *asked)
{
    return asked->deletions.count + asked->upsertions.count;
}

static struct change change_at(const asked_all *asked, int32_t index)
{
    if (index < asked->deletions.count)
        return (struct change){.user = asked->deletions.items[index].name,
                               .mechanism = asked->deletions.items[index].mechanism,
                               .deletes = true};
    index -= asked->deletions.count;
    return (struct change){.user = asked->upsertions.items[index].name,
                           .mechanism = asked->upsertions.items[index].mechanism,
                           .iterations = asked->upsertions.items[index].iterations,
                           .salt = asked->upsertions.items[index].salt,
                           .salted = asked->upsertions.items[index].salted_password};
}

static kf_err check(const struct kf__users *users, const struct change *change, const char **why)
{
    *why = "Username must not be empty";
    if (change->user.size == 0)
        return KF_ERR_UNACCEPTABLE_CREDENTIAL;
    *why = "Unknown SCRAM mechanism";
    if (change->mechanism != 1 && change->mechanism != 2)
        return KF_ERR_UNSUPPORTED_SASL_MECHANISM;
    enum kf__digest digest = change->mechanism == 1 ? KF__SHA256 : KF__SHA512;
    const struct kf__user *user = kf__users_find(users, change->user);
    if (change->deletes) {
        *why = "Attempt to delete a user credential that does not exist";
        return user && user->credentials[digest].iterations ? KF_OK : KF_ERR_RESOURCE_NOT_FOUND;
    }
    *why = "Too few iterations";
    if (change->iterations < KF__USER_MIN_ITERATIONS)
        return KF_ERR_UNACCEPTABLE_CREDENTIAL;
    *why = "Too many iterations";
    if (change->iterations > KF__USER_MAX_ITERATIONS)
        return KF_ERR_UNACCEPTABLE_CREDENTIAL;
    *why = "Salted password of the wrong size";
    bool fits = change->salted.size > 0 && change->salted.size <= kf__digest_size(digest);
    return fits ? KF_OK : KF_ERR_UNACCEPTABLE_CREDENTIAL;
}

static kf_err apply(struct kf__users *users, const struct change *change)
{
    enum kf__digest digest = change->mechanism == 1 ? KF__SHA256 : KF__SHA512;
    if (change->deletes)
        return kf__users_remove_scram(users, change->user, digest);
    return kf__users_set_scram(users, change->user, digest, change->iterations, change->salt,
                               change->salted);
}

/* A user who is named twice, whatever the mechanisms, is answered once and not changed. */
static void answer_user(struct kf__exchange *exchange, kf_err forced, const struct change *change,
                        bool twice, result *told)
{
    struct kf__users *users = &exchange->broker->sasl.users;
    const char *why = NULL;
    kf_err err = forced ? forced : check(users, change, &why);
    if (!err && twice) {
        err = KF_ERR_DUPLICATE_RESOURCE;
        why = "A user credential cannot be altered twice in the same request";
    } else if (!err) {
        why = NULL;
        err = apply(users, change);
    }
    told->user = change->user;
    told->error_code = kf__wire_error(err);
    told->error_message = kf__text(err ? why : NULL);
}

static const char *mark_twins(struct kf__exchange *exchange, int32_t count)
{
    struct kf__named *names = kf_arena_alloc(&exchange->arena, ((size_t)count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < count; i++)
        names[i] = (struct kf__named){.text = change_at(exchange->request, i).user};
    return names ? kf__mark_twins(&exchange->arena, names, count) : NULL;
}

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    struct kf_alter_user_scram_credentials_response *response = exchange->response;
    int32_t count = change_count(exchange->request);
    const char *marks = mark_twins(exchange, count);
    kf_err forced = kf__forced_all(exchange);
    if (!forced)
        forced = kf__may_all(exchange);
    if (!marks || !KF__FILL(exchange, "results", response->results, count))
        return KF__REFUSED;
    response->results.count = 0;
    for (int32_t i = 0; i < count; i++) {
        struct change change = change_at(exchange->request, i);
        if (marks[i] != KF__TWIN_AGAIN)
            answer_user(exchange, forced, &change, marks[i] == KF__FIRST_OF_TWINS,
                        &response->results.items[response->results.count++]);
    }
    return KF__ANSWERED;
}

const struct kf__api kf__api_alter_user_scram_credentials = {
    .key = KF_API_ALTER_USER_SCRAM_CREDENTIALS, .handle = handle};
