/*
 * group: `kf group list|describe|lag`.
 *
 *   OffsetFetch ──▶ rows with committed offsets ◀── DescribeGroups, ConsumerGroupDescribe
 *                          │                        (members and what they own)
 *                     ListOffsets ──▶ ends, lag
 */
#include "tools/kf/options.h"
#include "tools/kf/table.h"
#include "tools/kf/verbs.h"

#include <kafiber/messages.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: kf group list\n"
    "       kf group describe GROUP...    members, what they own, how far they are\n"
    "       kf group lag GROUP...         how far the group is, without its members\n"
    "\n"
    "      --json   one JSON object a line\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "  kf group list --json\n"
    "  kf group lag billing\n";

/* One partition of a group, or a member that has none. */
struct row {
    kf_string topic; /* NULL: none */
    int32_t partition;
    int64_t committed; /* -1: none */
    int64_t end;       /* -1: not known */
    kf_string member;  /* NULL: nobody's */
    kf_string host;
    kf_string client_id;
};

struct group {
    struct kf__command command;
    kf_client *client;
    const char *name; /* the one being described */
    int32_t node;     /* its coordinator */
    kf_arena arena;   /* the rows' strings */
    struct row *rows;
    size_t count;
    bool exists;
};

static kf_string string_of(const char *text) { return (kf_string){text, strlen(text)}; }

static kf_string copy(struct group *group, kf_string text)
{
    char *bytes = text.data ? kf_arena_alloc(&group->arena, text.size + 1) : NULL;
    if (bytes)
        memcpy(bytes, text.data, text.size);
    return (kf_string){bytes, bytes ? text.size : 0};
}

static bool same(kf_string a, kf_string b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static int give_up(const struct group *group, kf_err err, const char *what)
{
    kf_error error = KF_ERROR_INIT;
    kf_error_set(&error, err, "group \"%s\": %s: %s", group->name, what, kf_err_text(err));
    return kf__report(&group->command, &error);
}

/* ---- list ---- */

static const struct kf__column list_columns[] = {
    {"GROUP", "group", KF__CELL_TEXT},
    {"TYPE", "type", KF__CELL_TEXT},
    {"PROTOCOL", "protocol", KF__CELL_TEXT},
    {"STATE", "state", KF__CELL_TEXT},
};

/* Empty where the version has no such field. */
static void add_optional(struct kf__table *table, kf_string text)
{
    if (text.size)
        kf__table_string(table, text);
    else
        kf__table_text(table, NULL);
}

static int list_of_node(const struct group *group, int32_t node, struct kf__table *table)
{
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    struct kf_list_groups_request request;
    kf_reset(&kf_schema_of_list_groups_request, &request);
    if (kf_call(group->client, node, &kf_schema_of_list_groups_request, -1, &request,
                kf__command_deadline(&group->command), &response, &error))
        return kf__report(&group->command, &error);
    const struct kf_list_groups_response *answer = response.message;
    kf_err err = answer->error_code;
    for (int32_t i = 0; i < answer->groups.count; i++) {
        kf__table_string(table, answer->groups.items[i].group_id);
        add_optional(table, answer->groups.items[i].group_type);
        add_optional(table, answer->groups.items[i].protocol_type);
        add_optional(table, answer->groups.items[i].group_state);
    }
    kf_response_free(&response);
    kf_error_set(err ? &error : NULL, err, "broker %d: %s", (int)node, kf_err_text(err));
    return err ? kf__report(&group->command, &error) : KF__EXIT_DONE;
}

/* A broker that can't be asked is named; the others' groups are printed all the same. */
static int list(const struct group *group)
{
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    struct kf_metadata_request request;
    kf_reset(&kf_schema_of_metadata_request, &request);
    request.topics.items = NULL;
    request.topics.count = 0;
    if (kf_call(group->client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
                kf__command_deadline(&group->command), &response, &error))
        return kf__report(&group->command, &error);
    const struct kf_metadata_response *answer = response.message;
    struct kf__table table = {.columns = list_columns,
                              .width = sizeof list_columns / sizeof *list_columns};
    int code = KF__EXIT_DONE;
    for (int32_t i = 0; i < answer->brokers.count; i++) {
        int mine = list_of_node(group, answer->brokers.items[i].node_id, &table);
        code = code == KF__EXIT_DONE ? mine : KF__EXIT_PARTLY;
    }
    kf__table_sort(&table);
    if (!kf__table_print(&table, group->command.json))
        code = KF__EXIT_PARTLY;
    kf__table_free(&table);
    kf_response_free(&response);
    return code;
}

/* ---- rows ---- */

static struct row *add_row(struct group *group, kf_string topic, int32_t partition)
{
    for (size_t i = 0; i < group->count && topic.data; i++)
        if (group->rows[i].partition == partition && same(group->rows[i].topic, topic))
            return &group->rows[i];
    struct row *rows = realloc(group->rows, (group->count + 1) * sizeof *rows);
    if (!rows)
        return NULL;
    group->rows = rows;
    rows[group->count] = (struct row){
        .topic = copy(group, topic), .partition = partition, .committed = -1, .end = -1};
    return &rows[group->count++];
}

static int by_topic(const void *a, const void *b)
{
    const struct row *left = a;
    const struct row *right = b;
    size_t least = left->topic.size < right->topic.size ? left->topic.size : right->topic.size;
    int order = least ? memcmp(left->topic.data, right->topic.data, least) : 0;
    if (!order)
        order = (left->topic.size > right->topic.size) - (left->topic.size < right->topic.size);
    if (!order)
        order = (left->partition > right->partition) - (left->partition < right->partition);
    return order;
}

/* ---- committed offsets ---- */

/* The older shape, up to 7, has a name for each topic and one group, which is all that we ask. */
static int16_t older_version(const struct group *group)
{
    int16_t least, most = 7;
    if (kf_client_api_versions(group->client, group->node, KF_API_OFFSET_FETCH,
                               kf__command_deadline(&group->command), &least, &most, NULL))
        return 7;
    return most < 7 ? most : 7;
}

static int fetch_offsets(struct group *group)
{
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    struct kf_offset_fetch_request request;
    kf_reset(&kf_schema_of_offset_fetch_request, &request);
    request.group_id = string_of(group->name);
    request.topics.items = NULL;
    request.topics.count = -1;
    if (kf_call(group->client, group->node, &kf_schema_of_offset_fetch_request,
                older_version(group), &request, kf__command_deadline(&group->command), &response,
                &error))
        return kf__report(&group->command, &error);
    const struct kf_offset_fetch_response *answer = response.message;
    kf_err err = answer->error_code == KF_ERR_GROUP_ID_NOT_FOUND ? KF_OK : answer->error_code;
    for (int32_t i = 0; i < answer->topics.count; i++) {
        const struct kf_offset_fetch_response_topic *topic = &answer->topics.items[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            const struct kf_offset_fetch_response_partition *part = &topic->partitions.items[j];
            struct row *row = add_row(group, topic->name, part->partition_index);
            if (row && !part->error_code)
                row->committed = part->committed_offset;
            group->exists = true;
        }
    }
    kf_response_free(&response);
    return err ? give_up(group, err, "its offsets") : KF__GO_ON;
}

/* ---- members ---- */

struct member {
    kf_string id;
    kf_string host;
    kf_string client_id;
};

static void own(struct group *group, const struct member *member, kf_string topic,
                int32_t partition)
{
    struct row *row = add_row(group, topic, partition);
    if (!row)
        return;
    row->member = copy(group, member->id);
    row->host = copy(group, member->host);
    row->client_id = copy(group, member->client_id);
}

/* A classic member's assignment is opaque to the broker: our own codec reads it. */
static void own_assigned(struct group *group, const struct member *member, kf_bytes bytes)
{
    const kf_schema *schema = &kf_schema_of_consumer_protocol_assignment;
    struct kf_consumer_protocol_assignment assignment;
    kf_arena arena;
    size_t used;
    bool any = false;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    int newest = kf_schema_max_version(schema);
    int version = bytes.size >= 2 && bytes.data[0] < 0x80 ? bytes.data[0] << 8 | bytes.data[1] : -1;
    if (version > newest)
        version = newest;
    bool readable =
        version >= 0 && kf_decode_prefix(schema, (int16_t)version, bytes.data + 2, bytes.size - 2,
                                         &arena, &assignment, &used) == KF_OK;
    for (int32_t i = 0; readable && i < assignment.assigned_partitions.count; i++) {
        const struct kf_consumer_protocol_assignment_topic_partition *topic =
            &assignment.assigned_partitions.items[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            own(group, member, topic->topic, topic->partitions.items[j]);
            any = true;
        }
    }
    if (!any)
        own(group, member, (kf_string){NULL, 0}, -1);
    kf_arena_free(&arena);
}

/* Of the classic protocol. *found false: the coordinator has no such group, or another kind. */
static int describe_classic(struct group *group, bool *found)
{
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    kf_string name = string_of(group->name);
    struct kf_describe_groups_request request;
    kf_reset(&kf_schema_of_describe_groups_request, &request);
    request.groups.items = &name;
    request.groups.count = 1;
    *found = false;
    if (kf_call(group->client, group->node, &kf_schema_of_describe_groups_request, -1, &request,
                kf__command_deadline(&group->command), &response, &error))
        return kf__report(&group->command, &error);
    const struct kf_describe_groups_response *answer = response.message;
    kf_err err = KF_OK;
    if (answer->groups.count > 0) {
        const struct kf_describe_groups_response_described_group *row = &answer->groups.items[0];
        err = row->error_code == KF_ERR_GROUP_ID_NOT_FOUND ? KF_OK : row->error_code;
        *found = !row->error_code && !same(row->group_state, string_of("Dead"));
        for (int32_t i = 0; *found && i < row->members.count; i++) {
            struct member member = {row->members.items[i].member_id,
                                    row->members.items[i].client_host,
                                    row->members.items[i].client_id};
            own_assigned(group, &member, row->members.items[i].member_assignment);
        }
    }
    kf_response_free(&response);
    return err ? give_up(group, err, "its members") : KF__GO_ON;
}

static void take_consumer_member(struct group *group,
                                 const struct kf_consumer_group_describe_response_member *row)
{
    struct member member = {row->member_id, row->client_host, row->client_id};
    bool any = false;
    for (int32_t i = 0; i < row->assignment.topic_partitions.count; i++) {
        const struct kf_consumer_group_describe_response_topic_partitions *topic =
            &row->assignment.topic_partitions.items[i];
        for (int32_t j = 0; j < topic->partitions.count; j++) {
            own(group, &member, topic->topic_name, topic->partitions.items[j]);
            any = true;
        }
    }
    if (!any)
        own(group, &member, (kf_string){NULL, 0}, -1);
}

/* Of KIP-848's protocol, where the broker has it. */
static int describe_consumer(struct group *group, bool *found)
{
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    kf_string name = string_of(group->name);
    struct kf_consumer_group_describe_request request;
    kf_reset(&kf_schema_of_consumer_group_describe_request, &request);
    request.group_ids.items = &name;
    request.group_ids.count = 1;
    kf_err err = kf_call(group->client, group->node, &kf_schema_of_consumer_group_describe_request,
                         -1, &request, kf__command_deadline(&group->command), &response, &error);
    if (err == KF_ERR_API_NOT_SUPPORTED)
        return KF__GO_ON;
    if (err)
        return kf__report(&group->command, &error);
    const struct kf_consumer_group_describe_response *answer = response.message;
    if (answer->groups.count > 0) {
        const struct kf_consumer_group_describe_response_described_group *row =
            &answer->groups.items[0];
        bool absent = row->error_code == KF_ERR_GROUP_ID_NOT_FOUND ||
                      row->error_code == KF_ERR_UNSUPPORTED_VERSION;
        err = absent ? KF_OK : row->error_code;
        *found = !row->error_code;
        for (int32_t i = 0; *found && i < row->members.count; i++)
            take_consumer_member(group, &row->members.items[i]);
    }
    kf_response_free(&response);
    return err ? give_up(group, err, "its members") : KF__GO_ON;
}

static int fetch_members(struct group *group)
{
    bool found;
    int code = describe_classic(group, &found);
    if (code == KF__GO_ON && !found)
        code = describe_consumer(group, &found);
    group->exists |= found;
    return code;
}

/* ---- ends ---- */

static int fetch_end(struct group *group, struct row *row)
{
    char topic[250];
    int32_t node;
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    kf_time deadline = kf__command_deadline(&group->command);
    snprintf(topic, sizeof topic, "%.*s", (int)row->topic.size, row->topic.data);
    kf_err err = kf_client_leader(group->client, topic, row->partition, deadline, &node, &error);
    /* A topic that was deleted, a partition without a leader: the row stays without an end. */
    if (err == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION || err == KF_ERR_LEADER_NOT_AVAILABLE)
        return KF__GO_ON;
    if (err)
        return kf__report(&group->command, &error);
    struct kf_list_offsets_request_list_offsets_partition part = {
        .partition_index = row->partition,
        .current_leader_epoch = -1,
        .timestamp = -1,
        .max_num_offsets = 1,
    };
    struct kf_list_offsets_request_list_offsets_topic of = {.name = row->topic,
                                                            .partitions = {&part, 1}};
    struct kf_list_offsets_request request;
    kf_reset(&kf_schema_of_list_offsets_request, &request);
    request.replica_id = -1;
    request.topics.items = &of;
    request.topics.count = 1;
    if (kf_call(group->client, node, &kf_schema_of_list_offsets_request, -1, &request, deadline,
                &response, &error))
        return kf__report(&group->command, &error);
    const struct kf_list_offsets_response *answer = response.message;
    if (answer->topics.count == 1 && answer->topics.items[0].partitions.count == 1 &&
        !answer->topics.items[0].partitions.items[0].error_code)
        row->end = answer->topics.items[0].partitions.items[0].offset;
    kf_response_free(&response);
    return KF__GO_ON;
}

/* ---- describe, lag ---- */

static const struct kf__column columns[] = {
    {"GROUP", "group", KF__CELL_TEXT},
    {"TOPIC", "topic", KF__CELL_TEXT},
    {"PARTITION", "partition", KF__CELL_NUMBER},
    {"CURRENT-OFFSET", "currentOffset", KF__CELL_NUMBER},
    {"LOG-END-OFFSET", "logEndOffset", KF__CELL_NUMBER},
    {"LAG", "lag", KF__CELL_NUMBER},
    {"CONSUMER-ID", "consumerId", KF__CELL_TEXT},
    {"HOST", "host", KF__CELL_TEXT},
    {"CLIENT-ID", "clientId", KF__CELL_TEXT},
};

enum {
    ALL_COLUMNS = sizeof columns / sizeof *columns,
    LAG_COLUMNS = 6, /* without the members */
};

static void add_count(struct kf__table *table, int64_t number)
{
    if (number >= 0)
        kf__table_number(table, number);
    else
        kf__table_text(table, NULL);
}

static void print_row(const struct group *group, const struct row *row, struct kf__table *table)
{
    kf__table_text(table, group->name);
    kf__table_string(table, row->topic);
    add_count(table, row->partition);
    add_count(table, row->committed);
    add_count(table, row->end);
    bool known = row->committed >= 0 && row->end >= 0;
    add_count(table, !known ? -1 : row->end > row->committed ? row->end - row->committed : 0);
    if (table->width == LAG_COLUMNS)
        return;
    add_optional(table, row->member);
    add_optional(table, row->host);
    add_optional(table, row->client_id);
}

static int describe_one(struct group *group, bool members, struct kf__table *table)
{
    kf_error error = KF_ERROR_INIT;
    if (kf_client_coordinator(group->client, group->name, 0, kf__command_deadline(&group->command),
                              &group->node, &error))
        return kf__report(&group->command, &error);
    int code = fetch_offsets(group);
    if (code == KF__GO_ON)
        code = fetch_members(group);
    if (code == KF__GO_ON && !group->exists) {
        kf_error_set(&error, KF_ERR_GROUP_ID_NOT_FOUND,
                     "there is no group \"%s\": kf group list shows those there are", group->name);
        return kf__report(&group->command, &error);
    }
    if (group->count)
        qsort(group->rows, group->count, sizeof *group->rows, by_topic);
    for (size_t i = 0; i < group->count && code == KF__GO_ON; i++) {
        struct row *row = &group->rows[i];
        if (!row->topic.data && !members)
            continue;
        if (row->topic.data)
            code = fetch_end(group, row);
        if (code == KF__GO_ON)
            print_row(group, row, table);
    }
    return code == KF__GO_ON ? KF__EXIT_DONE : code;
}

static int describe(struct group *group, bool members)
{
    const struct kf__texts *names = &group->command.arguments;
    struct kf__table table = {.columns = columns, .width = members ? ALL_COLUMNS : LAG_COLUMNS};
    int code = KF__EXIT_DONE;
    for (size_t i = 0; i < names->count; i++) {
        group->name = names->items[i];
        kf_arena_init(&group->arena, &kf_default_allocator, 0);
        group->rows = NULL;
        group->count = 0;
        group->exists = false;
        int mine = describe_one(group, members, &table);
        code = code == KF__EXIT_DONE ? mine : code;
        free(group->rows);
        kf_arena_free(&group->arena);
    }
    bool heading = code == KF__EXIT_DONE || table.count;
    if (heading && !kf__table_print(&table, group->command.json))
        code = KF__EXIT_PARTLY;
    kf__table_free(&table);
    return code;
}

/* ---- the verb ---- */

static const struct {
    const char *name;
    const char *verb;
} actions[] = {{"list", "group list"}, {"describe", "group describe"}, {"lag", "group lag"}};

enum {
    LIST,
    DESCRIBE,
    LAG,
    ACTIONS
};

static int act(struct group *group, int action)
{
    kf_error error = KF_ERROR_INIT;
    bool named = group->command.arguments.count > 0;
    if (named == (action == LIST))
        return kf__usage_error(&group->command, named ? "list takes no group" : "name a group");
    group->client = kf_client_new(group->command.config, &error);
    if (!group->client)
        return kf__report(&group->command, &error);
    int code = action == LIST ? list(group) : describe(group, action == DESCRIBE);
    kf_client_close(group->client);
    return code;
}

int kf__verb_group(int argc, char **argv)
{
    struct group group = {.command = {.verb = "group", .usage = usage}};
    int action = 0;
    while (action < ACTIONS && (argc < 2 || strcmp(argv[1], actions[action].name) != 0))
        action++;
    bool known = action < ACTIONS;
    if (known)
        group.command.verb = actions[action].verb;
    int code =
        kf__command_read(&group.command, known ? argc - 1 : argc, known ? argv + 1 : argv, NULL);
    if (code == KF__GO_ON)
        code =
            known ? act(&group, action) : kf__usage_error(&group.command, "list, describe or lag?");
    code = kf__finish(&group.command, code);
    kf__command_free(&group.command);
    return code;
}
