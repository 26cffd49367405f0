/*
 * config_jaas: what sasl.jaas.config holds, in the form Java's clients use.
 *
 *     org.apache.kafka.common.security.scram.ScramLoginModule required
 *         username="alice" password="secret";
 *
 * Parses only: no mechanism runs here, and nothing of the text gets into an
 * error. The caller wipes the struct after use.
 */
#ifndef KF_RUNTIME_CONFIG_JAAS_H
#define KF_RUNTIME_CONFIG_JAAS_H

#include <kafiber/error.h>
#include <stdbool.h>

enum {
    KF__JAAS_TEXT_BYTES = 1024
}; /* longer than any password that people have */

enum kf__jaas_module {
    KF__JAAS_PLAIN = 1,
    KF__JAAS_SCRAM,
    KF__JAAS_OAUTHBEARER
};

struct kf__jaas {
    enum kf__jaas_module module;
    bool token; /* tokenauth="true": username and password are a delegation token's (KIP-48) */
    char username[KF__JAAS_TEXT_BYTES]; /* empty where not given, as all that follow */
    char password[KF__JAAS_TEXT_BYTES];
    char client_id[KF__JAAS_TEXT_BYTES];
    char client_secret[KF__JAAS_TEXT_BYTES];
    char scope[KF__JAAS_TEXT_BYTES];
    char subject[KF__JAAS_TEXT_BYTES];    /* unsecuredLoginStringClaim_sub */
    char extensions[KF__JAAS_TEXT_BYTES]; /* extension_NAME="VALUE" as NAME=VALUE,… */
};

/* KF_ERR_CONFIG with a sentence, and an empty struct, where the text is not of this form. */
kf_err kf__jaas_parse(const char *text, struct kf__jaas *jaas, kf_error *error);

struct kf__settings;
struct kf__sasl_settings;

/*
 * config_sasl.c: what SASL needs of the settings, and what is missing, in a
 * sentence. `jaas` gets what sasl.jaas.config says; texts borrow from both.
 */
kf_err kf__settings_sasl(const struct kf__settings *settings, struct kf__jaas *jaas,
                         struct kf__sasl_settings *sasl, kf_error *error);

/* Overwrites credentials in a way that no compiler leaves out. */
void kf__jaas_wipe(struct kf__jaas *jaas);

#endif
