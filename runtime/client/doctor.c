/*
 * doctor: the order of steps, and what the answers of brokers say. See
 * kafiber/doctor.h; doctor_visit.c sets up each connection.
 */
#include "runtime/client/doctor_visit.h"
#include "runtime/config/config.h"

#include <inttypes.h>
#include <kafiber/messages.h>
#include <string.h>

enum {
    MAX_BROKERS = 256, /* that are visited */
    DEFAULT_TIMEOUT_MS = 5000,
    SLAB_KEEP = 1 << 20,
};

struct broker {
    int32_t id;
    char host[KF__VISIT_NAME_BYTES];
    uint16_t port;
    bool reachable;
};

struct doctor {
    const kf_allocator *alloc;
    struct kf__settings settings;
    struct kf__security *security;
    struct kf__conn_settings conns;
    const char *group;
    kf_time patience;
    kf_finding_fn tell;
    void *context;
    kf_err bad;

    struct broker *brokers; /* of the answer to Metadata */
    int32_t broker_count;
    struct kf__visit *visit; /* under way: for the calls below */
};

static void note_bad(struct doctor *doctor, kf_err err)
{
    if (err && !doctor->bad)
        doctor->bad = err;
}

static void tell(struct doctor *doctor, kf_finding_kind kind, const char *step, const char *found,
                 const char *advice, kf_err err)
{
    const kf_finding finding = {kind, step, "", found, advice, err};
    if (kind == KF_FINDING_BAD)
        note_bad(doctor, err);
    doctor->tell(doctor->context, &finding);
}

/* ---- Metadata ---- */

static kf_err build_metadata(struct kf__call *call, int16_t version, kf_arena *arena,
                             const void **message)
{
    (void)call;
    struct kf_metadata_request *request = kf_arena_alloc(arena, sizeof *request);
    if (!request)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_metadata_request, request);
    if (version >= 4)
        request->allow_auto_topic_creation = false;
    *message = request;
    return KF_OK;
}

static void keep_brokers(struct doctor *doctor, const struct kf_metadata_response *answer)
{
    for (int32_t i = 0; i < answer->brokers.count && doctor->broker_count < MAX_BROKERS; i++) {
        const struct kf_metadata_response_broker *from = &answer->brokers.items[i];
        struct broker *to = &doctor->brokers[doctor->broker_count];
        if (from->host.size >= sizeof to->host || from->port < 1 || from->port > UINT16_MAX)
            continue;
        to->id = from->node_id;
        memcpy(to->host, from->host.data, from->host.size);
        to->host[from->host.size] = 0;
        to->port = (uint16_t)from->port;
        doctor->broker_count++;
    }
}

static void take_metadata(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct doctor *doctor = call->owner;
    if (err) {
        kf__visit_tell(doctor->visit, KF_FINDING_BAD, "metadata", NULL, err, "%s",
                       kf_err_text(err));
        return;
    }
    const struct kf_metadata_response *message = answer->message;
    keep_brokers(doctor, message);
    bool none = doctor->broker_count == 0;
    kf__visit_tell(doctor->visit, none ? KF_FINDING_BAD : KF_FINDING_GOOD, "metadata",
                   none ? "no broker has registered: look at the brokers' own logs" : NULL,
                   none ? KF_ERR_NO_BROKER : KF_OK, "cluster %.*s: %d brokers, controller %d",
                   (int)message->cluster_id.size,
                   message->cluster_id.data ? message->cluster_id.data : "",
                   (int)message->brokers.count, (int)message->controller_id);
}

/* ---- a group's coordinator ---- */

static kf_err build_search(struct kf__call *call, int16_t version, kf_arena *arena,
                           const void **message)
{
    const struct doctor *doctor = call->owner;
    struct kf_find_coordinator_request *request = kf_arena_alloc(arena, sizeof *request);
    kf_string *keys = kf_arena_alloc(arena, sizeof *keys);
    if (!request || !keys)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_find_coordinator_request, request);
    *keys = (kf_string){doctor->group, strlen(doctor->group)};
    if (version >= 4) {
        request->coordinator_keys.items = keys;
        request->coordinator_keys.count = 1;
    } else {
        request->key = *keys;
    }
    *message = request;
    return KF_OK;
}

static const char *coordinator_advice(kf_err err)
{
    switch (err) {
    case KF_ERR_GROUP_AUTHORIZATION_FAILED:
        return "allow DESCRIBE and READ on the group for this principal, or name another group";
    case KF_ERR_COORDINATOR_NOT_AVAILABLE:
        return "the topic __consumer_offsets has no leader: look at its partitions; a young "
               "cluster "
               "makes it now, try again";
    default:
        return NULL;
    }
}

static const struct broker *find_broker(const struct doctor *doctor, int32_t id)
{
    for (int32_t i = 0; i < doctor->broker_count; i++)
        if (doctor->brokers[i].id == id)
            return &doctor->brokers[i];
    return NULL;
}

static void take_search(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct doctor *doctor = call->owner;
    int32_t node = -1;
    if (!err) {
        const struct kf_find_coordinator_response *message = answer->message;
        bool many = answer->version >= 4 && message->coordinators.count > 0;
        err = many ? message->coordinators.items[0].error_code : message->error_code;
        node = many ? message->coordinators.items[0].node_id : message->node_id;
    }
    if (err) {
        kf__visit_tell(doctor->visit, KF_FINDING_BAD, "coordinator", coordinator_advice(err), err,
                       "group %s has none: %s", doctor->group, kf_err_text(err));
        return;
    }
    const struct broker *broker = find_broker(doctor, node);
    bool good = broker && broker->reachable;
    kf__visit_tell(doctor->visit, good ? KF_FINDING_GOOD : KF_FINDING_BAD, "coordinator",
                   good ? NULL
                        : "this group cannot be joined from here until that broker can be "
                          "reached",
                   good ? KF_OK : KF_ERR_NO_BROKER,
                   "group %s is coordinated by broker %d, which %s", doctor->group, (int)node,
                   good ? "can be reached" : "cannot be reached");
}

/* ---- the brokers ---- */

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0;
}

/* Of the steps to a further broker only what went wrong is of interest. */
static void keep_bad(void *context, const kf_finding *finding)
{
    if (finding->kind == KF_FINDING_BAD)
        kf_error_set(context, finding->err, "%s", finding->found);
}

/* One line for each broker: the steps are those of before. */
static void visit_broker(struct doctor *doctor, struct broker *broker, bool from_afar)
{
    char text[KF_ERROR_TEXT_BYTES + 60];
    kf_error bad = KF_ERROR_INIT;
    struct kf__visit visit = {.tell = keep_bad, .context = &bad};
    broker->reachable =
        kf__visit_open(&visit, &doctor->conns, broker->host, broker->port, doctor->patience);
    kf__visit_close(&visit);
    bool odd = from_afar && is_loopback(broker->host);
    kf_finding_kind kind = odd ? KF_FINDING_WARNING : KF_FINDING_GOOD;
    const char *advice =
        odd ? "this address reaches whatever runs on this machine: set advertised.listeners" : NULL;
    if (!broker->reachable) {
        kind = KF_FINDING_BAD;
        advice = "brokers tell clients this address (advertised.listeners of its listener): it has "
                 "to be reachable from here";
    }
    snprintf(text, sizeof text, "broker %d %s%s", (int)broker->id,
             broker->reachable ? "can be reached" : "cannot be reached: ", bad.text);
    const kf_finding finding = {kind, "broker", visit.name, text, advice, bad.code};
    note_bad(doctor, bad.code);
    doctor->tell(doctor->context, &finding);
}

static void ask_on(struct doctor *doctor, struct kf__visit *visit, struct kf__call *call)
{
    doctor->visit = visit;
    call->owner = doctor;
    kf__visit_call(visit, call, doctor->patience);
    note_bad(doctor, visit->bad);
}

/* Everything that one bootstrap server can say; false where it can't be reached. */
static bool visit_server(struct doctor *doctor, const struct kf__host *server, bool first)
{
    struct kf__visit visit = {.tell = doctor->tell, .context = doctor->context};
    struct kf__call metadata = {
        .api_key = KF_API_METADATA, .build = build_metadata, .done = take_metadata};
    struct kf__call search = {
        .api_key = KF_API_FIND_COORDINATOR, .build = build_search, .done = take_search};
    bool open =
        kf__visit_open(&visit, &doctor->conns, server->name, server->port, doctor->patience);
    note_bad(doctor, visit.bad);
    if (open && first) {
        ask_on(doctor, &visit, &metadata);
        for (int32_t i = 0; i < doctor->broker_count; i++)
            visit_broker(doctor, &doctor->brokers[i], !is_loopback(server->name));
        if (doctor->broker_count)
            ask_on(doctor, &visit, &search);
    }
    kf__visit_close(&visit);
    return open;
}

/* ---- the whole ---- */

static void look_at_settings(struct doctor *doctor)
{
    const struct kf__settings *settings = &doctor->settings;
    bool afar = false;
    for (size_t i = 0; i < settings->server_count; i++)
        afar |= !is_loopback(settings->servers[i].name);
    if (afar && !kf__protocol_has_tls(settings->security_protocol))
        tell(doctor, KF_FINDING_WARNING, "config",
             "security.protocol has no TLS: whoever is on the way reads and changes the records",
             "ask for an SSL or SASL_SSL listener", KF_OK);
    else
        tell(doctor, KF_FINDING_GOOD, "config", "the configuration makes sense", NULL, KF_OK);
}

static kf_err open_doctor(struct doctor *doctor, const kf_config *config)
{
    kf_error error = KF_ERROR_INIT;
    kf_err err = kf__config_settings(config, &doctor->settings, &error);
    if (!err)
        err = kf__settings_security(&doctor->settings, doctor->alloc, &doctor->security, &error);
    if (err) {
        tell(doctor, KF_FINDING_BAD, "config", error.text, NULL, err);
        return err;
    }
    doctor->brokers = kf_alloc_array(doctor->alloc, MAX_BROKERS, sizeof *doctor->brokers);
    doctor->conns = (struct kf__conn_settings){
        .alloc = doctor->alloc,
        .world = &kf__real_world,
        .slabs = kf__slab_pool_new(doctor->alloc, SLAB_KEEP),
        .security = doctor->security,
        .client_id = doctor->settings.client_id,
        .request_timeout = doctor->patience,
        .setup_timeout = doctor->patience,
        .setup_timeout_max = doctor->patience,
        .reconnect_backoff = 3600 * KF_SECOND, /* one attempt is all there is */
        .reconnect_backoff_max = 3600 * KF_SECOND,
        .max_idle = KF_FOREVER,
        .receive_max = (size_t)doctor->settings.receive_message_max_bytes,
    };
    if (doctor->brokers && doctor->conns.slabs)
        return KF_OK;
    tell(doctor, KF_FINDING_BAD, "config", "there is no memory", NULL, KF_ERR_NO_MEMORY);
    return KF_ERR_NO_MEMORY;
}

static void close_doctor(struct doctor *doctor)
{
    if (doctor->conns.slabs)
        kf__slab_pool_drop(doctor->conns.slabs);
    kf__security_release(doctor->security);
    kf_free(doctor->alloc, doctor->brokers);
}

kf_err kf_doctor(const kf_config *config, const kf_doctor_options *options, kf_finding_fn tell_fn,
                 void *context)
{
    kf_doctor_options mine = {.size = sizeof mine};
    if (options)
        memcpy(&mine, options, options->size < sizeof mine ? options->size : sizeof mine);
    struct doctor doctor = {
        .alloc = &kf_default_allocator,
        .patience = (mine.timeout_ms > 0 ? mine.timeout_ms : DEFAULT_TIMEOUT_MS) * KF_MILLISECOND,
        .tell = tell_fn,
        .context = context,
    };
    if (open_doctor(&doctor, config) == KF_OK) {
        doctor.group = mine.group                 ? mine.group
                       : doctor.settings.group_id ? doctor.settings.group_id
                                                  : "kf-doctor";
        look_at_settings(&doctor);
        bool first = true;
        for (size_t i = 0; i < doctor.settings.server_count; i++)
            first &= !visit_server(&doctor, &doctor.settings.servers[i], first);
    }
    close_doctor(&doctor);
    return doctor.bad;
}
