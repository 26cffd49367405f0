/*
 * sasl_gssapi: Kerberos as a mechanism of one's own (sasl.h), outside of the
 * library: RFC 4752 over GSS-API, with whatever ticket the process has (kinit,
 * or KRB5_CLIENT_KTNAME).
 *
 *     sasl_gssapi BOOTSTRAP [KEY=VALUE]...      prints the cluster's topics
 *
 * Built where libkrb5's GSS-API is found. A sketch that works, no more: one
 * service name ("kafka"), no delegation, no security layer, as Kafka's
 * brokers negotiate it.
 */
#include <gssapi/gssapi.h>
#include <kafiber/kafiber.h>
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

struct exchange {
    gss_ctx_id_t context;
    gss_name_t broker;
    gss_buffer_desc out;
    bool established;
    bool answered; /* the broker's offer of security layers */
};

static kf_err fail(kf_error *error, const char *what, OM_uint32 status)
{
    OM_uint32 minor, more = 0;
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    gss_display_status(&minor, status, GSS_C_GSS_CODE, GSS_C_NO_OID, &more, &text);
    kf_error_set(error, KF_ERR_SASL_AUTHENTICATION_FAILED, "%s: %.*s", what, (int)text.length,
                 (char *)text.value);
    gss_release_buffer(&minor, &text);
    return KF_ERR_SASL_AUTHENTICATION_FAILED;
}

static kf_err start(void *context, const kf_sasl_peer *peer, void **exchange, kf_error *error)
{
    char name[300];
    OM_uint32 minor;
    struct exchange *it = calloc(1, sizeof *it);
    if (!it)
        return KF_ERR_NO_MEMORY;
    it->context = GSS_C_NO_CONTEXT;
    int size = snprintf(name, sizeof name, "%s@%s", (const char *)context, peer->host);
    gss_buffer_desc text = {(size_t)size, name};
    OM_uint32 status = gss_import_name(&minor, &text, GSS_C_NT_HOSTBASED_SERVICE, &it->broker);
    if (GSS_ERROR(status)) {
        free(it);
        return fail(error, "the broker's name", status);
    }
    *exchange = it;
    return KF_OK;
}

/* Asks the ticket service: that is why the mechanism says that it blocks. */
static kf_err establish(struct exchange *it, kf_bytes in, kf_error *error)
{
    OM_uint32 minor;
    gss_buffer_desc given = {in.size, (void *)(uintptr_t)in.data};
    OM_uint32 status =
        gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &it->context, it->broker, GSS_C_NO_OID,
                             GSS_C_MUTUAL_FLAG | GSS_C_INTEG_FLAG, 0, GSS_C_NO_CHANNEL_BINDINGS,
                             in.size ? &given : GSS_C_NO_BUFFER, NULL, &it->out, NULL, NULL);
    it->established = status == GSS_S_COMPLETE;
    return GSS_ERROR(status) ? fail(error, "no ticket for the broker", status) : KF_OK;
}

/* RFC 4752, section 3.1: of the layers that are offered, none is chosen. */
static kf_err choose_no_layer(struct exchange *it, kf_bytes in, kf_error *error)
{
    OM_uint32 minor;
    unsigned char choice[4] = {1, 0, 0, 0};
    gss_buffer_desc given = {in.size, (void *)(uintptr_t)in.data};
    gss_buffer_desc offer = GSS_C_EMPTY_BUFFER, plain = {sizeof choice, choice};
    OM_uint32 status = gss_unwrap(&minor, it->context, &given, &offer, NULL, NULL);
    bool allowed =
        !GSS_ERROR(status) && offer.length == 4 && (((unsigned char *)offer.value)[0] & 1);
    gss_release_buffer(&minor, &offer);
    if (!allowed)
        return fail(error, "the broker insists on a security layer", status);
    status = gss_wrap(&minor, it->context, 0, GSS_C_QOP_DEFAULT, &plain, NULL, &it->out);
    it->answered = true;
    return GSS_ERROR(status) ? fail(error, "the answer", status) : KF_OK;
}

static kf_err step(void *exchange, kf_bytes in, kf_sasl_step *result, kf_error *error)
{
    struct exchange *it = exchange;
    OM_uint32 minor;
    gss_release_buffer(&minor, &it->out);
    if (it->answered) {
        result->done = true;
        return KF_OK;
    }
    kf_err err = it->established ? choose_no_layer(it, in, error) : establish(it, in, error);
    if (!err) /* an empty message has to be sent too, before the broker makes its offer */
        result->out =
            (kf_bytes){it->out.value ? it->out.value : (const uint8_t *)"", it->out.length};
    return err;
}

static void end(void *exchange)
{
    struct exchange *it = exchange;
    OM_uint32 minor;
    gss_release_buffer(&minor, &it->out);
    gss_release_name(&minor, &it->broker);
    if (it->context != GSS_C_NO_CONTEXT)
        gss_delete_sec_context(&minor, &it->context, GSS_C_NO_BUFFER);
    free(it);
}

static const kf_sasl_mechanism gssapi = {
    .size = sizeof gssapi,
    .name = "GSSAPI",
    .context = "kafka", /* sasl.kerberos.service.name */
    .blocks = true,
    .start = start,
    .step = step,
    .end = end,
};

static void print_topics(kf_client *client, kf_error *error)
{
    struct kf_metadata_request request;
    kf_response response = {0};
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.count = -1; /* null: all of them */
    if (kf_call(client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
                kf_now() + 10 * KF_SECOND, &response, error))
        return;
    const struct kf_metadata_response *metadata = response.message;
    for (int32_t i = 0; i < metadata->topics.count; i++)
        printf("%.*s\n", (int)metadata->topics.items[i].name.size,
               metadata->topics.items[i].name.data);
    kf_response_free(&response);
}

int main(int argc, char **argv)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", argc > 1 ? argv[1] : "", &error);
    kf_config_set(config, "security.protocol", "SASL_PLAINTEXT", &error);
    kf_config_sasl_mechanism(config, &gssapi);
    for (int i = 2; i < argc && !error.code; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            continue;
        *value++ = '\0';
        kf_config_set(config, argv[i], value, &error);
    }
    kf_client *client = error.code ? NULL : kf_client_new(config, &error);
    if (client)
        print_topics(client, &error);
    kf_client_close(client);
    kf_config_free(config);
    return kf_error_print(&error, stderr);
}
