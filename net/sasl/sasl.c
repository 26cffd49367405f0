/* sasl: the built-in mechanisms and the choice among them. See sasl.h. */
#include "net/sasl/sasl.h"

#include "net/sasl/jwt.h"
#include "net/sasl/sasl_scram.h"
#include "net/sasl/secret.h"
#include <string.h>

struct kf__sasl {
    kf_allocator memory;
    const kf_allocator *alloc; /* that */
    size_t references;
    struct kf__sasl_settings settings;
    char *user, *password; /* owned */
    struct kf__tokens *tokens;
    kf_sasl_mechanism mechanism;
};

/* ---- PLAIN: NUL user NUL password ---- */

struct plain {
    const kf_allocator *alloc;
    bool sent;
    size_t size;
    char message[];
};

static kf_err plain_start(void *context, const kf_sasl_peer *peer, void **exchange, kf_error *error)
{
    const struct kf__sasl *sasl = context;
    (void)peer;
    (void)error;
    size_t user = strlen(sasl->user);
    size_t password = strlen(sasl->password);
    struct plain *plain = kf_alloc_zero(sasl->alloc, sizeof *plain + user + password + 2);
    if (!plain)
        return KF_ERR_NO_MEMORY;
    plain->alloc = sasl->alloc;
    plain->size = user + password + 2;
    memcpy(plain->message + 1, sasl->user, user);
    memcpy(plain->message + user + 2, sasl->password, password);
    *exchange = plain;
    return KF_OK;
}

static kf_err plain_step(void *exchange, kf_bytes in, kf_sasl_step *step, kf_error *error)
{
    struct plain *plain = exchange;
    (void)in; /* a server has nothing to say here but its verdict */
    (void)error;
    if (!plain->sent)
        step->out = (kf_bytes){(const uint8_t *)plain->message, plain->size};
    step->done = plain->sent;
    plain->sent = true;
    return KF_OK;
}

static void plain_end(void *exchange)
{
    struct plain *plain = exchange;
    kf__free_secret(plain->alloc, plain, sizeof *plain + plain->size);
}

/* ---- SCRAM ---- */

static enum kf__digest digest_of(const char *mechanism)
{
    return strcmp(mechanism, "SCRAM-SHA-256") == 0 ? KF__SHA256 : KF__SHA512;
}

static kf_err scram_start(void *context, const kf_sasl_peer *peer, void **exchange, kf_error *error)
{
    const struct kf__sasl *sasl = context;
    (void)peer;
    (void)error;
    struct kf__scram_login login = {
        .digest = digest_of(sasl->mechanism.name),
        .user = sasl->user,
        .password = sasl->password,
        .token = sasl->settings.delegation_token,
    };
    struct kf__scram *scram = NULL;
    kf_err err = kf__scram_new(sasl->alloc, &login, &scram);
    *exchange = scram;
    return err;
}

static kf_err scram_step(void *exchange, kf_bytes in, kf_sasl_step *step, kf_error *error)
{
    return kf__scram_step(exchange, in, &step->out, &step->done, error);
}

static void scram_end(void *exchange) { kf__scram_free(exchange); }

/* ---- OAUTHBEARER ---- */

struct bearer {
    const struct kf__sasl *sasl;
    int steps;
    char *message;
    size_t size;
    kf_sasl_token token;
};

static kf_err bearer_start(void *context, const kf_sasl_peer *peer, void **exchange,
                           kf_error *error)
{
    const struct kf__sasl *sasl = context;
    (void)peer;
    (void)error;
    struct bearer *bearer = kf_alloc_zero(sasl->alloc, sizeof *bearer);
    if (!bearer)
        return KF_ERR_NO_MEMORY;
    bearer->sasl = sasl;
    *exchange = bearer;
    return KF_OK;
}

/* "n,,^Aauth=Bearer TOKEN^Aname=value^A^A" */
static kf_err present_token(struct bearer *bearer, kf_sasl_step *step, kf_error *error)
{
    kf_err err = kf__tokens_get(bearer->sasl->tokens, &bearer->token, error);
    if (err)
        return err;
    size_t room = strlen(bearer->token.text) + strlen(bearer->token.extensions) + 32;
    bearer->message = kf_alloc(bearer->sasl->alloc, room);
    if (!bearer->message)
        return KF_ERR_NO_MEMORY;
    bearer->size =
        (size_t)snprintf(bearer->message, room, "n,,\1auth=Bearer %s\1%s%s\1", bearer->token.text,
                         bearer->token.extensions, bearer->token.extensions[0] ? "\1" : "");
    for (char *c = bearer->message + bearer->size; c-- > bearer->message + 3;)
        if (*c == ',')
            *c = '\1';
    step->out = (kf_bytes){(const uint8_t *)bearer->message, bearer->size};
    return KF_OK;
}

/* Why, as far as it can be told: a token that has ended is what happens most. */
static void explain(const struct bearer *bearer, kf_bytes in, kf_error *error)
{
    const struct kf__world *world = bearer->sasl->settings.world;
    int64_t now = world->wall_ms(world->context);
    kf_string token = {bearer->token.text, strlen(bearer->token.text)};
    int64_t ends = bearer->token.expires_at_ms;
    char status[64];
    if (!ends)
        ends = kf__jwt_expiry_ms(bearer->sasl->alloc, token);
    if (ends && ends <= now)
        kf_error_set(error, KF_ERR_TOKEN_EXPIRED,
                     "the token has expired: check its source and this machine's clock");
    else if (kf__jwt_status(bearer->sasl->alloc, (kf_string){(const char *)in.data, in.size},
                            status, sizeof status))
        kf_error_set(error, KF_ERR_SASL_AUTHENTICATION_FAILED,
                     "the broker refuses the token (%s): compare its issuer, audience, scope and "
                     "signature with what the broker expects",
                     status);
}

static kf_err bearer_step(void *exchange, kf_bytes in, kf_sasl_step *step, kf_error *error)
{
    struct bearer *bearer = exchange;
    if (bearer->steps++ == 0)
        return present_token(bearer, step, error);
    if (bearer->steps == 2 && in.size == 0) {
        step->done = true;
        return KF_OK;
    }
    if (bearer->steps > 2) {
        *error = (kf_error)KF_ERROR_INIT; /* of the refusal */
        return kf_error_set(error, KF_ERR_SASL_MALFORMED,
                            "the broker goes on after it has refused the token");
    }
    explain(bearer, in, error);
    step->out = (kf_bytes){(const uint8_t *)"\1", 1}; /* RFC 7628, section 3.2.3 */
    return KF_OK;
}

static void bearer_end(void *exchange)
{
    struct bearer *bearer = exchange;
    kf__free_secret(bearer->sasl->alloc, bearer->message, bearer->size);
    kf__free_secret(bearer->sasl->alloc, bearer, sizeof *bearer);
}

/* ---- the choice ---- */

static const kf_sasl_mechanism built_in[] = {
    {.name = "PLAIN", .start = plain_start, .step = plain_step, .end = plain_end},
    {.name = "SCRAM-SHA-256",
     .blocks = true,
     .start = scram_start,
     .step = scram_step,
     .end = scram_end},
    {.name = "SCRAM-SHA-512",
     .blocks = true,
     .start = scram_start,
     .step = scram_step,
     .end = scram_end},
    {.name = "OAUTHBEARER",
     .blocks = true,
     .start = bearer_start,
     .step = bearer_step,
     .end = bearer_end},
};

static kf_err choose(struct kf__sasl *sasl, kf_error *error)
{
    const char *wanted = sasl->settings.mechanism;
    if (sasl->settings.own) {
        sasl->mechanism = *sasl->settings.own;
        return KF_OK;
    }
    for (size_t i = 0; i < sizeof built_in / sizeof *built_in; i++) {
        if (strcmp(built_in[i].name, wanted) == 0) {
            sasl->mechanism = built_in[i];
            sasl->mechanism.context = sasl;
            return KF_OK;
        }
    }
    return kf_error_set(error, KF_ERR_CONFIG,
                        "sasl.mechanism=%s: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER is "
                        "expected; others can be given by kf_config_sasl_mechanism",
                        wanted);
}

static kf_err prepare(struct kf__sasl *sasl, kf_error *error)
{
    const struct kf__sasl_settings *settings = &sasl->settings;
    const char *name = sasl->mechanism.name;
    if (settings->own)
        return KF_OK;
    if (strcmp(name, "OAUTHBEARER") == 0)
        return kf__tokens_new(sasl->alloc, settings->world, &settings->tokens, &sasl->tokens,
                              error);
    if (strncmp(name, "SCRAM", 5) == 0 && !kf__has_crypto())
        return kf_error_set(error, KF_ERR_NOT_BUILT,
                            "sasl.mechanism=%s needs OpenSSL, which this build leaves out: build "
                            "with KAFIBER_WITH_OPENSSL=ON",
                            name);
    sasl->user = kf__copy_secret(sasl->alloc, settings->user);
    sasl->password = kf__copy_secret(sasl->alloc, settings->password);
    return sasl->user && sasl->password
               ? KF_OK
               : kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for the credentials");
}

kf_err kf__sasl_open(const kf_allocator *alloc, const struct kf__sasl_settings *settings,
                     struct kf__sasl **result, kf_error *error)
{
    *result = NULL;
    struct kf__sasl *sasl = kf_alloc_zero(alloc, sizeof *sasl);
    if (!sasl)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for sasl.mechanism");
    sasl->memory = *alloc;
    sasl->alloc = &sasl->memory;
    sasl->references = 1;
    sasl->settings = *settings;
    kf_err err = choose(sasl, error);
    if (!err)
        err = prepare(sasl, error);
    if (err)
        kf__sasl_close(sasl);
    else
        *result = sasl;
    return err ? kf_error_set(error, err, "%s", kf_err_text(err)) : KF_OK;
}

struct kf__sasl *kf__sasl_retain(struct kf__sasl *sasl)
{
    sasl->references++;
    return sasl;
}

void kf__sasl_close(struct kf__sasl *sasl)
{
    if (!sasl || --sasl->references)
        return;
    kf__tokens_free(sasl->tokens);
    kf__free_secret_text(sasl->alloc, sasl->user);
    kf__free_secret_text(sasl->alloc, sasl->password);
    kf_allocator alloc = sasl->memory;
    kf_free(&alloc, sasl);
}

const kf_sasl_mechanism *kf__sasl_mechanism(const struct kf__sasl *sasl)
{
    return &sasl->mechanism;
}
