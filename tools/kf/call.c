/* call: `kf call API`: any Kafka API; the request as JSON from stdin or argument, the answer out.
 */
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <errno.h>
#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: kf call API [JSON] [--version N] [--node ID | --controller | --coordinator GROUP |\n"
    "               --txn-coordinator ID]\n"
    "\n"
    "Sends one request and prints the answer as JSON. API is its name (Metadata) or key (3). The\n"
    "request comes from the argument or from stdin, in the form of Kafka's own converters; the\n"
    "rows of a message: kf codec schema MetadataRequest. Error codes inside the answer are left\n"
    "to you: the exit code tells only of the call.\n"
    "\n"
    "  -v, --version N          default: the newest that both sides speak\n"
    "      --node ID            this broker; default: any\n"
    "      --controller         the controller\n"
    "      --coordinator GROUP  the broker that looks after a group\n"
    "      --txn-coordinator ID the broker that looks after a transactional id\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "  kf call DescribeCluster --version 0 '{\"includeClusterAuthorizedOperations\":false}'\n"
    "  kf call ListGroups --version 0 '{}' --node 1\n";

struct call {
    struct kf__command command;
    int64_t version;
    int64_t node;
    bool controller;
    const char *coordinator;
    const char *txn_coordinator;

    kf_client *client;
    const kf_schema *schema;
    kf_arena arena;
    void *message;
    char *input; /* what stdin held */
    size_t input_size;
};

#define AT(member) offsetof(struct call, member)
static const struct kf__option options[] = {
    {'v', "version", KF__OPTION_NUMBER, AT(version)},
    {0, "node", KF__OPTION_NUMBER, AT(node)},
    {0, "controller", KF__OPTION_FLAG, AT(controller)},
    {0, "coordinator", KF__OPTION_TEXT, AT(coordinator)},
    {0, "txn-coordinator", KF__OPTION_TEXT, AT(txn_coordinator)},
};
#undef AT

enum {
    INPUT_STEP = 1 << 16,
    NAMES = 160,
    NAME_BYTES = 64
};

/* ---- which API ---- */

static int unknown_api(const struct call *call, const char *name)
{
    static char texts[NAMES][NAME_BYTES];
    const char *names[NAMES];
    size_t count = 0;
    for (int16_t key = 0; key < NAMES && count < NAMES; key++) {
        const kf_schema *schema = kf_schema_request(key);
        if (!schema)
            continue;
        const char *end = strstr(kf_schema_name(schema), "Request");
        snprintf(texts[count], NAME_BYTES, "%.*s", (int)(end - kf_schema_name(schema)),
                 kf_schema_name(schema));
        names[count] = texts[count];
        count++;
    }
    const char *nearest = kf__nearest(name, names, count);
    if (nearest)
        return kf__usage_error(&call->command, "there is no API \"%s\": did you mean %s?", name,
                               nearest);
    return kf__usage_error(&call->command, "there is no API \"%s\"", name);
}

static int find_api(struct call *call, const char *name)
{
    char full[NAME_BYTES + sizeof "Request"];
    int64_t key;
    if (kf__read_number(name, &key) && key >= 0 && key <= INT16_MAX) {
        call->schema = kf_schema_request((int16_t)key);
    } else if (strlen(name) < NAME_BYTES) {
        const char *end = strstr(name, "Request");
        snprintf(full, sizeof full, "%s%s", name, end ? "" : "Request");
        call->schema = kf_schema_find(full);
    }
    return call->schema ? KF__GO_ON : unknown_api(call, name);
}

/* ---- to whom, in which version ---- */

static int find_node(struct call *call, kf_error *error)
{
    enum {
        GROUP,
        TRANSACTION
    }; /* key types of FindCoordinator */
    int32_t node = KF_NODE_ANY;
    const char *key = call->coordinator ? call->coordinator : call->txn_coordinator;
    if ((call->node >= 0) + call->controller + !!call->coordinator + !!call->txn_coordinator > 1)
        return kf__usage_error(
            &call->command,
            "--node, --controller, --coordinator and --txn-coordinator exclude each other");
    if (call->controller)
        call->node = KF_NODE_CONTROLLER;
    if (!key)
        return KF__GO_ON;
    if (kf_client_coordinator(call->client, key, call->coordinator ? GROUP : TRANSACTION,
                              kf__command_deadline(&call->command), &node, error))
        return kf__report(&call->command, error);
    call->node = node;
    return KF__GO_ON;
}

/* JSON is read by version, so it has to be known before. */
static int find_version(struct call *call, kf_error *error)
{
    const kf_schema *schema = call->schema;
    int16_t least, most;
    if (call->version >= 0)
        return KF__GO_ON;
    if (kf_client_api_versions(call->client, (int32_t)call->node, kf_schema_api_key(schema),
                               kf__command_deadline(&call->command), &least, &most, error))
        return kf__report(&call->command, error);
    call->version = most < kf_schema_max_version(schema) ? most : kf_schema_max_version(schema);
    if (call->version >= least && call->version >= kf_schema_min_version(schema))
        return KF__GO_ON;
    kf_error_set(error, KF_ERR_API_NOT_SUPPORTED,
                 "the broker speaks %s in versions %d to %d, we in %d to %d",
                 kf_schema_name(schema), least, most, kf_schema_min_version(schema),
                 kf_schema_max_version(schema));
    return kf__report(&call->command, error);
}

/* ---- the request ---- */

static int read_stdin(struct call *call)
{
    for (;;) {
        char *input = realloc(call->input, call->input_size + INPUT_STEP);
        if (!input)
            return KF__EXIT_PARTLY;
        call->input = input;
        size_t got = fread(input + call->input_size, 1, INPUT_STEP, stdin);
        call->input_size += got;
        if (got < INPUT_STEP)
            break;
    }
    if (!ferror(stdin))
        return KF__GO_ON;
    fprintf(stderr, "kf call: stdin: %s\n", strerror(errno));
    return KF__EXIT_PARTLY;
}

static int read_request(struct call *call, kf_error *error)
{
    const struct kf__texts *arguments = &call->command.arguments;
    const char *text = arguments->count > 1 ? arguments->items[1] : NULL;
    int code = text ? KF__GO_ON : read_stdin(call);
    if (code != KF__GO_ON)
        return code;
    size_t size = text ? strlen(text) : call->input_size;
    call->message = kf_arena_alloc(&call->arena, kf_schema_struct_size(call->schema));
    if (!call->message)
        return KF__EXIT_PARTLY;
    kf_err err = kf_from_json(call->schema, (int16_t)call->version, text ? text : call->input, size,
                              &call->arena, call->message, error);
    if (!err)
        return KF__GO_ON;
    kf_error_set(error, err, "%s", kf_err_text(err));
    kf__report(&call->command, error);
    return KF__EXIT_USAGE;
}

static int send_it(struct call *call, kf_error *error)
{
    kf_response response = {0};
    kf_writer text;
    if (kf_call(call->client, (int32_t)call->node, call->schema, (int16_t)call->version,
                call->message, kf__command_deadline(&call->command), &response, error))
        return kf__report(&call->command, error);
    kf_writer_init(&text, &kf_default_allocator);
    kf_err err = kf_to_json(response.schema, response.version, response.message, &text);
    if (!err) {
        fwrite(text.bytes, 1, text.used, stdout);
        putchar('\n');
    } else {
        kf_error_set(error, err, "the answer can't be printed: %s", kf_err_text(err));
        kf__report(&call->command, error);
    }
    kf_writer_free(&text);
    kf_response_free(&response);
    return err ? KF__EXIT_PARTLY : KF__EXIT_DONE;
}

static int run(struct call *call)
{
    const struct kf__texts *arguments = &call->command.arguments;
    kf_error error = KF_ERROR_INIT;
    if (arguments->count == 0 || arguments->count > 2)
        return kf__usage_error(&call->command, "name one API, and give at most one request");
    int code = find_api(call, arguments->items[0]);
    if (code == KF__GO_ON && call->version > kf_schema_max_version(call->schema))
        code = kf__usage_error(&call->command, "%s has versions %d to %d",
                               kf_schema_name(call->schema), kf_schema_min_version(call->schema),
                               kf_schema_max_version(call->schema));
    if (code != KF__GO_ON)
        return code;
    call->client = kf_client_new(call->command.config, &error);
    if (!call->client)
        return kf__report(&call->command, &error);
    code = find_node(call, &error);
    if (code == KF__GO_ON)
        code = find_version(call, &error);
    if (code == KF__GO_ON)
        code = read_request(call, &error);
    if (code == KF__GO_ON)
        code = send_it(call, &error);
    kf_client_close(call->client);
    return code;
}

int kf__verb_call(int argc, char **argv)
{
    struct call call = {
        .command = {.verb = "call",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
        .version = -1,
        .node = KF_NODE_ANY,
    };
    kf_arena_init(&call.arena, &kf_default_allocator, 0);
    int code = kf__command_read(&call.command, argc, argv, &call);
    if (code == KF__GO_ON)
        code = run(&call);
    code = kf__finish(&call.command, code);
    kf_arena_free(&call.arena);
    free(call.input);
    kf__command_free(&call.command);
    return code;
}
