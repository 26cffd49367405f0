#include "tools/broker/server/listeners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const protocols[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};

static kf_err refuse(const char *text, kf_error *error)
{
    return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                        "cannot listen on \"%s\": [NAME=]PROTOCOL://HOST:PORT is expected, the "
                        "protocol one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
                        text);
}

static bool take_protocol(struct kf__listener *listener, const char *text, size_t size)
{
    for (int i = 0; i < 4; i++)
        if (strlen(protocols[i]) == size && strncasecmp(protocols[i], text, size) == 0) {
            listener->protocol = (enum kf__protocol)i;
            return true;
        }
    return false;
}

/* "HOST:PORT", "[::1]:PORT". */
static bool take_address(struct kf__listener *listener, const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return false;
    size_t size = (size_t)(colon - text);
    const char *host = text;
    if (host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    char *end = NULL;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (size >= sizeof listener->host || colon[1] == 0 || *end != 0 || number > UINT16_MAX)
        return false;
    memcpy(listener->host, host, size);
    listener->host[size] = 0;
    listener->port = (uint16_t)number;
    return true;
}

static kf_err read_listener(struct kf__listener *listener, const char *text, kf_error *error)
{
    const char *address = strstr(text, "://");
    const char *equals = strchr(text, '=');
    if (!address || (equals && equals > address))
        return refuse(text, error);
    const char *protocol = equals ? equals + 1 : text;
    size_t size = equals ? (size_t)(equals - text) : (size_t)(address - text);
    if (size == 0 || size >= sizeof listener->name)
        return refuse(text, error);
    memcpy(listener->name, text, size);
    listener->name[size] = 0;
    if (!take_protocol(listener, protocol, (size_t)(address - protocol)) ||
        !take_address(listener, address + 3))
        return refuse(text, error);
    return KF_OK;
}

static kf_err read_all(struct kf__listeners *listeners, const kf_broker_options *options,
                       kf_error *error)
{
    if (!options->listener_count) {
        struct kf__listener *only = &listeners->items[0];
        only->protocol = options->sasl.required ? KF__SASL_PLAINTEXT : KF__PLAINTEXT;
        snprintf(only->name, sizeof only->name, "%s", protocols[only->protocol]);
        listeners->count = 1;
        return take_address(only, options->listen)
                   ? KF_OK
                   : kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                                  "cannot listen on \"%s\": HOST:PORT is expected",
                                  options->listen);
    }
    if (options->listener_count > KF__MAX_LISTENERS)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "a broker has at most %d listeners",
                            KF__MAX_LISTENERS);
    for (size_t i = 0; i < options->listener_count; i++) {
        struct kf__listener *listener = &listeners->items[listeners->count++];
        kf_err err = read_listener(listener, options->listeners[i], error);
        for (int32_t other = 0; !err && other + 1 < listeners->count; other++)
            if (strcmp(listeners->items[other].name, listener->name) == 0)
                err = kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "two listeners are named %s",
                                   listener->name);
        if (err)
            return err;
    }
    return KF_OK;
}

static bool read_client_auth(const char *text, enum kf__client_auth *client_auth)
{
    static const char *const words[] = {"none", "requested", "required"};
    for (int i = 0; i < 3; i++)
        if (strcasecmp(words[i], text ? text : "none") == 0) {
            *client_auth = (enum kf__client_auth)i;
            return true;
        }
    return false;
}

static kf_err open_tls(struct kf__listeners *listeners, const kf_allocator *alloc,
                       const kf_broker_options *options, kf_error *error)
{
    struct kf__tls_settings settings = {
        .server = true,
        .keystore_location = options->tls_keystore,
        .keystore_password = options->tls_key_password,
        .key_password = options->tls_key_password,
        .truststore_location = options->tls_truststore,
        .truststore_password = options->tls_truststore_password,
    };
    if (!read_client_auth(options->tls_client_auth, &settings.client_auth))
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT,
                            "ssl.client.auth is none, requested or required, not %s",
                            options->tls_client_auth);
    for (int32_t i = 0; i < listeners->count; i++) {
        struct kf__listener *listener = &listeners->items[i];
        if (!kf__protocol_has_tls(listener->protocol))
            continue;
        kf_err err = kf__tls_context_open(alloc, &settings, &listener->tls, error);
        if (err)
            return err;
    }
    return KF_OK;
}

kf_err kf__listeners_open(struct kf__listeners *listeners, const kf_allocator *alloc,
                          const kf_broker_options *options, kf_error *error)
{
    *listeners = (struct kf__listeners){0};
    kf_err err = read_all(listeners, options, error);
    if (!err)
        err = kf__principal_rules_read(&listeners->rules, options->principal_mapping_rules, error);
    if (!err)
        err = open_tls(listeners, alloc, options, error);
    return err;
}

void kf__listeners_close(struct kf__listeners *listeners, const kf_allocator *alloc)
{
    for (int32_t i = 0; i < listeners->count; i++) {
        kf__tls_context_close(listeners->items[i].tls);
        kf_free(alloc, listeners->items[i].bootstrap);
    }
    kf__principal_rules_free(&listeners->rules);
    listeners->count = 0;
}
