/*
 * client: any API on any broker; see kafiber/client.h.
 *
 *   caller's thread          │  I/O thread
 *   kf_call ──ask────────────┼──▶ node known? ──▶ send ──▶ answer, encoded again
 *   decode into the response ◀───────────────────────────────┘
 *
 * An answer is decoded in the connection's memory, which is gone when the
 * callback returns; it is carried over as bytes, so that nothing but the
 * codec has to know how messages are laid out.
 */
#include "runtime/client/client.h"

#include <kafiber/messages.h>
#include <string.h>

enum {
    RETRY_MS = 100 /* between two looks at a topic that has no leader yet */
};

/* ---- a call ---- */

struct request {
    struct kf__ask ask;
    struct kf__io_wait wait;
    struct kf__call call;
    const kf_schema *schema;
    const void *message;
    int32_t node;
    int16_t version; /* -1: the newest */
    kf_time deadline;
    kf_error *error; /* may be NULL */

    int32_t answered_by;
    int16_t answered_version;
    kf_writer answer; /* encoded */
};

/* "Metadata" of "MetadataRequest". */
static int name_length(const kf_schema *request)
{
    const char *name = kf_schema_name(request);
    const char *end = strstr(name, "Request");
    return (int)(end ? (size_t)(end - name) : strlen(name));
}

static const char *where(const struct request *request, char *text, size_t size)
{
    if (request->node >= 0)
        snprintf(text, size, "%s", kf__cluster_node_name(request->ask.io->cluster, request->node));
    else if (request->node == KF_NODE_CONTROLLER)
        snprintf(text, size, "the controller");
    else
        snprintf(text, size, "any broker");
    return text;
}

static void explain_version(const struct request *request, const char *node)
{
    const kf_schema *schema = request->schema;
    int name = name_length(schema);
    int16_t low, high;
    if (kf__cluster_api_versions(request->ask.io->cluster, request->node, kf_schema_api_key(schema),
                                 &low, &high))
        kf_error_set(request->error, KF_ERR_API_NOT_SUPPORTED,
                     "%s offers %.*s in versions %d to %d, which does not include %d", node, name,
                     kf_schema_name(schema), low, high, request->version);
    else if (request->version < 0)
        kf_error_set(request->error, KF_ERR_API_NOT_SUPPORTED,
                     "%s does not offer %.*s in any version that we speak (%d to %d)", node, name,
                     kf_schema_name(schema), kf_schema_min_version(schema),
                     kf_schema_max_version(schema));
    else
        kf_error_set(request->error, KF_ERR_API_NOT_SUPPORTED,
                     "%s does not offer %.*s version %d: kf api-versions shows what it does", node,
                     name, kf_schema_name(schema), request->version);
}

static void explain(const struct request *request, kf_err err)
{
    const struct kf__io *io = request->ask.io;
    const kf_schema *schema = request->schema;
    char node[300];
    int name = name_length(schema);
    where(request, node, sizeof node);
    bool connection = err == KF_ERR_TIMED_OUT || err == KF_ERR_CONNECT_FAILED ||
                      err == KF_ERR_NAME_NOT_RESOLVED || err == KF_ERR_DISCONNECTED ||
                      err == KF_ERR_NO_BROKER;
    if (err == KF_ERR_API_NOT_SUPPORTED)
        explain_version(request, node);
    else if (connection && io->trouble.code)
        kf_error_set(request->error, err, "%.*s could not be asked of %s in time; %s", name,
                     kf_schema_name(schema), node, io->trouble.text);
    else if (err == KF_ERR_NO_BROKER && request->node >= 0)
        kf_error_set(request->error, err, "the cluster has no broker %d", (int)request->node);
    else if (err == KF_ERR_TIMED_OUT)
        kf_error_set(request->error, err, "%.*s: no answer from %s in time", name,
                     kf_schema_name(schema), node);
    else
        kf_error_set(request->error, err, "%.*s, asked of %s: %s", name, kf_schema_name(schema),
                     node, kf_err_text(err));
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    (void)version;
    (void)arena;
    const struct request *request = call->owner;
    *message = request->message;
    return KF_OK;
}

static void answered(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct request *request = call->owner;
    if (!err) {
        const kf_schema *response = kf_schema_response(kf_schema_api_key(request->schema));
        request->answered_by = answer->node >= 0 ? answer->node : -1;
        request->answered_version = answer->version;
        err = kf_encode(response, answer->version, answer->message, &request->answer);
    }
    if (err)
        explain(request, err);
    kf__ask_over(&request->ask, err);
}

static void send_request(struct kf__io_wait *wait)
{
    struct request *request = KF__OWNER(wait, struct request, wait);
    struct kf__io *io = request->ask.io;
    if (io->fatal_error.code) {
        kf__ask_over(&request->ask, io->fatal_error.code);
        return;
    }
    kf_time now = kf__loop_now(io->loop);
    /* To net 0 and 0 mean any version: -1 to 0 is version 0 and no other. */
    int16_t low = request->version > 0 ? request->version : -1;
    int16_t high =
        request->version >= 0 ? request->version : kf_schema_max_version(request->schema);
    request->call = (struct kf__call){
        .api_key = kf_schema_api_key(request->schema),
        .min_version = low,
        .max_version = high,
        .deadline = request->deadline,
        .patience = request->deadline == KF_FOREVER || request->deadline <= now
                        ? 0
                        : request->deadline - now,
        .build = build,
        .done = answered,
        .owner = request,
    };
    kf__cluster_send(io->cluster, request->node, KF__LANE_CONTROL, &request->call);
}

static void begin(struct kf__ask *ask)
{
    struct request *request = KF__OWNER(ask, struct request, ask);
    kf__io_wait_for_node(ask->io, &request->wait, request->node, request->deadline, send_request);
}

/* ---- a response ---- */

struct kept {
    kf_arena arena;
    kf_writer bytes; /* what the message borrows from */
};

static kf_err keep(struct request *request, kf_response *response)
{
    const kf_schema *schema = kf_schema_response(kf_schema_api_key(request->schema));
    struct kept *kept = kf_alloc_zero(&kf_default_allocator, sizeof *kept);
    if (!kept)
        return KF_ERR_NO_MEMORY;
    kf_arena_init(&kept->arena, &kf_default_allocator, 0);
    kept->bytes = request->answer;
    kf_writer_init(&request->answer, &kf_default_allocator);
    response->memory[0] = kept;
    void *message = kf_arena_alloc(&kept->arena, kf_schema_struct_size(schema));
    if (!message)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf_decode(schema, request->answered_version, kept->bytes.bytes, kept->bytes.used,
                           &kept->arena, message);
    if (err)
        return err;
    response->message = message;
    response->schema = schema;
    response->version = request->answered_version;
    response->node = request->answered_by;
    return KF_OK;
}

void kf_response_free(kf_response *response)
{
    struct kept *kept = response->memory[0];
    if (kept) {
        kf_writer_free(&kept->bytes);
        kf_arena_free(&kept->arena);
        kf_free(&kf_default_allocator, kept);
    }
    *response = (kf_response){0};
}

static kf_err check(const kf_client *client, const kf_schema *request, int16_t version,
                    kf_error *error)
{
    if (!client)
        return error && error->code ? error->code : KF_ERR_STATE;
    if (!request || kf_schema_request(kf_schema_api_key(request)) != request)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "%s is not a request",
                            request ? kf_schema_name(request) : "NULL");
    if (version > kf_schema_max_version(request) ||
        (version >= 0 && version < kf_schema_min_version(request)))
        return kf_error_set(error, KF_ERR_BAD_VERSION, "%.*s has versions %d to %d, not %d",
                            name_length(request), kf_schema_name(request),
                            kf_schema_min_version(request), kf_schema_max_version(request),
                            version);
    return KF_OK;
}

/* What kf__io_ask could not explain itself: the loop was never reached, or is beyond hope. */
static kf_err tell(const struct kf__io *io, kf_err err, kf_error *error)
{
    if (err == KF_ERR_FORKED)
        return kf_error_set(error, err, "the client was opened before fork: open one in the child");
    if (err && io->fatal_error.code == err)
        return kf_error_set(error, err, "%s", io->fatal_error.text);
    return kf_error_set(err ? error : NULL, err, "%s", kf_err_text(err));
}

kf_err kf_call(kf_client *client, int32_t node, const kf_schema *schema, int16_t version,
               const void *message, kf_time deadline, kf_response *response, kf_error *error)
{
    kf_err err = check(client, schema, version, error);
    if (err)
        return err;
    struct request request = {
        .ask.begin = begin,
        .schema = schema,
        .message = message,
        .node = node,
        .version = version < 0 ? -1 : version,
        .deadline = deadline,
        .error = error,
    };
    kf_response_free(response);
    kf_writer_init(&request.answer, &kf_default_allocator);
    err = kf__io_ask(&client->io, &request.ask);
    if (!err)
        err = keep(&request, response);
    if (err)
        kf_response_free(response);
    kf_writer_free(&request.answer);
    return tell(&client->io, err, error);
}

/* ---- coordinators ---- */

struct coordinator_request {
    struct kf__ask ask;
    struct kf__coordinator_search search;
    int32_t node;
    kf_error *error; /* may be NULL */
};

static void found(struct kf__coordinator_search *search, kf_err err, int32_t node)
{
    struct coordinator_request *request = search->owner;
    const kf_error *trouble = &request->ask.io->trouble;
    request->node = node;
    if (err)
        kf_error_set(request->error, err, "the coordinator of %s \"%s\" was not found: %s",
                     search->key_type == KF__KEY_GROUP ? "group" : "transactional id", search->key,
                     trouble->code == err ? trouble->text : kf_err_text(err));
    kf__ask_over(&request->ask, err);
}

static void begin_search(struct kf__ask *ask)
{
    struct coordinator_request *request = KF__OWNER(ask, struct coordinator_request, ask);
    kf__cluster_find_coordinator(ask->io->cluster, &request->search);
}

kf_err kf_client_coordinator(kf_client *client, const char *key, int8_t key_type, kf_time deadline,
                             int32_t *node, kf_error *error)
{
    if (!client)
        return error && error->code ? error->code : KF_ERR_STATE;
    struct coordinator_request request = {
        .ask.begin = begin_search,
        .search = {.key = key,
                   .key_type = key_type,
                   .deadline = deadline,
                   .done = found,
                   .owner = &request},
        .error = error,
    };
    kf_err err = kf__io_ask(&client->io, &request.ask);
    *node = err ? -1 : request.node;
    return tell(&client->io, err, error);
}

/* ---- topics ---- */

/* One topic's metadata; the caller frees the response whatever comes back. */
static kf_err describe_topic(kf_client *client, const char *topic, kf_time deadline,
                             kf_response *response,
                             const struct kf_metadata_response_topic **found_topic, kf_error *error)
{
    struct kf_metadata_request request;
    struct kf_metadata_request_topic row;
    memset(&row, 0, sizeof row);
    kf_reset(&kf_schema_of_metadata_request, &request);
    row.name = (kf_string){topic, strlen(topic)};
    request.topics.items = &row;
    request.topics.count = 1;
    request.allow_auto_topic_creation = false;
    kf_err err = kf_call(client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
                         deadline, response, error);
    if (err)
        return err;
    const struct kf_metadata_response *answer = response->message;
    if (answer->topics.count != 1)
        return kf_error_set(error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                            "the broker does not know topic \"%s\"", topic);
    *found_topic = &answer->topics.items[0];
    return KF_OK;
}

bool kf__tries_again(struct kf__tries *tries)
{
    if (kf_now() + RETRY_MS * KF_MILLISECOND >= tries->deadline)
        return false;
    kf_sleep(RETRY_MS * KF_MILLISECOND);
    tries->before = tries->why;
    tries->why = (kf_error)KF_ERROR_INIT;
    return true;
}

kf_err kf__tries_end(const struct kf__tries *tries, kf_err err, kf_error *error)
{
    if (!err)
        return KF_OK;
    bool says_nothing = err == KF_ERR_TIMED_OUT && tries->before.code;
    const kf_error *cause = says_nothing ? &tries->before : &tries->why;
    return kf_error_set(error, cause->code ? cause->code : err, "%s", cause->text);
}

static kf_err explain_topic(const char *topic, kf_err err, kf_error *error)
{
    if (err == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION)
        return kf_error_set(error, err,
                            "there is no topic \"%s\": kf topic list shows those there "
                            "are",
                            topic);
    return kf_error_set(error, err, "topic \"%s\": %s", topic, kf_err_text(err));
}

static kf_err ask_partitions(kf_client *client, const char *topic, kf_time deadline, int32_t *count,
                             kf_error *error)
{
    kf_response response = {0};
    const struct kf_metadata_response_topic *found_topic = NULL;
    kf_err err = describe_topic(client, topic, deadline, &response, &found_topic, error);
    if (!err && found_topic->error_code)
        err = explain_topic(topic, found_topic->error_code, error);
    else if (!err)
        *count = found_topic->partitions.count;
    kf_response_free(&response);
    return err;
}

kf_err kf_client_partitions(kf_client *client, const char *topic, kf_time deadline, int32_t *count,
                            kf_error *error)
{
    if (!client)
        return error && error->code ? error->code : KF_ERR_STATE;
    struct kf__tries tries = {.deadline = deadline};
    kf_err err;
    do {
        err = ask_partitions(client, topic, deadline, count, &tries.why);
    } while (err == KF_ERR_LEADER_NOT_AVAILABLE && kf__tries_again(&tries));
    return kf__tries_end(&tries, err, error);
}

static kf_err leader_of(const struct kf_metadata_response_topic *topic, const char *name,
                        int32_t partition, int32_t *node, kf_error *error)
{
    if (topic->error_code)
        return explain_topic(name, topic->error_code, error);
    for (int32_t i = 0; i < topic->partitions.count; i++) {
        const struct kf_metadata_response_partition *row = &topic->partitions.items[i];
        if (row->partition_index != partition)
            continue;
        *node = row->leader_id;
        if (row->leader_id >= 0)
            return KF_OK;
        return kf_error_set(error, KF_ERR_LEADER_NOT_AVAILABLE,
                            "topic \"%s\" partition %d has no leader", name, (int)partition);
    }
    return kf_error_set(error, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                        "topic \"%s\" has no partition %d: it has %d", name, (int)partition,
                        (int)topic->partitions.count);
}

static kf_err ask_leader(kf_client *client, const char *topic, int32_t partition, kf_time deadline,
                         int32_t *node, kf_error *error)
{
    kf_response response = {0};
    const struct kf_metadata_response_topic *found_topic = NULL;
    kf_err err = describe_topic(client, topic, deadline, &response, &found_topic, error);
    if (!err)
        err = leader_of(found_topic, topic, partition, node, error);
    kf_response_free(&response);
    return err;
}

kf_err kf_client_leader(kf_client *client, const char *topic, int32_t partition, kf_time deadline,
                        int32_t *node, kf_error *error)
{
    *node = -1;
    if (!client)
        return error && error->code ? error->code : KF_ERR_STATE;
    struct kf__tries tries = {.deadline = deadline};
    kf_err err;
    do {
        err = ask_leader(client, topic, partition, deadline, node, &tries.why);
    } while (err == KF_ERR_LEADER_NOT_AVAILABLE && kf__tries_again(&tries));
    return kf__tries_end(&tries, err, error);
}

/* ---- versions ---- */

kf_err kf_client_api_versions(kf_client *client, int32_t node, int16_t api_key, kf_time deadline,
                              int16_t *min_version, int16_t *max_version, kf_error *error)
{
    static const char name[] = "kafiber";
    struct kf_api_versions_request request;
    kf_reset(&kf_schema_of_api_versions_request, &request);
    request.client_software_name = (kf_string){name, sizeof name - 1};
    request.client_software_version = (kf_string){"0", 1};
    kf_response response = {0};
    kf_err err = kf_call(client, node, &kf_schema_of_api_versions_request, -1, &request, deadline,
                         &response, error);
    if (err)
        return err;
    const struct kf_api_versions_response *answer = response.message;
    err = KF_ERR_API_NOT_SUPPORTED;
    for (int32_t i = 0; i < answer->api_keys.count; i++) {
        if (answer->api_keys.items[i].api_key != api_key)
            continue;
        *min_version = answer->api_keys.items[i].min_version;
        *max_version = answer->api_keys.items[i].max_version;
        err = KF_OK;
    }
    kf_response_free(&response);
    if (err)
        kf_error_set(error, err, "the broker does not offer API %d", api_key);
    return err;
}

/* ---- its life ---- */

static bool rests(void *owner)
{
    const struct kf_client *client = owner;
    return client->io.asks == 0;
}

kf_client *kf_client_new(const kf_config *config, kf_error *error)
{
    kf_client *client = kf_alloc_zero(&kf_default_allocator, sizeof *client);
    if (!client) {
        kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a client");
        return NULL;
    }
    kf_err err = kf__io_open(&client->io, config, error);
    client->io.owner = client;
    client->io.rests = rests;
    if (err || kf__io_start(&client->io, error)) {
        kf_client_close(client);
        return NULL;
    }
    return client;
}

void kf_client_close(kf_client *client)
{
    if (!client)
        return;
    kf__io_close(&client->io);
    kf_free(&kf_default_allocator, client);
}
