/*
 * config_sasl: the settings of SASL put together: which mechanism, whose
 * credentials, tokens from where; and what is missing, told before anything
 * connects. What a mechanism does with them is net's matter.
 */
#include "runtime/config/config_jaas.h"
#include "runtime/config/config_rows.h"

#include <string.h>

static const char *null_if_empty(const char *text) { return text && *text ? text : NULL; }

static const char *first_of(const char *first, const char *second)
{
    return null_if_empty(first) ? first : null_if_empty(second);
}

static const char *choose_mechanism(const struct kf__settings *settings,
                                    const struct kf__jaas *jaas)
{
    if (null_if_empty(settings->sasl_mechanism))
        return settings->sasl_mechanism;
    if (settings->sasl.token || jaas->module == KF__JAAS_OAUTHBEARER)
        return "OAUTHBEARER";
    return jaas->module == KF__JAAS_PLAIN ? "PLAIN" : NULL;
}

static kf_err check_module(const char *mechanism, enum kf__jaas_module module, kf_error *error)
{
    bool scram = strncmp(mechanism, "SCRAM-", 6) == 0;
    if (module == 0 || (module == KF__JAAS_PLAIN && strcmp(mechanism, "PLAIN") == 0) ||
        (module == KF__JAAS_SCRAM && scram) ||
        (module == KF__JAAS_OAUTHBEARER && strcmp(mechanism, "OAUTHBEARER") == 0))
        return KF_OK;
    return kf_error_set(error, KF_ERR_CONFIG,
                        "sasl.jaas.config names the login module of another mechanism than "
                        "sasl.mechanism=%s",
                        mechanism);
}

static kf_err fill_user(const struct kf__settings *settings, const struct kf__jaas *jaas,
                        struct kf__sasl_settings *sasl, kf_error *error)
{
    sasl->user = first_of(jaas->username, settings->sasl_username);
    sasl->password = first_of(jaas->password, settings->sasl_password);
    sasl->delegation_token = jaas->token;
    if (sasl->user && sasl->password)
        return KF_OK;
    return kf_error_set(error, KF_ERR_CONFIG,
                        "sasl.mechanism=%s needs a user and a password: set sasl.jaas.config, or "
                        "sasl.username and sasl.password",
                        sasl->mechanism);
}

static enum kf__token_provider choose_provider(const struct kf__settings *settings,
                                               const struct kf__jaas *jaas)
{
    if (settings->sasl_token_provider != KF__TOKEN_NONE)
        return settings->sasl_token_provider;
    if (settings->sasl.token)
        return KF__TOKEN_CALLBACK;
    if (*settings->sasl_token_file)
        return KF__TOKEN_FILE;
    if (*settings->sasl_token_endpoint_url)
        return KF__TOKEN_OIDC;
    return jaas->subject[0] ? KF__TOKEN_UNSECURED : KF__TOKEN_NONE;
}

/* The first thing that the provider needs and does not have; NULL: nothing. */
static const char *missing(const struct kf__token_settings *tokens)
{
    switch (tokens->provider) {
    case KF__TOKEN_NONE:
        return "a source of tokens: set sasl.oauthbearer.token.file, "
               "sasl.oauthbearer.token.endpoint.url or sasl.oauthbearer.token.provider, or call "
               "kf_config_sasl_token";
    case KF__TOKEN_CALLBACK:
        return tokens->get ? NULL : "kf_config_sasl_token to be called";
    case KF__TOKEN_FILE:
        return tokens->file ? NULL : "sasl.oauthbearer.token.file";
    case KF__TOKEN_OIDC:
        return !tokens->oidc.url             ? "sasl.oauthbearer.token.endpoint.url"
               : !tokens->oidc.client_id     ? "sasl.oauthbearer.client.credentials.client.id"
               : !tokens->oidc.client_secret ? "sasl.oauthbearer.client.credentials.client.secret"
                                             : NULL;
    case KF__TOKEN_UNSECURED:
        return tokens->subject ? NULL : "unsecuredLoginStringClaim_sub in sasl.jaas.config";
    case KF__TOKEN_AWS_MSK_IAM:
        break;
    }
    return NULL;
}

static void fill_oidc(const struct kf__settings *settings, const struct kf__jaas *jaas,
                      struct kf__oidc_settings *oidc)
{
    *oidc = (struct kf__oidc_settings){
        .url = null_if_empty(settings->sasl_token_endpoint_url),
        .client_id = first_of(settings->sasl_client_id, jaas->client_id),
        .client_secret = first_of(settings->sasl_client_secret, jaas->client_secret),
        .scope = first_of(settings->sasl_scope, jaas->scope),
        .trust = null_if_empty(settings->sasl_token_endpoint_truststore_location),
        .urlencode = settings->sasl_header_urlencode,
        .timeout_ms = settings->sasl_login_connect_timeout_ms,
        .read_timeout_ms = settings->sasl_login_read_timeout_ms,
        .retry_ms = settings->sasl_login_retry_backoff_ms,
        .retry_max_ms = settings->sasl_login_retry_backoff_max_ms,
    };
}

static kf_err fill_tokens(const struct kf__settings *settings, const struct kf__jaas *jaas,
                          struct kf__token_settings *tokens, kf_error *error)
{
    *tokens = (struct kf__token_settings){
        .provider = choose_provider(settings, jaas),
        .get = settings->sasl.token,
        .context = settings->sasl.token_context,
        .file = null_if_empty(settings->sasl_token_file),
        .subject = null_if_empty(jaas->subject),
        .extensions = first_of(settings->sasl_extensions, jaas->extensions),
        .aws = {.get = settings->sasl.aws,
                .context = settings->sasl.aws_context,
                .region = null_if_empty(settings->sasl_aws_region),
                .profile = null_if_empty(settings->sasl_aws_profile),
                .file = null_if_empty(settings->sasl_aws_credentials_file)},
        .refresh_buffer_ms = settings->sasl_login_refresh_buffer_seconds * 1000,
    };
    fill_oidc(settings, jaas, &tokens->oidc);
    kf__parse_fraction(settings->sasl_login_refresh_window_factor, &tokens->refresh_factor);
    kf__parse_fraction(settings->sasl_login_refresh_window_jitter, &tokens->refresh_jitter);
    const char *what = missing(tokens);
    return what ? kf_error_set(error, KF_ERR_CONFIG, "sasl.mechanism=OAUTHBEARER needs %s", what)
                : KF_OK;
}

kf_err kf__settings_sasl(const struct kf__settings *settings, struct kf__jaas *jaas,
                         struct kf__sasl_settings *sasl, kf_error *error)
{
    *sasl = (struct kf__sasl_settings){.world = &kf__real_world, .own = settings->sasl.mechanism};
    if (sasl->own)
        return KF_OK;
    const char *text = null_if_empty(settings->sasl_jaas_config);
    kf_err err = text ? kf__jaas_parse(text, jaas, error) : KF_OK;
    if (err)
        return err;
    sasl->mechanism = choose_mechanism(settings, jaas);
    if (!sasl->mechanism)
        return kf_error_set(error, KF_ERR_CONFIG,
                            "security.protocol asks for SASL, but sasl.mechanism is not set: "
                            "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER is expected");
    err = check_module(sasl->mechanism, jaas->module, error);
    if (err)
        return err;
    if (strcmp(sasl->mechanism, "OAUTHBEARER") == 0)
        return fill_tokens(settings, jaas, &sasl->tokens, error);
    return fill_user(settings, jaas, sasl, error);
}
