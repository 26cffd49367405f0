/*
 * consumer_settings: what is configured for a consumer group: its own configs
 * within the broker's limits, else the broker's. The coordinator asks for it by
 * its `settings` callback. And what the broker's configs say of classic groups,
 * which JoinGroup looks up.
 */
#include "tools/broker/state.h"

#include <strings.h>

/* Kafka clamps a group's own value where the broker's limits have moved since. */
static int64_t of_group(const struct kf_broker *broker, kf_string group, const char *name)
{
    char key[64], least[64], most[64];
    snprintf(key, sizeof key, "consumer.%s", name);
    snprintf(least, sizeof least, "group.consumer.min.%s", name);
    snprintf(most, sizeof most, "group.consumer.max.%s", name);
    int64_t value = kf__configs_number(&broker->configs, KF__RESOURCE_GROUP, group, key);
    if (!kf__configs_own(&broker->configs, KF__RESOURCE_GROUP, group, kf__text(key)).data)
        return value;
    int64_t low = kf__broker_config(broker, least), high = kf__broker_config(broker, most);
    return value < low ? low : value > high ? high : value;
}

static int migration_of(const struct kf_broker *broker)
{
    kf_string policy = kf__configs_value(&broker->configs, KF__RESOURCE_BROKER, kf__text(""),
                                         "group.consumer.migration.policy");
    static const struct {
        const char *name;
        int migration;
    } rows[] = {{"bidirectional", KF__MIGRATE_UP | KF__MIGRATE_DOWN},
                {"upgrade", KF__MIGRATE_UP},
                {"downgrade", KF__MIGRATE_DOWN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (policy.size == strlen(rows[i].name) &&
            strncasecmp(policy.data, rows[i].name, policy.size) == 0)
            return rows[i].migration;
    return KF__MIGRATE_NEVER;
}

/* Ours are Kafka's two; others would be a plug-in's. */
static void take_assignors(const struct kf_broker *broker, struct kf__consumer_settings *settings)
{
    kf_string names = kf__configs_value(&broker->configs, KF__RESOURCE_BROKER, kf__text(""),
                                        "group.consumer.assignors");
    kf_string first = {0};
    size_t at = 0;
    (void)kf__list_next(names, &at, &first);
    settings->no_uniform = !kf__list_has(names, kf__text("uniform"));
    settings->no_range = !kf__list_has(names, kf__text("range"));
    settings->range_first = kf__text_equal(first, kf__text("range"));
}

void kf__consumer_settings_of(void *context, kf_string group,
                              struct kf__consumer_settings *settings)
{
    const struct kf_broker *broker = context;
    *settings = (struct kf__consumer_settings){
        .session_timeout = of_group(broker, group, "session.timeout.ms") * KF_MILLISECOND,
        .assignment_interval = of_group(broker, group, "assignment.interval.ms") * KF_MILLISECOND,
        .heartbeat_ms = (int32_t)of_group(broker, group, "heartbeat.interval.ms"),
        .max_size = (int32_t)kf__broker_config(broker, "group.consumer.max.size"),
        .classic_max_size = (int32_t)kf__broker_config(broker, "group.max.size"),
        .migration = migration_of(broker),
    };
    take_assignors(broker, settings);
}

bool kf__consumer_groups_are_on(const struct kf_broker *broker)
{
    kf_string protocols = kf__configs_value(&broker->configs, KF__RESOURCE_BROKER, kf__text(""),
                                            "group.coordinator.rebalance.protocols");
    return kf__feature_is_on(&broker->features, "group.version") &&
           kf__list_has(protocols, kf__text("consumer"));
}

void kf__classic_settings_take(struct kf_broker *broker)
{
    struct kf__coordinator *classic = &broker->coordinator;
    classic->initial_delay =
        kf__broker_config(broker, "group.initial.rebalance.delay.ms") * KF_MILLISECOND;
    classic->min_session_timeout =
        kf__broker_config(broker, "group.min.session.timeout.ms") * KF_MILLISECOND;
    classic->max_session_timeout =
        kf__broker_config(broker, "group.max.session.timeout.ms") * KF_MILLISECOND;
    classic->max_size = (int32_t)kf__broker_config(broker, "group.max.size");
}
