/*
 * AlterUserScramCredentials (51), version 0: who may authenticate by SCRAM
 * (KIP-554). The password itself never comes here: the client salts it. A
 * user of whom anything is wrong stays as he was.
 */
#include "tools/broker/admin/authorize.h"
#include "tools/broker/api/apis.h"
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

/* Whatever the mechanism. */
static bool has_twin(const asked_all *asked, int32_t index)
{
    kf_string user = change_at(asked, index).user;
    for (int32_t i = 0; i < change_count(asked); i++)
        if (i != index && kf__text_equal(change_at(asked, i).user, user))
            return true;
    return false;
}

/* The first thing that is wrong about a user. */
static kf_err check_user(const asked_all *asked, const struct kf__users *users, kf_string user,
                         const char **why)
{
    for (int32_t i = 0; i < change_count(asked); i++) {
        struct change change = change_at(asked, i);
        if (!kf__text_equal(change.user, user))
            continue;
        kf_err err = check(users, &change, why);
        if (err)
            return err;
        *why = "A user credential cannot be altered twice in the same request";
        if (has_twin(asked, i))
            return KF_ERR_DUPLICATE_RESOURCE;
    }
    return KF_OK;
}

static kf_err apply_user(const asked_all *asked, struct kf__users *users, kf_string user)
{
    kf_err err = KF_OK;
    for (int32_t i = 0; i < change_count(asked) && !err; i++) {
        struct change change = change_at(asked, i);
        enum kf__digest digest = change.mechanism == 1 ? KF__SHA256 : KF__SHA512;
        if (!kf__text_equal(change.user, user))
            continue;
        if (change.deletes)
            err = kf__users_remove_scram(users, user, digest);
        else
            err = kf__users_set_scram(users, user, digest, change.iterations, change.salt,
                                      change.salted);
    }
    return err;
}

static void answer_user(struct kf__exchange *exchange, kf_err forced, result *told)
{
    const asked_all *asked = exchange->request;
    struct kf__users *users = &exchange->broker->sasl.users;
    const char *why = NULL;
    kf_err err = forced ? forced : check_user(asked, users, told->user, &why);
    if (!err) {
        why = NULL;
        err = apply_user(asked, users, told->user);
    }
    told->error_code = kf__wire_error(err);
    told->error_message = kf__text(err ? why : NULL);
}

enum {
    MOST_AT_ONCE = 10000 /* Kafka's bound on what one request may do to its metadata */
};

static enum kf__outcome handle(struct kf__exchange *exchange)
{
    const asked_all *asked = exchange->request;
    struct kf_alter_user_scram_credentials_response *response = exchange->response;
    kf_err forced = kf__forced_all(exchange);
    if (!forced)
        forced = kf__may_all(exchange);
    if (change_count(asked) > MOST_AT_ONCE) /* each is compared with each */
        return KF__REFUSED;
    if (!KF__FILL(exchange, "results", response->results, change_count(asked)))
        return change_count(asked) ? KF__REFUSED : KF__ANSWERED;
    int32_t count = 0;
    for (int32_t i = 0; i < change_count(asked); i++) {
        kf_string user = change_at(asked, i).user;
        int32_t seen = 0;
        while (seen < count && !kf__text_equal(response->results.items[seen].user, user))
            seen++;
        if (seen == count)
            response->results.items[count++].user = user;
    }
    response->results.count = count;
    for (int32_t i = 0; i < count; i++)
        answer_user(exchange, forced, &response->results.items[i]);
    return KF__ANSWERED;
}

const struct kf__api kf__api_alter_user_scram_credentials = {
    .key = KF_API_ALTER_USER_SCRAM_CREDENTIALS, .handle = handle};
