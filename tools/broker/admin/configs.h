/*
 * configs: what is configured at the moment, in layers as in Kafka:
 *
 *     topic, group ─▶ broker (this node) ─▶ brokers (all) ─▶ options ─▶ default
 *
 * A resource holds only what was set; settings.h knows the rest. Pure storage:
 * whether a value may be set is decided by alter_configs.c. Called by the API
 * files and broker.c.
 */
#ifndef KF_BROKER_CONFIGS_H
#define KF_BROKER_CONFIGS_H

#include "tools/broker/admin/settings.h"
#include <kafiber/alloc.h>
#include <kafiber/error.h>

/* Kafka's numbers of where a value comes from. */
enum kf__config_source {
    KF__SOURCE_TOPIC = 1,
    KF__SOURCE_BROKER = 2,
    KF__SOURCE_BROKERS = 3,
    KF__SOURCE_STATIC = 4,
    KF__SOURCE_DEFAULT = 5,
    KF__SOURCE_METRICS = 7,
    KF__SOURCE_GROUP = 8,
};

enum {
    KF__RESOURCE_STATIC = 1, /* what the broker's options say; Kafka has no such resource */
    KF__MAX_CONFIG_LAYERS = 6,
};

struct kf__config {
    kf_string name;
    kf_string value;
};

struct kf__config_resource {
    int8_t type;
    kf_string name;           /* of a broker: its id, "" for all of them */
    struct kf__config *items; /* by name */
    size_t count;
    size_t capacity;
};

struct kf__configs {
    const kf_allocator *alloc;
    struct kf__config_resource *items; /* by type, then name */
    size_t count;
    size_t capacity;
    uint64_t changes; /* of others than topics', which topics fall back to */
};

/* One step of a lookup. The views live until the configs change. */
struct kf__config_layer {
    kf_string name;
    kf_string value; /* null: no value */
    enum kf__config_source source;
};

void kf__configs_init(struct kf__configs *configs, const kf_allocator *alloc);
void kf__configs_free(struct kf__configs *configs);

/* Copies. A null value takes the setting out. */
kf_err kf__configs_set(struct kf__configs *configs, int8_t resource, kf_string name, kf_string key,
                       kf_string value);
/*
 * Several settings of one resource, all or none: they are set in a draft, which
 * begins with what is set there (or, with `blank`, with nothing), and then takes
 * the resource's place. The draft is freed by kf__configs_free either way.
 */
kf_err kf__configs_draft(const struct kf__configs *configs, int8_t resource, kf_string name,
                         bool blank, struct kf__configs *draft);
kf_err kf__configs_adopt(struct kf__configs *configs, struct kf__configs *draft, int8_t resource,
                         kf_string name);
void kf__configs_drop(struct kf__configs *configs, int8_t resource, kf_string name);
/* NULL where nothing is set. */
const struct kf__config_resource *kf__configs_find(const struct kf__configs *configs,
                                                   int8_t resource, kf_string name);
/* Null where it isn't set there itself. */
kf_string kf__configs_own(const struct kf__configs *configs, int8_t resource, kf_string name,
                          kf_string key);
/* What counts where no layer holds the setting: its default, or for a topic's age what brokers are
   told in hours or minutes. */
kf_string kf__configs_fallback(const struct kf__configs *configs,
                               const struct kf__setting *setting);
/* To be called when a broker's age in hours or minutes has been set. KF_ERR_NO_MEMORY. */
kf_err kf__configs_convert_ages(struct kf__configs *configs);

/*
 * The layers that hold a setting, the one that counts first; how many there
 * are. None where the setting has no value at all.
 */
size_t kf__configs_layers(const struct kf__configs *configs, int8_t resource, kf_string name,
                          int32_t node, const struct kf__setting *setting,
                          struct kf__config_layer layers[KF__MAX_CONFIG_LAYERS]);
/* The value that counts, whatever node is asked; null: none. */
kf_string kf__configs_value(const struct kf__configs *configs, int8_t resource, kf_string name,
                            const char *key);
int64_t kf__configs_number(const struct kf__configs *configs, int8_t resource, kf_string name,
                           const char *key);

#endif
