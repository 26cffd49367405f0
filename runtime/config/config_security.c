/*
 * config_security: which protection the settings ask for. What the files hold
 * is net's matter.
 */
#include "runtime/config/config_jaas.h"
#include "runtime/config/config_rows.h"

#include <string.h>

static bool any_is_set(const kf_config *config, const char *prefix)
{
    for (size_t i = 0; i < kf__config_row_count; i++)
        if (kf__config_rows[i].kind <= KF__ROW_SECRET && kf__config_value(config, i) &&
            strncmp(kf__config_rows[i].key, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

/* Credentials never travel in plaintext because somebody forgot a line. */
kf_err kf__config_choose_protocol(const kf_config *config, struct kf__settings *settings,
                                  kf_error *error)
{
    if (kf__config_source(config, "security.protocol") == KF__FROM_DEFAULT) {
        if (any_is_set(config, "sasl.") || settings->sasl.mechanism || settings->sasl.token)
            settings->security_protocol = KF__SASL_SSL;
        else if (any_is_set(config, "ssl."))
            settings->security_protocol = KF__SSL;
    }
    return kf__protocol_has_tls(settings->security_protocol) ? kf__tls_check_built(error) : KF_OK;
}

static void fill_tls(const struct kf__settings *settings, struct kf__tls_settings *tls)
{
    *tls = (struct kf__tls_settings){
        .keystore_type = settings->ssl_keystore_type,
        .keystore_location = settings->ssl_keystore_location,
        .keystore_key = settings->ssl_keystore_key,
        .keystore_chain = settings->ssl_keystore_certificate_chain,
        .keystore_password = settings->ssl_keystore_password,
        .key_password = settings->ssl_key_password,
        .truststore_type = settings->ssl_truststore_type,
        .truststore_location = settings->ssl_truststore_location,
        .truststore_certificates = settings->ssl_truststore_certificates,
        .truststore_password = settings->ssl_truststore_password,
        .protocols = settings->ssl_enabled_protocols,
        .ciphers = settings->ssl_cipher_suites,
        .any_name = !*settings->ssl_endpoint_identification_algorithm,
    };
}

kf_err kf__settings_security(const struct kf__settings *settings, const kf_allocator *alloc,
                             struct kf__security **security, kf_error *error)
{
    struct kf__security_settings all = {.protocol = settings->security_protocol};
    struct kf__jaas jaas = {0};
    fill_tls(settings, &all.tls);
    kf_err err = KF_OK;
    if (kf__protocol_has_sasl(settings->security_protocol))
        err = kf__settings_sasl(settings, &jaas, &all.sasl, error);
    if (!err)
        err = kf__security_open(alloc, &all, security, error);
    kf__jaas_wipe(&jaas);
    return err;
}
