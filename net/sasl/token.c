/* token: the cache, and the sources that need no network. See token.h. */
#include "net/sasl/token.h"

#include "net/sasl/base64.h"
#include "net/sasl/oidc.h"
#include "net/sasl/secret.h"
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum {
    UNSECURED_SECONDS = 3600, /* as Java's unsecuredLoginLifetimeSeconds */
    RETRY_MS = 10000,         /* after a refusal, while the old token is good; as Java */
    NAME_BYTES = 256,
};

/* A life beyond this is as good as endless; sums with it stay far from overflow. */
static const int64_t longest_ms = 10LL * 365 * 86400 * 1000;

struct kf__tokens {
    const kf_allocator *alloc;
    const struct kf__world *world;
    struct kf__token_settings settings;
    char *copies[5];             /* of texts that may come from sasl.jaas.config */
    struct kf__tls_context *tls; /* to the token endpoint */
    pthread_mutex_t lock;        /* all below */
    pthread_cond_t fetched;
    bool fetching; /* a thread asks the source, without the lock */
    kf_err err;    /* what became of that the last time, */
    kf_error why;  /* for those who waited */
    kf_sasl_token token;
    bool has;
    int64_t refresh_at_ms; /* wall clock */
};

static int64_t wall_ms(const struct kf__tokens *tokens)
{
    return tokens->world->wall_ms(tokens->world->context);
}

/* ---- sources ---- */

static kf_err from_file(const struct kf__tokens *tokens, kf_sasl_token *token, kf_error *error)
{
    const char *path = tokens->settings.file;
    FILE *file = fopen(path, "re");
    if (!file)
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE, "the token's file %s can't be read",
                            path);
    setvbuf(file, NULL, _IONBF, 0); /* no copy of the token in the stream's buffer */
    size_t size = fread(token->text, 1, sizeof token->text, file);
    fclose(file);
    if (size == sizeof token->text)
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                            "the token in %s is longer than %d bytes", path,
                            KF_SASL_TOKEN_BYTES - 1);
    while (size && strchr(" \t\r\n", token->text[size - 1]))
        size--;
    token->text[size] = '\0';
    if (!size)
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE, "the token's file %s is empty", path);
    return KF_OK; /* its end is not known: it is read again each time */
}

static kf_err make_unsecured(const struct kf__tokens *tokens, kf_sasl_token *token)
{
    static const char header[] = "{\"alg\":\"none\"}";
    char claims[2 * NAME_BYTES];
    int64_t now = wall_ms(tokens) / 1000;
    int size = snprintf(claims, sizeof claims,
                        "{\"sub\":\"%.*s\",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}", NAME_BYTES,
                        tokens->settings.subject, now, now + UNSECURED_SECONDS);
    char *at = token->text;
    at += kf__base64url_write(header, sizeof header - 1, at);
    *at++ = '.';
    at += kf__base64url_write(claims, (size_t)size, at);
    *at++ = '.';
    *at = '\0';
    token->expires_at_ms = (now + UNSECURED_SECONDS) * 1000;
    return KF_OK;
}

/* From where nothing has to be signed or encrypted. */
static kf_err fetch_plainly(const struct kf__tokens *tokens, kf_sasl_token *token, kf_error *error)
{
    const struct kf__token_settings *settings = &tokens->settings;
    switch (settings->provider) {
    case KF__TOKEN_CALLBACK:
        return settings->get(settings->context, token, error);
    case KF__TOKEN_FILE:
        return from_file(tokens, token, error);
    case KF__TOKEN_UNSECURED:
        return make_unsecured(tokens, token);
    default:
        return KF_ERR_NOT_BUILT;
    }
}

static bool needs_crypto(enum kf__token_provider provider)
{
    return provider == KF__TOKEN_OIDC || provider == KF__TOKEN_AWS_MSK_IAM;
}

static kf_err fetch(struct kf__tokens *tokens, kf_sasl_token *token, kf_error *error)
{
    const struct kf__token_settings *settings = &tokens->settings;
    *token = (kf_sasl_token){0};
    if (!kf__has_crypto())
        return fetch_plainly(tokens, token, error);
    switch (settings->provider) {
    case KF__TOKEN_OIDC:
        return kf__oidc_token(tokens->alloc, tokens->world, &settings->oidc, tokens->tls, token,
                              error);
    case KF__TOKEN_AWS_MSK_IAM:
        return kf__aws_token(tokens->alloc, &settings->aws, wall_ms(tokens), token, error);
    default:
        return fetch_plainly(tokens, token, error);
    }
}

/* ---- what a token may look like ---- */

/* RFC 6750's b64token: anything else could break out of its place in the message. */
static bool is_token(const char *text)
{
    static const char others[] = "-._~+/=";
    for (; *text; text++) {
        bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                      (*text >= '0' && *text <= '9');
        if (!letter && !strchr(others, *text))
            return false;
    }
    return true;
}

static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            return false;
    return true;
}

static kf_err check(const kf_sasl_token *token, int64_t now, kf_error *error)
{
    if (!memchr(token->text, '\0', sizeof token->text) || !token->text[0] ||
        !is_token(token->text) || !memchr(token->extensions, '\0', sizeof token->extensions) ||
        !is_plain(token->extensions))
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                            "the token that was got is not of the form of a bearer token");
    if (token->expires_at_ms && token->expires_at_ms <= now)
        return kf_error_set(error, KF_ERR_TOKEN_EXPIRED,
                            "the token that was got had expired %" PRId64 " s before: check its "
                            "source and this machine's clock",
                            (now - token->expires_at_ms) / 1000);
    return KF_OK;
}

/* ---- the cache ---- */

/* Between factor and factor + jitter of its life, but early enough for the buffer. */
static int64_t refresh_point(const struct kf__tokens *tokens, int64_t now)
{
    const struct kf__token_settings *settings = &tokens->settings;
    int64_t life = tokens->token.expires_at_ms - now;
    double part = (double)(tokens->world->random(tokens->world->context) % 1000) / 1000;
    double factor = settings->refresh_factor + settings->refresh_jitter * part;
    life = life < longest_ms ? life : longest_ms;
    int64_t point = (int64_t)((double)life * (factor < 1 ? factor : 1));
    if (life > 2 * settings->refresh_buffer_ms && point > life - settings->refresh_buffer_ms)
        point = life - settings->refresh_buffer_ms;
    return now + point;
}

/* The source may take its time: the lock is not held meanwhile. */
static kf_err ask_source(struct kf__tokens *tokens, kf_sasl_token *token)
{
    kf_error why = KF_ERROR_INIT;
    tokens->fetching = true;
    pthread_mutex_unlock(&tokens->lock);
    kf_err err = fetch(tokens, token, &why);
    if (err)
        kf_error_set(&why, err, "no token could be got: %s", kf_err_text(err));
    else
        err = check(token, wall_ms(tokens), &why);
    pthread_mutex_lock(&tokens->lock);
    tokens->fetching = false;
    tokens->err = err;
    tokens->why = why;
    pthread_cond_broadcast(&tokens->fetched);
    return err;
}

static void keep(struct kf__tokens *tokens, const kf_sasl_token *token)
{
    tokens->token = *token;
    tokens->has = true;
    tokens->refresh_at_ms = refresh_point(tokens, wall_ms(tokens));
}

static bool is_good(const struct kf__tokens *tokens)
{
    return tokens->has && wall_ms(tokens) < tokens->token.expires_at_ms;
}

/* Into `token`, and into the cache where its end is known. */
static kf_err renew(struct kf__tokens *tokens, kf_sasl_token *token)
{
    kf_err err = ask_source(tokens, token);
    if (err && is_good(tokens)) { /* the old one still serves */
        *token = tokens->token;
        tokens->refresh_at_ms = wall_ms(tokens) + RETRY_MS;
        return KF_OK;
    }
    if (!err && !token->extensions[0] && tokens->settings.extensions)
        snprintf(token->extensions, sizeof token->extensions, "%s", tokens->settings.extensions);
    if (!err && token->expires_at_ms > 0)
        keep(tokens, token);
    return err;
}

kf_err kf__tokens_get(struct kf__tokens *tokens, kf_sasl_token *token, kf_error *error)
{
    kf_err err = KF_OK;
    pthread_mutex_lock(&tokens->lock);
    while (tokens->fetching && !is_good(tokens)) {
        pthread_cond_wait(&tokens->fetched, &tokens->lock);
        err = tokens->err; /* who waited for a refusal does not ask for one of its own */
    }
    if (!err && !tokens->fetching && (!is_good(tokens) || wall_ms(tokens) >= tokens->refresh_at_ms))
        err = renew(tokens, token);
    else if (!err)
        *token = tokens->token;
    if (err)
        kf_error_set(error, err, "%s", tokens->why.code ? tokens->why.text : kf_err_text(err));
    pthread_mutex_unlock(&tokens->lock);
    return err;
}

/* ---- the whole ---- */

static kf_err check_settings(const struct kf__token_settings *settings, kf_error *error)
{
    if (needs_crypto(settings->provider) && !kf__has_crypto())
        return kf_error_set(error, KF_ERR_NOT_BUILT,
                            "this build has no OpenSSL, which a token endpoint and AWS need: give "
                            "tokens by sasl.oauthbearer.token.file or kf_config_sasl_token");
    struct kf__https_url url;
    if (settings->provider == KF__TOKEN_OIDC)
        return kf__https_url_read(settings->oidc.url, &url, error);
    for (const char *c = settings->provider == KF__TOKEN_UNSECURED ? settings->subject : ""; *c;
         c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ' || strlen(c) > NAME_BYTES)
            return kf_error_set(error, KF_ERR_CONFIG,
                                "unsecuredLoginStringClaim_sub must be a plain name of at most "
                                "%d bytes",
                                NAME_BYTES);
    return KF_OK;
}

/* The parsed sasl.jaas.config is wiped once everything is open. */
static bool copy_texts(struct kf__tokens *tokens)
{
    struct kf__token_settings *settings = &tokens->settings;
    const char **const texts[] = {&settings->oidc.client_id, &settings->oidc.client_secret,
                                  &settings->oidc.scope, &settings->subject, &settings->extensions};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!*texts[i])
            continue;
        tokens->copies[i] = kf__copy_secret(tokens->alloc, *texts[i]);
        if (!tokens->copies[i])
            return false;
        *texts[i] = tokens->copies[i];
    }
    return true;
}

static kf_err open_tls(struct kf__tokens *tokens, kf_error *error)
{
    struct kf__tls_settings tls = {.truststore_location = tokens->settings.oidc.trust,
                                   .truststore_type = KF__STORE_PEM,
                                   .wipes = true};
    if (tokens->settings.provider != KF__TOKEN_OIDC)
        return KF_OK;
    return kf__tls_context_open(tokens->alloc, &tls, &tokens->tls, error);
}

kf_err kf__tokens_new(const kf_allocator *alloc, const struct kf__world *world,
                      const struct kf__token_settings *settings, struct kf__tokens **result,
                      kf_error *error)
{
    kf_err err = check_settings(settings, error);
    if (err)
        return err;
    struct kf__tokens *tokens = kf_alloc_zero(alloc, sizeof *tokens);
    if (!tokens)
        return KF_ERR_NO_MEMORY;
    tokens->alloc = alloc;
    tokens->world = world;
    tokens->settings = *settings;
    if (pthread_mutex_init(&tokens->lock, NULL)) {
        kf_free(alloc, tokens);
        return KF_ERR_SYSTEM;
    }
    if (pthread_cond_init(&tokens->fetched, NULL)) {
        pthread_mutex_destroy(&tokens->lock);
        kf_free(alloc, tokens);
        return KF_ERR_SYSTEM;
    }
    err = copy_texts(tokens) ? open_tls(tokens, error) : KF_ERR_NO_MEMORY;
    if (err)
        kf__tokens_free(tokens);
    else
        *result = tokens;
    return err;
}

void kf__tokens_free(struct kf__tokens *tokens)
{
    if (!tokens)
        return;
    kf__tls_context_close(tokens->tls);
    for (size_t i = 0; i < sizeof tokens->copies / sizeof *tokens->copies; i++)
        kf__free_secret_text(tokens->alloc, tokens->copies[i]);
    pthread_cond_destroy(&tokens->fetched);
    pthread_mutex_destroy(&tokens->lock);
    kf__free_secret(tokens->alloc, tokens, sizeof *tokens);
}
