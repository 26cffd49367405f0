#include "tools/broker/admin/alter_configs.h"

#include "tools/broker/admin/authorize.h"
#include "tools/broker/group/topic_regex.h"
#include "tools/broker/server/twins.h"
#include "tools/broker/state.h"

#include <stdlib.h>

/* ---- what a kind of resource allows ---- */

static kf_err refuse(kf_err err, char *why, const char *format, kf_string about)
{
    int shown = (int)(about.size < 250 ? about.size : 250);
    snprintf(why, KF__MAX_WHY_BYTES, format, shown, about.data ? about.data : "");
    return err;
}

/* Is it this node that is named? "01" names it as well. */
static kf_err check_node(const struct kf__config_changes *changes, const char *other, char *why)
{
    int32_t id;
    kf_string name = changes->name;
    if (!kf__java_int(name, &id))
        return refuse(KF_ERR_INVALID_REQUEST, why, "Node id must be an integer, but it is: %.*s",
                      name);
    if (id == changes->node)
        return KF_OK;
    int used = snprintf(why, KF__MAX_WHY_BYTES, other, (int)changes->node);
    snprintf(why + used, (size_t)(KF__MAX_WHY_BYTES - used), " received %.*s", (int)name.size,
             name.data);
    return KF_ERR_INVALID_REQUEST;
}

static kf_err check_name(const struct kf_broker *broker, const struct kf__config_changes *changes,
                         char *why)
{
    kf_string name = changes->name;
    switch (changes->resource) {
    case KF__RESOURCE_TOPIC:
        if (name.size == 0)
            return refuse(KF_ERR_INVALID_REQUEST, why,
                          "Default topic resources are not allowed.%.*s", name);
        if (!kf__broker_topics_find(&broker->topics, name))
            return refuse(KF_ERR_UNKNOWN_TOPIC_OR_PARTITION, why,
                          "The topic '%.*s' does not exist.", name);
        return KF_OK;
    case KF__RESOURCE_GROUP:
        if (name.size == 0)
            return refuse(KF_ERR_INVALID_REQUEST, why,
                          "Default group resources are not allowed.%.*s", name);
        return KF_OK;
    case KF__RESOURCE_METRICS:
        if (name.size == 0)
            return refuse(KF_ERR_INVALID_REQUEST, why,
                          "Default client metrics resources are not allowed.%.*s", name);
        return KF_OK;
    case KF__RESOURCE_BROKER:
        return name.size == 0 ? KF_OK
                              : check_node(changes, "Unexpected broker id, expected %d, but", why);
    case KF__RESOURCE_LOGGER:
        if (!changes->replace)
            return check_node(changes, "Unexpected node id. Expected %d, but", why);
        break;
    default:
        break;
    }
    snprintf(why, KF__MAX_WHY_BYTES, "Unknown resource type %d", changes->resource);
    return KF_ERR_INVALID_REQUEST;
}

static kf_err check_unknown(int8_t resource, kf_string key, char *why)
{
    switch (resource) {
    case KF__RESOURCE_TOPIC:
        return refuse(KF_ERR_INVALID_CONFIG, why, "Unknown topic config name: %.*s", key);
    case KF__RESOURCE_GROUP:
        return refuse(KF_ERR_INVALID_CONFIG, why, "Unknown group config name: %.*s", key);
    case KF__RESOURCE_METRICS:
        return refuse(KF_ERR_INVALID_REQUEST, why, "Unknown client metrics configuration: %.*s",
                      key);
    default:
        return KF_OK; /* a broker keeps what it doesn't know, for plug-ins */
    }
}

/* "consumer.session.timeout.ms" stays within group.consumer.min.session.timeout.ms and …max…. */
static kf_err check_group_range(const struct kf_broker *broker, kf_string key, kf_string value,
                                char *why)
{
    char digits[24], bound[2][120];
    int64_t limit[2];
    const char *dot = memchr(key.data, '.', key.size);
    if (!dot || value.size >= sizeof digits)
        return KF_OK;
    memcpy(digits, value.data, value.size);
    digits[value.size] = 0;
    int64_t number = strtoll(digits, NULL, 10);
    int head = (int)(dot - key.data), tail = (int)key.size - head - 1;
    for (int i = 0; i < 2; i++) {
        snprintf(bound[i], sizeof bound[i], "group.%.*s.%s.%.*s", head, key.data,
                 i == 0 ? "min" : "max", tail, dot + 1);
        if (!kf__setting_find(KF__RESOURCE_BROKER, kf__text(bound[i])))
            return KF_OK;
        limit[i] = kf__broker_config(broker, bound[i]);
    }
    if (number >= limit[0] && number <= limit[1])
        return KF_OK;
    snprintf(why, KF__MAX_WHY_BYTES, "%.*s must be in the range %lld to %lld inclusive.",
             (int)key.size, key.data, (long long)limit[0], (long long)limit[1]);
    return KF_ERR_INVALID_CONFIG;
}

/* Kafka's client attributes that a subscription may look at. */
static bool is_match(const struct kf_broker *broker, kf_string item)
{
    static const char names[] = "client_instance_id,client_id,client_software_name,"
                                "client_software_version,client_source_address,client_source_port";
    const char *equals = item.size > 0 ? memchr(item.data, '=', item.size) : NULL;
    if (!equals || equals == item.data + item.size - 1)
        return false;
    size_t size = (size_t)(equals - item.data);
    struct kf__regex *pattern = NULL;
    const char *what;
    kf_err err = kf__regex_compile(broker->alloc, (kf_string){equals + 1, item.size - size - 1},
                                   &pattern, &what);
    kf__regex_free(pattern);
    return !err && kf__list_has(kf__text(names), (kf_string){item.data, size});
}

static kf_err check_metrics(const struct kf_broker *broker, kf_string key, kf_string value,
                            char *why)
{
    if (kf__text_equal(key, kf__text("interval.ms"))) {
        char digits[24] = "";
        if (value.size < sizeof digits)
            memcpy(digits, value.data, value.size);
        long long number = strtoll(digits, NULL, 10);
        if (number >= 100 && number <= 3600000)
            return KF_OK;
        return refuse(
            KF_ERR_INVALID_REQUEST, why,
            "Invalid value %.*s for interval.ms, interval must be between 100 and 3600000 "
            "(1 hour)",
            value);
    }
    size_t at = 0;
    kf_string item;
    while (kf__text_equal(key, kf__text("match")) && kf__list_next(value, &at, &item))
        if (!is_match(broker, item))
            return refuse(KF_ERR_INVALID_CONFIG, why, "Illegal client matching pattern: %.*s",
                          item);
    return KF_OK;
}

kf_err kf__check_topic_config(kf_string name, kf_string value, char *why)
{
    static const char tiered[] = "remote.storage.enable";
    const struct kf__setting *setting = kf__setting_find(KF__RESOURCE_TOPIC, name);
    if (!setting)
        return check_unknown(KF__RESOURCE_TOPIC, name, why);
    if (!value.data)
        return refuse(KF_ERR_INVALID_CONFIG, why,
                      "Null value not supported for topic configs: %.*s", name);
    if (!kf__setting_takes(setting, value, why))
        return KF_ERR_INVALID_CONFIG;
    if (kf__text_equal(name, kf__text(tiered)) && kf__text_equal(value, kf__text("true")))
        return refuse(KF_ERR_INVALID_CONFIG, why,
                      "Tiered Storage functionality is disabled in the broker. Topic cannot be "
                      "configured with remote log storage.%.*s",
                      (kf_string){0});
    return KF_OK;
}

/* There is one logger. */
static kf_err check_level(const struct kf__config_change *change, char *why)
{
    static const char levels[] = "DEBUG, ERROR, FATAL, INFO, TRACE, WARN";
    bool root = kf__text_equal(change->name, kf__text("root"));
    bool sets = change->operation == KF__CONFIG_SET;
    if (!sets && change->operation != KF__CONFIG_DELETE)
        return refuse(KF_ERR_INVALID_REQUEST, why,
                      "%.*s operation is not allowed for the BROKER_LOGGER resource",
                      kf__text(change->operation == KF__CONFIG_APPEND ? "APPEND" : "SUBTRACT"));
    if (!root)
        return refuse(KF_ERR_INVALID_CONFIG, why, "Logger %.*s does not exist!", change->name);
    if (!sets)
        return refuse(KF_ERR_INVALID_REQUEST, why,
                      "Removing the log level of the %.*s logger is not allowed", change->name);
    if (kf__list_has(kf__text(levels), change->value))
        return KF_OK;
    snprintf(why, KF__MAX_WHY_BYTES,
             "Cannot set the log level of root to %.*s as it is not a supported log level. Valid "
             "log levels are %s",
             (int)(change->value.size < 250 ? change->value.size : 250), change->value.data,
             levels);
    return KF_ERR_INVALID_CONFIG;
}

static kf_err check_value(const struct kf_broker *broker, int8_t resource, kf_string key,
                          kf_string value, char *why)
{
    const struct kf__setting *setting = kf__setting_find(resource, key);
    if (resource == KF__RESOURCE_TOPIC)
        return kf__check_topic_config(key, value, why);
    if (!setting)
        return check_unknown(resource, key, why);
    if (setting->read_only)
        return refuse(KF_ERR_INVALID_REQUEST, why,
                      "Cannot update these configs dynamically: [%.*s]", key);
    if (!kf__setting_takes(setting, value, why))
        return resource == KF__RESOURCE_GROUP ? KF_ERR_INVALID_CONFIG : KF_ERR_INVALID_REQUEST;
    if (resource == KF__RESOURCE_GROUP)
        return check_group_range(broker, key, value, why);
    return resource == KF__RESOURCE_METRICS ? check_metrics(broker, key, value, why) : KF_OK;
}

/* ---- changes ---- */

/* `list` with the items of `value` added or taken out, in `into`. */
static kf_err edit_list(kf_string list, const struct kf__config_change *change, char *into,
                        size_t size)
{
    size_t used = 0, at = 0;
    kf_string item;
    bool append = change->operation == KF__CONFIG_APPEND;
    into[0] = 0;
    for (int pass = 0; pass < (append ? 2 : 1); pass++) {
        at = 0;
        while (kf__list_next(pass == 0 ? list : change->value, &at, &item)) {
            bool skip = append ? pass == 1 && kf__list_has(kf__text(into), item)
                               : kf__list_has(change->value, item);
            if (skip)
                continue;
            if (used + item.size + 2 > size)
                return KF_ERR_INVALID_CONFIG;
            if (used > 0)
                into[used++] = ',';
            memcpy(into + used, item.data, item.size);
            used += item.size;
            into[used] = 0;
        }
    }
    return KF_OK;
}

/* What the change amounts to: a value in *value (perhaps in `room`), or null: out. */
static kf_err resolve(const struct kf_broker *broker, const struct kf__config_changes *all,
                      const struct kf__config_change *change, char *room, kf_string *value,
                      char *why)
{
    const struct kf__setting *setting = kf__setting_find(all->resource, change->name);
    *value = change->value;
    if (all->resource == KF__RESOURCE_LOGGER)
        return check_level(change, why);
    kf_err err = KF_OK;
    switch (change->operation) {
    case KF__CONFIG_SET:
        err = check_value(broker, all->resource, change->name, *value, why);
        if (!err && setting)
            *value = kf__setting_canon(setting, *value, room, KF__MAX_LIST_BYTES);
        return err;
    case KF__CONFIG_DELETE:
        *value = (kf_string){0};
        return KF_OK;
    case KF__CONFIG_APPEND:
    case KF__CONFIG_SUBTRACT:
        break;
    default:
        return KF_ERR_UNKNOWN_SERVER_ERROR;
    }
    if (!setting || setting->type != KF__SETTING_LIST) {
        snprintf(why, KF__MAX_WHY_BYTES, "Can't %s to key %.*s because its type is not LIST.",
                 change->operation == KF__CONFIG_APPEND ? "APPEND" : "SUBTRACT",
                 (int)change->name.size, change->name.data);
        return KF_ERR_INVALID_CONFIG;
    }
    kf_string now = kf__configs_own(&broker->configs, all->resource, all->name, change->name);
    if (!now.data)
        now = kf__text(setting->value);
    err = edit_list(now, change, room, KF__MAX_LIST_BYTES);
    *value = kf__text(room);
    return err ? err : check_value(broker, all->resource, change->name, *value, why);
}

enum {
    MAX_CHANGES = 1000, /* of one resource: there are fewer configs than that */
};

static kf_err check_shape(const struct kf__config_changes *changes, char *why)
{
    if (changes->count > MAX_CHANGES)
        return refuse(KF_ERR_INVALID_REQUEST, why, "Too many configs%.*s", (kf_string){0});
    for (size_t i = 0; i < changes->count; i++)
        for (size_t j = 0; j < i; j++)
            if (kf__text_equal(changes->items[i].name, changes->items[j].name))
                return refuse(KF_ERR_INVALID_REQUEST, why, "Error due to duplicate config keys%.*s",
                              (kf_string){0});
    for (size_t i = 0; i < changes->count; i++)
        if (!changes->items[i].value.data && changes->items[i].operation != KF__CONFIG_DELETE)
            return refuse(KF_ERR_INVALID_REQUEST, why, "Null value not supported for : %.*s",
                          changes->items[i].name);
    return KF_OK;
}

/* Into the draft; NULL: only looks whether they may be made. */
static kf_err make_changes(const struct kf_broker *broker, const struct kf__config_changes *changes,
                           struct kf__configs *draft, char *why)
{
    char room[KF__MAX_LIST_BYTES];
    kf_err err = KF_OK;
    for (size_t i = 0; !err && i < changes->count; i++) {
        kf_string value;
        err = resolve(broker, changes, &changes->items[i], room, &value, why);
        if (!err && draft)
            err = kf__configs_set(draft, changes->resource, changes->name, changes->items[i].name,
                                  value);
    }
    return err;
}

/* All or none. AlterConfigs begins with nothing: what isn't named goes back to the default. */
static kf_err carry_out(struct kf_broker *broker, const struct kf__config_changes *changes,
                        char *why)
{
    struct kf__configs draft;
    kf_err err = kf__configs_draft(&broker->configs, changes->resource, changes->name,
                                   changes->replace, &draft);
    if (!err)
        err = make_changes(broker, changes, &draft, why);
    if (!err)
        err = kf__configs_adopt(&broker->configs, &draft, changes->resource, changes->name);
    kf__configs_free(&draft);
    return err;
}

kf_err kf__set_read_only(struct kf_broker *broker, kf_string key, kf_string value)
{
    char why[KF__MAX_WHY_BYTES];
    const struct kf__setting *setting = kf__setting_find(KF__RESOURCE_BROKER, key);
    if (!setting || !setting->read_only || (value.data && !kf__setting_takes(setting, value, why)))
        return KF_ERR_INVALID_REQUEST;
    char room[KF__MAX_LIST_BYTES];
    struct kf__configs draft;
    kf_string none = kf__text("");
    value = kf__setting_canon(setting, value, room, sizeof room);
    kf_err err = kf__configs_draft(&broker->configs, KF__RESOURCE_STATIC, none, false, &draft);
    if (!err)
        err = kf__configs_set(&draft, KF__RESOURCE_STATIC, none, key, value);
    if (!err)
        err = kf__configs_convert_ages(&draft);
    if (!err)
        err = kf__configs_adopt(&broker->configs, &draft, KF__RESOURCE_STATIC, none);
    kf__configs_free(&draft);
    if (err)
        return err;
    broker->txns.expiration_ms = kf__broker_config(broker, "transactional.id.expiration.ms");
    broker->sasl.max_reauth_ms = kf__broker_config(broker, "connections.max.reauth.ms");
    kf__apply_configs(broker, NULL);
    return KF_OK;
}

kf_err kf__alter_configs(struct kf_broker *broker, const struct kf__config_changes *changes,
                         char *why)
{
    why[0] = 0;
    kf_err err = check_shape(changes, why);
    if (!err)
        err = check_name(broker, changes, why);
    if (!err && changes->validate_only)
        return make_changes(broker, changes, NULL, why);
    if (!err)
        err = carry_out(broker, changes, why);
    if (err)
        return err;
    if (changes->resource == KF__RESOURCE_TOPIC)
        kf__apply_configs(broker, kf__broker_topics_find(&broker->topics, changes->name));
    else if (changes->resource == KF__RESOURCE_BROKER)
        kf__apply_configs(broker, NULL);
    broker->changes++;
    return KF_OK;
}

/* ---- what the log obeys ---- */

static void read_settings(const struct kf__configs *configs, kf_string topic,
                          struct kf__topic_settings *s)
{
    struct number {
        const char *key;
        int64_t *into;
    };
    int64_t insync, level = 0;
    const struct number numbers[] = {
        {"max.message.bytes", &s->max_message_bytes},
        {"max.decompressed.message.bytes", &s->max_unpacked_record_bytes},
        {"segment.bytes", &s->segment_bytes},
        {"retention.ms", &s->retention_ms},
        {"retention.bytes", &s->retention_bytes},
        {"delete.retention.ms", &s->delete_retention_ms},
        {"min.compaction.lag.ms", &s->min_compaction_lag_ms},
        {"message.timestamp.before.max.ms", &s->before_max_ms},
        {"message.timestamp.after.max.ms", &s->after_max_ms},
        {"min.insync.replicas", &insync},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i].into = kf__configs_number(configs, KF__RESOURCE_TOPIC, topic, numbers[i].key);
    s->min_insync_replicas = (int32_t)insync;

    kf_string policy = kf__configs_value(configs, KF__RESOURCE_TOPIC, topic, "cleanup.policy");
    kf_string stamp =
        kf__configs_value(configs, KF__RESOURCE_TOPIC, topic, "message.timestamp.type");
    kf_string unclean =
        kf__configs_value(configs, KF__RESOURCE_TOPIC, topic, "unclean.leader.election.enable");
    s->deletes = kf__list_has(policy, kf__text("delete"));
    s->compacts = kf__list_has(policy, kf__text("compact"));
    s->append_time = kf__text_equal(stamp, kf__text("LogAppendTime"));
    s->unclean_election = kf__text_equal(unclean, kf__text("true"));

    kf_string codec = kf__configs_value(configs, KF__RESOURCE_TOPIC, topic, "compression.type");
    char level_key[64];
    enum kf_codec number;
    s->codec = kf__text_equal(codec, kf__text("uncompressed")) ? KF_CODEC_NONE : -1;
    if (codec.data && kf__codec_by_name(codec.data, &number)) {
        s->codec = (int8_t)number;
        snprintf(level_key, sizeof level_key, "compression.%s.level", codec.data);
        if (kf__setting_find(KF__RESOURCE_TOPIC, kf__text(level_key)))
            level = kf__configs_number(configs, KF__RESOURCE_TOPIC, topic, level_key);
    }
    s->level = level == -1 ? 0 : (int32_t)level;
}

/* Most topics have nothing of their own: what they all obey is read once. */
static void apply(struct kf_broker *broker, struct kf__topic *topic)
{
    const struct kf__configs *configs = &broker->configs;
    if (kf__configs_find(configs, KF__RESOURCE_TOPIC, topic->name)) {
        read_settings(configs, topic->name, &topic->settings);
        return;
    }
    if (!broker->knows_plain || broker->plain_as_of != configs->changes)
        read_settings(configs, kf__text(""), &broker->plain);
    broker->knows_plain = true;
    broker->plain_as_of = configs->changes;
    topic->settings = broker->plain;
}

void kf__apply_configs(struct kf_broker *broker, struct kf__topic *topic)
{
    if (topic) {
        apply(broker, topic);
        return;
    }
    broker->knows_plain = false; /* they may be others altogether */
    for (size_t i = 0; i < broker->topics.count; i++)
        apply(broker, broker->topics.items[i]);
}

/* ---- by request ---- */

kf_err kf__alter_find_twins(kf_arena *arena, struct kf__config_changes *all, int32_t count)
{
    struct kf__named *names = kf_arena_alloc(arena, ((size_t)count + 1) * sizeof *names);
    for (int32_t i = 0; names && i < count; i++)
        names[i] = (struct kf__named){.kind = all[i].resource, .text = all[i].name};
    const char *marks = names ? kf__mark_twins(arena, names, count) : NULL;
    for (int32_t i = 0; marks && i < count; i++)
        all[i].has_twin = marks[i] != KF__ONCE;
    return marks ? KF_OK : KF_ERR_NO_MEMORY;
}

kf_err kf__alter_asked(struct kf__exchange *exchange, const struct kf__config_changes *asked,
                       char *why)
{
    why[0] = 0;
    kf_err err = kf__forced_all(exchange);
    if (!err)
        err = kf__may_configure(exchange, KF__ACL_ALTER_CONFIGS, asked->resource, asked->name);
    if (err)
        return err;
    if (!asked->has_twin)
        return kf__alter_configs(exchange->broker, asked, why);
    snprintf(why, KF__MAX_WHY_BYTES, "Each resource must appear at most once.");
    return KF_ERR_INVALID_REQUEST;
}
