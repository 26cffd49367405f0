/* api_versions: `kf api-versions`: what a broker speaks, beside what we speak. */
#include "tools/kf/options.h"
#include "tools/kf/table.h"
#include "tools/kf/verbs.h"

#include <kafiber/messages.h>
#include <string.h>

static const char usage[] =
    "usage: kf api-versions [--node ID]\n"
    "\n"
    "One line for each API: its key and name, the versions of the broker, those that we speak,\n"
    "and the one that is used.\n"
    "\n"
    "      --node ID   this broker; default: any\n"
    "      --json      one JSON object a line\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "  kf api-versions -b broker:9092\n"
    "  kf api-versions --json | jq 'select(.used == null)'\n";

struct wishes {
    struct kf__command command;
    int64_t node;
};

static const struct kf__option options[] = {
    {0, "node", KF__OPTION_NUMBER, offsetof(struct wishes, node)},
};

static const struct kf__column columns[] = {
    {"KEY", "key", KF__CELL_NUMBER},
    {"API", "api", KF__CELL_TEXT},
    {"BROKER-MIN", "brokerMin", KF__CELL_NUMBER},
    {"BROKER-MAX", "brokerMax", KF__CELL_NUMBER},
    {"OURS-MIN", "oursMin", KF__CELL_NUMBER},
    {"OURS-MAX", "oursMax", KF__CELL_NUMBER},
    {"USED", "used", KF__CELL_NUMBER},
};

/* "Fetch" of "FetchRequest"; "-" for what we don't know. */
static void add_name(struct kf__table *table, const kf_schema *request)
{
    const char *name = request ? kf_schema_name(request) : NULL;
    const char *end = name ? strstr(name, "Request") : NULL;
    kf__table_string(table, (kf_string){name, end ? (size_t)(end - name) : 0});
}

static void add_range(struct kf__table *table, bool there, int16_t min, int16_t max)
{
    for (int i = 0; i < 2; i++)
        if (there)
            kf__table_number(table, i ? max : min);
        else
            kf__table_text(table, NULL);
}

static void add_row(struct kf__table *table, int16_t key,
                    const struct kf_api_versions_response_api_version *theirs,
                    const struct kf_api_versions_response *answer)
{
    const kf_schema *request = kf_schema_request(key);
    int16_t used;
    kf__table_number(table, key);
    add_name(table, request);
    add_range(table, theirs != NULL, theirs ? theirs->min_version : 0,
              theirs ? theirs->max_version : 0);
    add_range(table, request != NULL, request ? kf_schema_min_version(request) : 0,
              request ? kf_schema_max_version(request) : 0);
    if (request && kf_version_choose(request, answer, &used) == KF_OK)
        kf__table_number(table, used);
    else
        kf__table_text(table, NULL);
}

static const struct kf_api_versions_response_api_version *
theirs_of(const struct kf_api_versions_response *answer, int16_t key)
{
    for (int32_t i = 0; i < answer->api_keys.count; i++)
        if (answer->api_keys.items[i].api_key == key)
            return &answer->api_keys.items[i];
    return NULL;
}

static int print_versions(const struct wishes *wishes,
                          const struct kf_api_versions_response *answer)
{
    struct kf__table table = {.columns = columns, .width = sizeof columns / sizeof *columns};
    int32_t last = -1;
    for (int32_t i = 0; i < answer->api_keys.count; i++)
        if (answer->api_keys.items[i].api_key > last)
            last = answer->api_keys.items[i].api_key;
    const kf_schema *schema;
    for (size_t i = 0; (schema = kf_schema_at(i)); i++)
        if (kf_schema_api_key(schema) > last)
            last = kf_schema_api_key(schema);
    for (int32_t key = 0; key <= last; key++) {
        const struct kf_api_versions_response_api_version *theirs = theirs_of(answer, (int16_t)key);
        if (theirs || kf_schema_request((int16_t)key))
            add_row(&table, (int16_t)key, theirs, answer);
    }
    bool whole = kf__table_print(&table, wishes->command.json);
    kf__table_free(&table);
    return whole ? KF__EXIT_DONE : KF__EXIT_PARTLY;
}

static int ask(const struct wishes *wishes)
{
    static const char name[] = "kf";
    kf_error error = KF_ERROR_INIT;
    kf_client *client = kf_client_new(wishes->command.config, &error);
    if (!client)
        return kf__report(&wishes->command, &error);
    struct kf_api_versions_request request;
    kf_response response = {0};
    kf_reset(&kf_schema_of_api_versions_request, &request);
    request.client_software_name = (kf_string){name, sizeof name - 1};
    request.client_software_version = (kf_string){"0", 1};
    int code = kf_call(client, (int32_t)wishes->node, &kf_schema_of_api_versions_request, -1,
                       &request, kf__command_deadline(&wishes->command), &response, &error)
                   ? kf__report(&wishes->command, &error)
                   : print_versions(wishes, response.message);
    kf_response_free(&response);
    kf_client_close(client);
    return code;
}

int kf__verb_api_versions(int argc, char **argv)
{
    struct wishes wishes = {
        .command = {.verb = "api-versions",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
        .node = KF_NODE_ANY,
    };
    int code = kf__command_read(&wishes.command, argc, argv, &wishes);
    if (code == KF__GO_ON && wishes.command.arguments.count)
        code = kf__usage_error(&wishes.command, "it takes no argument");
    if (code == KF__GO_ON)
        code = ask(&wishes);
    code = kf__finish(&wishes.command, code);
    kf__command_free(&wishes.command);
    return code;
}
