/* topic: `kf topic list|create|describe|delete`. */
#include "tools/kf/options.h"
#include "tools/kf/table.h"
#include "tools/kf/verbs.h"

#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: kf topic list [--internal]\n"
    "       kf topic describe [TOPIC]...\n"
    "       kf topic create TOPIC... [-p PARTITIONS] [-r REPLICAS] [-c KEY=VALUE]...\n"
    "       kf topic delete TOPIC...\n"
    "\n"
    "  -p, --partitions N   default: as the broker has it (num.partitions)\n"
    "  -r, --replicas N     default: as the broker has it (default.replication.factor)\n"
    "  -c, --config K=V     a setting of the topic, several allowed\n"
    "      --if-not-exists  create: a topic that is there already is no error\n"
    "      --if-exists      delete: a topic that isn't there is no error\n"
    "      --internal       list internal topics too\n"
    "      --json           one JSON object a line\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "  kf topic create orders -p 12 -r 3 -c min.insync.replicas=2\n"
    "  kf topic describe orders --json\n";

struct topic {
    struct kf__command command;
    int64_t partitions; /* -1: the broker's default */
    int64_t replicas;
    struct kf__texts configs;
    bool internal;
    bool if_exists;
    bool if_not_exists;
    kf_client *client;
};

#define AT(member) offsetof(struct topic, member)
static const struct kf__option options[] = {
    {'p', "partitions", KF__OPTION_NUMBER, AT(partitions)},
    {'r', "replicas", KF__OPTION_NUMBER, AT(replicas)},
    {'c', "config", KF__OPTION_TEXTS, AT(configs)},
    {0, "internal", KF__OPTION_FLAG, AT(internal)},
    {0, "if-exists", KF__OPTION_FLAG, AT(if_exists)},
    {0, "if-not-exists", KF__OPTION_FLAG, AT(if_not_exists)},
};
#undef AT

static kf_string string_of(const char *text) { return (kf_string){text, strlen(text)}; }

/* One topic's result: what Kafka said of it, on stderr. */
static void tell(const struct topic *topic, kf_string name, kf_err err, kf_string why)
{
    fprintf(stderr, "kf %s: %.*s: %s%s%.*s (%s)\n", topic->command.verb, (int)name.size, name.data,
            kf_err_text(err), why.size ? ": " : "", (int)why.size, why.data ? why.data : "",
            kf_err_name(err));
}

/* The first failure's code counts: 4 for what is forbidden, else 1. */
static int worse(int code, kf_err err)
{
    if (!err || code != KF__EXIT_DONE)
        return code;
    int mine = kf_err_exit_code(err);
    return mine == KF__EXIT_USAGE || mine == KF__EXIT_DONE ? KF__EXIT_PARTLY : mine;
}

/* ---- list, describe ---- */

static int ask_metadata(const struct topic *topic, kf_response *response)
{
    const struct kf__texts *names = &topic->command.arguments;
    struct kf_metadata_request request;
    kf_error error = KF_ERROR_INIT;
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.allow_auto_topic_creation = false;
    request.topics.count = -1;
    struct kf_metadata_request_topic *rows = NULL;
    if (names->count) {
        rows = calloc(names->count, sizeof *rows);
        if (!rows)
            return KF__EXIT_PARTLY;
        for (size_t i = 0; i < names->count; i++)
            rows[i].name = string_of(names->items[i]);
        request.topics.items = rows;
        request.topics.count = (int32_t)names->count;
    }
    kf_err err = kf_call(topic->client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
                         kf__command_deadline(&topic->command), response, &error);
    free(rows);
    return err ? kf__report(&topic->command, &error) : KF__GO_ON;
}

static int by_name(const void *a, const void *b)
{
    const struct kf_metadata_response_topic *const *left = a;
    const struct kf_metadata_response_topic *const *right = b;
    const kf_string *x = &(*left)->name;
    const kf_string *y = &(*right)->name;
    size_t least = x->size < y->size ? x->size : y->size;
    int order = least ? memcmp(x->data, y->data, least) : 0;
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int by_partition(const void *a, const void *b)
{
    const struct kf_metadata_response_partition *left = a;
    const struct kf_metadata_response_partition *right = b;
    return (left->partition_index > right->partition_index) -
           (left->partition_index < right->partition_index);
}

static void add_partitions(struct kf__table *table, const struct kf_metadata_response_topic *row)
{
    if (row->partitions.count > 1)
        qsort(row->partitions.items, (size_t)row->partitions.count, sizeof *row->partitions.items,
              by_partition);
    for (int32_t i = 0; i < row->partitions.count; i++) {
        const struct kf_metadata_response_partition *part = &row->partitions.items[i];
        kf__table_string(table, row->name);
        kf__table_number(table, part->partition_index);
        if (part->leader_id >= 0)
            kf__table_number(table, part->leader_id);
        else
            kf__table_text(table, NULL);
        kf__table_numbers(table, part->replica_nodes.items, part->replica_nodes.count);
        kf__table_numbers(table, part->isr_nodes.items, part->isr_nodes.count);
        kf__table_numbers(table, part->offline_replicas.items, part->offline_replicas.count);
    }
}

static void add_name(struct kf__table *table, const struct kf_metadata_response_topic *row)
{
    kf__table_string(table, row->name);
    kf__table_number(table, row->partitions.count);
    kf__table_number(table,
                     row->partitions.count ? row->partitions.items[0].replica_nodes.count : 0);
}

static const struct kf__column list_columns[] = {
    {"TOPIC", "topic", KF__CELL_TEXT},
    {"PARTITIONS", "partitions", KF__CELL_NUMBER},
    {"REPLICAS", "replicas", KF__CELL_NUMBER},
};
static const struct kf__column describe_columns[] = {
    {"TOPIC", "topic", KF__CELL_TEXT},     {"PARTITION", "partition", KF__CELL_NUMBER},
    {"LEADER", "leader", KF__CELL_NUMBER}, {"REPLICAS", "replicas", KF__CELL_NUMBERS},
    {"ISR", "isr", KF__CELL_NUMBERS},      {"OFFLINE", "offline", KF__CELL_NUMBERS},
};

static int print_topics(const struct topic *topic, bool describe)
{
    kf_response response = {0};
    int code = ask_metadata(topic, &response);
    if (code != KF__GO_ON)
        return code;
    const struct kf_metadata_response *answer = response.message;
    struct kf__table table = {
        .columns = describe ? describe_columns : list_columns,
        .width = describe ? sizeof describe_columns / sizeof *describe_columns
                          : sizeof list_columns / sizeof *list_columns,
    };
    size_t count = answer->topics.count > 0 ? (size_t)answer->topics.count : 0;
    const struct kf_metadata_response_topic **rows = calloc(count + 1, sizeof *rows);
    code = rows ? KF__EXIT_DONE : KF__EXIT_PARTLY;
    for (size_t i = 0; rows && i < count; i++)
        rows[i] = &answer->topics.items[i];
    if (rows)
        qsort(rows, count, sizeof *rows, by_name);
    bool all = topic->command.arguments.count == 0;
    for (size_t i = 0; rows && i < count; i++) {
        if (rows[i]->error_code && !(all && rows[i]->error_code == KF_ERR_LEADER_NOT_AVAILABLE)) {
            tell(topic, rows[i]->name, rows[i]->error_code, (kf_string){NULL, 0});
            code = worse(code, rows[i]->error_code);
        } else if (!all || topic->internal || !rows[i]->is_internal) {
            (describe ? add_partitions : add_name)(&table, rows[i]);
        }
    }
    bool heading = code == KF__EXIT_DONE || table.count;
    if (heading && !kf__table_print(&table, topic->command.json))
        code = KF__EXIT_PARTLY;
    kf__table_free(&table);
    free(rows);
    kf_response_free(&response);
    return code;
}

/* ---- create ---- */

typedef struct kf_create_topics_request_creatable_topic creatable_topic;
typedef struct kf_create_topics_request_creatable_topic_config topic_config;

/* "KEY=VALUE" cut in two; the array is the caller's to free. */
static int make_configs(const struct topic *topic, topic_config **configs)
{
    const struct kf__texts *texts = &topic->configs;
    *configs = calloc(texts->count + 1, sizeof **configs);
    if (!*configs)
        return KF__EXIT_PARTLY;
    for (size_t i = 0; i < texts->count; i++) {
        const char *equals = strchr(texts->items[i], '=');
        if (!equals || equals == texts->items[i])
            return kf__usage_error(&topic->command, "-c wants KEY=VALUE, not \"%s\"",
                                   texts->items[i]);
        (*configs)[i].name = (kf_string){texts->items[i], (size_t)(equals - texts->items[i])};
        (*configs)[i].value = string_of(equals + 1);
    }
    return KF__GO_ON;
}

/* The controller has it; the brokers learn of it in the next moment, and so does who asks them. */
static void wait_until_known(const struct topic *topic, kf_string name)
{
    char text[250];
    kf_time deadline = kf__command_deadline(&topic->command);
    snprintf(text, sizeof text, "%.*s", (int)name.size, name.data);
    while (kf_now() < deadline) {
        int32_t count = 0;
        if (kf_client_partitions(topic->client, text, deadline, &count, NULL) == KF_OK)
            return;
        kf_sleep(50 * KF_MILLISECOND);
    }
}

static int take_created(const struct topic *topic, const struct kf_create_topics_response *answer)
{
    int code = KF__EXIT_DONE;
    for (int32_t i = 0; i < answer->topics.count; i++) {
        const struct kf_create_topics_response_creatable_topic_result *row =
            &answer->topics.items[i];
        kf_err err = row->error_code;
        if (err == KF_ERR_TOPIC_ALREADY_EXISTS && topic->if_not_exists)
            err = KF_OK;
        else if (err)
            tell(topic, row->name, err, row->error_message);
        else
            wait_until_known(topic, row->name);
        code = worse(code, err);
    }
    return code;
}

static int create(const struct topic *topic)
{
    const struct kf__texts *names = &topic->command.arguments;
    kf_error error = KF_ERROR_INIT;
    if (topic->partitions > INT32_MAX || topic->replicas > INT16_MAX || topic->partitions == 0 ||
        topic->replicas == 0)
        return kf__usage_error(&topic->command, "-p and -r begin at 1");
    topic_config *configs;
    int code = make_configs(topic, &configs);
    creatable_topic *rows = calloc(names->count, sizeof *rows);
    if (!rows)
        code = KF__EXIT_PARTLY;
    for (size_t i = 0; i < names->count && code == KF__GO_ON; i++) {
        rows[i].name = string_of(names->items[i]);
        rows[i].num_partitions = (int32_t)topic->partitions;
        rows[i].replication_factor = (int16_t)topic->replicas;
        rows[i].configs.items = configs;
        rows[i].configs.count = (int32_t)topic->configs.count;
    }
    if (code == KF__GO_ON) {
        struct kf_create_topics_request request;
        kf_response response = {0};
        kf_reset(&kf_schema_of_create_topics_request, &request);
        request.topics.items = rows;
        request.topics.count = (int32_t)names->count;
        request.timeout_ms = (int32_t)topic->command.timeout_ms;
        code = kf_call(topic->client, KF_NODE_CONTROLLER, &kf_schema_of_create_topics_request, -1,
                       &request, kf__command_deadline(&topic->command), &response, &error)
                   ? kf__report(&topic->command, &error)
                   : take_created(topic, response.message);
        kf_response_free(&response);
    }
    free(rows);
    free(configs);
    return code;
}

/* ---- delete ---- */

static int take_deleted(const struct topic *topic, const struct kf_delete_topics_response *answer)
{
    int code = KF__EXIT_DONE;
    for (int32_t i = 0; i < answer->responses.count; i++) {
        const struct kf_delete_topics_response_deletable_topic_result *row =
            &answer->responses.items[i];
        kf_err err = row->error_code;
        if (err == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION && topic->if_exists)
            err = KF_OK;
        else if (err)
            tell(topic, row->name, err, row->error_message);
        code = worse(code, err);
    }
    return code;
}

static int delete_topics(const struct topic *topic)
{
    const struct kf__texts *names = &topic->command.arguments;
    struct kf_delete_topics_request request;
    kf_response response = {0};
    kf_error error = KF_ERROR_INIT;
    kf_string *rows = calloc(names->count, sizeof *rows);
    if (!rows)
        return KF__EXIT_PARTLY;
    for (size_t i = 0; i < names->count; i++)
        rows[i] = string_of(names->items[i]);
    /* Up to version 5 topics stand by name; from 6 on by name or id, which old brokers lack. */
    int16_t least, most;
    int16_t version = 5;
    if (kf_client_api_versions(topic->client, KF_NODE_ANY, KF_API_DELETE_TOPICS,
                               kf__command_deadline(&topic->command), &least, &most,
                               NULL) == KF_OK &&
        most < version)
        version = most;
    kf_reset(&kf_schema_of_delete_topics_request, &request);
    request.topic_names.items = rows;
    request.topic_names.count = (int32_t)names->count;
    request.timeout_ms = (int32_t)topic->command.timeout_ms;
    int code = kf_call(topic->client, KF_NODE_CONTROLLER, &kf_schema_of_delete_topics_request,
                       version, &request, kf__command_deadline(&topic->command), &response, &error)
                   ? kf__report(&topic->command, &error)
                   : take_deleted(topic, response.message);
    kf_response_free(&response);
    free(rows);
    return code;
}

/* ---- the verb ---- */

struct action {
    const char *name;
    const char *verb;
    bool needs_topic;
};

static const struct action actions[] = {
    {"list", "topic list", false},
    {"describe", "topic describe", false},
    {"create", "topic create", true},
    {"delete", "topic delete", true},
};

static int act(struct topic *topic, const struct action *action)
{
    kf_error error = KF_ERROR_INIT;
    if (action->needs_topic && topic->command.arguments.count == 0)
        return kf__usage_error(&topic->command, "name a topic");
    if (action == &actions[0] && topic->command.arguments.count)
        return kf__usage_error(&topic->command, "list takes no topic");
    topic->client = kf_client_new(topic->command.config, &error);
    if (!topic->client)
        return kf__report(&topic->command, &error);
    int code = action == &actions[2]   ? create(topic)
               : action == &actions[3] ? delete_topics(topic)
                                       : print_topics(topic, action == &actions[1]);
    kf_client_close(topic->client);
    return code;
}

int kf__verb_topic(int argc, char **argv)
{
    struct topic topic = {
        .command = {.verb = "topic",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
        .partitions = -1,
        .replicas = -1,
    };
    const struct action *action = NULL;
    for (size_t i = 0; i < sizeof actions / sizeof *actions && argc > 1; i++)
        if (strcmp(argv[1], actions[i].name) == 0)
            action = &actions[i];
    if (action)
        topic.command.verb = action->verb;
    int code = kf__command_read(&topic.command, action ? argc - 1 : argc, action ? argv + 1 : argv,
                                &topic);
    if (code == KF__GO_ON)
        code = action ? act(&topic, action)
                      : kf__usage_error(&topic.command, "list, create, describe or delete?");
    code = kf__finish(&topic.command, code);
    free(topic.configs.items);
    kf__command_free(&topic.command);
    return code;
}
