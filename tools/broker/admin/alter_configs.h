/*
 * alter_configs: whether a config may be set, with Kafka's errors and
 * sentences, and what follows when it is. Called by CreateTopics,
 * AlterConfigs, IncrementalAlterConfigs and calls.c.
 */
#ifndef KF_BROKER_ALTER_CONFIGS_H
#define KF_BROKER_ALTER_CONFIGS_H

#include "tools/broker/admin/configs.h"
#include <kafiber/codec.h>

struct kf_broker;

/* Kafka's numbers. */
enum kf__config_operation {
    KF__CONFIG_SET = 0,
    KF__CONFIG_DELETE = 1,
    KF__CONFIG_APPEND = 2,
    KF__CONFIG_SUBTRACT = 3,
};

struct kf__config_change {
    kf_string name;
    kf_string value;
    int8_t operation;
};

struct kf__config_changes {
    int8_t resource;
    kf_string name;
    const struct kf__config_change *items;
    size_t count;
    bool replace;       /* what isn't named goes (AlterConfigs) */
    bool validate_only; /* nothing changes */
    bool has_twin;      /* another one of the request is of the same resource */
    int32_t node;       /* that was asked; 0: not by a request */
};

/* All or nothing. `why` (KF__MAX_WHY_BYTES) says more where the result is an error, or is empty. */
kf_err kf__alter_configs(struct kf_broker *broker, const struct kf__config_changes *changes,
                         char *why);

/* A setting that in Kafka only a server.properties can give to all brokers. INVALID_REQUEST: it is
   none, or doesn't take the value. Null: back to its default. */
kf_err kf__set_read_only(struct kf_broker *broker, kf_string key, kf_string value);

/* Sets has_twin of all that a request alters. NO_MEMORY. */
kf_err kf__alter_find_twins(kf_arena *arena, struct kf__config_changes *all, int32_t count);
/* One of them: first whether it may, and is named only once. */
struct kf__exchange;
kf_err kf__alter_asked(struct kf__exchange *exchange, const struct kf__config_changes *asked,
                       char *why);

/* One topic config by its value alone: CreateTopics. */
kf_err kf__check_topic_config(kf_string name, kf_string value, char *why);

/* Topics read their settings again: one of them, or NULL for all. */
struct kf__topic;
void kf__apply_configs(struct kf_broker *broker, struct kf__topic *topic);

#endif
