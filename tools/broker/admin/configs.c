#include "tools/broker/admin/configs.h"

#include "tools/broker/text.h"

#include <stdio.h>
#include <stdlib.h>

void kf__configs_init(struct kf__configs *configs, const kf_allocator *alloc)
{
    *configs = (struct kf__configs){.alloc = alloc};
}

static void free_config(const kf_allocator *alloc, struct kf__config *config)
{
    kf__text_free(alloc, &config->name);
    kf__text_free(alloc, &config->value);
}

static void free_resource(const kf_allocator *alloc, struct kf__config_resource *resource)
{
    for (size_t i = 0; i < resource->count; i++)
        free_config(alloc, &resource->items[i]);
    kf_free(alloc, resource->items);
    kf__text_free(alloc, &resource->name);
}

void kf__configs_free(struct kf__configs *configs)
{
    for (size_t i = 0; i < configs->count; i++)
        free_resource(configs->alloc, &configs->items[i]);
    kf_free(configs->alloc, configs->items);
    kf__configs_init(configs, configs->alloc);
}

/* ---- places ---- */

/* Where the resource is, or would be. */
static size_t place_of(const struct kf__configs *configs, int8_t type, kf_string name, bool *here)
{
    size_t low = 0, high = configs->count;
    *here = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct kf__config_resource *at = &configs->items[middle];
        int order = at->type != type ? at->type - type : kf__text_compare(at->name, name);
        if (order == 0) {
            *here = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t key_place(const struct kf__config_resource *resource, kf_string key, bool *here)
{
    size_t low = 0, high = resource->count; /* brokers keep as many as somebody sets */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kf__text_compare(resource->items[middle].name, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *here = low < resource->count && kf__text_equal(resource->items[low].name, key);
    return low;
}

const struct kf__config_resource *kf__configs_find(const struct kf__configs *configs,
                                                   int8_t resource, kf_string name)
{
    bool here;
    size_t at = place_of(configs, resource, name, &here);
    return here ? &configs->items[at] : NULL;
}

kf_string kf__configs_own(const struct kf__configs *configs, int8_t resource, kf_string name,
                          kf_string key)
{
    bool here;
    const struct kf__config_resource *found = kf__configs_find(configs, resource, name);
    size_t at = found ? key_place(found, key, &here) : 0;
    return found && here ? found->items[at].value : (kf_string){0};
}

/* ---- changes ---- */

static kf_err grow(const kf_allocator *alloc, void **items, size_t count, size_t *capacity,
                   size_t size)
{
    if (count < *capacity)
        return KF_OK;
    size_t wanted = *capacity ? *capacity * 2 : 4;
    void *grown = kf_realloc(alloc, *items, wanted * size);
    if (!grown)
        return KF_ERR_NO_MEMORY;
    *items = grown;
    *capacity = wanted;
    return KF_OK;
}

static struct kf__config_resource *open_resource(struct kf__configs *configs, int8_t type,
                                                 kf_string name)
{
    bool here;
    size_t at = place_of(configs, type, name, &here);
    if (here)
        return &configs->items[at];
    void *items = configs->items;
    kf_string copy;
    kf_err err =
        grow(configs->alloc, &items, configs->count, &configs->capacity, sizeof *configs->items);
    configs->items = items;
    if (err || kf__text_copy(configs->alloc, name, &copy))
        return NULL;
    memmove(configs->items + at + 1, configs->items + at,
            (configs->count - at) * sizeof *configs->items);
    configs->items[at] = (struct kf__config_resource){.type = type, .name = copy};
    configs->count++;
    return &configs->items[at];
}

static void take_out(struct kf__configs *configs, struct kf__config_resource *resource, size_t at)
{
    free_config(configs->alloc, &resource->items[at]);
    resource->count--;
    memmove(resource->items + at, resource->items + at + 1,
            (resource->count - at) * sizeof *resource->items);
    if (resource->count == 0)
        kf__configs_drop(configs, resource->type, resource->name);
}

static kf_err put(const struct kf__configs *configs, struct kf__config_resource *resource,
                  size_t at, bool here, kf_string key, kf_string value)
{
    struct kf__config fresh;
    kf_err err = kf__text_copy(configs->alloc, value, &fresh.value);
    if (err)
        return err;
    if (here) {
        kf__text_free(configs->alloc, &resource->items[at].value);
        resource->items[at].value = fresh.value;
        return KF_OK;
    }
    void *items = resource->items;
    err =
        grow(configs->alloc, &items, resource->count, &resource->capacity, sizeof *resource->items);
    resource->items = items;
    if (!err)
        err = kf__text_copy(configs->alloc, key, &fresh.name);
    if (err) {
        kf__text_free(configs->alloc, &fresh.value);
        return err;
    }
    memmove(resource->items + at + 1, resource->items + at,
            (resource->count - at) * sizeof *resource->items);
    resource->items[at] = fresh;
    resource->count++;
    return KF_OK;
}

kf_err kf__configs_set(struct kf__configs *configs, int8_t resource, kf_string name, kf_string key,
                       kf_string value)
{
    bool here;
    if (!value.data && !kf__configs_own(configs, resource, name, key).data)
        return KF_OK;
    configs->changes += resource != KF__RESOURCE_TOPIC;
    struct kf__config_resource *found = open_resource(configs, resource, name);
    if (!found)
        return KF_ERR_NO_MEMORY;
    size_t at = key_place(found, key, &here);
    kf_err err = KF_OK;
    if (value.data)
        err = put(configs, found, at, here, key, value);
    else
        take_out(configs, found, at);
    if (err && found->count == 0)
        kf__configs_drop(configs, resource, name);
    return err;
}

kf_err kf__configs_draft(const struct kf__configs *configs, int8_t resource, kf_string name,
                         bool blank, struct kf__configs *draft)
{
    const struct kf__config_resource *has =
        blank ? NULL : kf__configs_find(configs, resource, name);
    kf_err err = KF_OK;
    kf__configs_init(draft, configs->alloc);
    for (size_t i = 0; has && !err && i < has->count; i++)
        err = kf__configs_set(draft, resource, name, has->items[i].name, has->items[i].value);
    return err;
}

kf_err kf__configs_adopt(struct kf__configs *configs, struct kf__configs *draft, int8_t resource,
                         kf_string name)
{
    if (draft->count == 0) {
        kf__configs_drop(configs, resource, name);
        return KF_OK;
    }
    struct kf__config_resource *place = open_resource(configs, resource, name);
    if (!place)
        return KF_ERR_NO_MEMORY;
    struct kf__config_resource before = *place;
    *place = draft->items[0];
    draft->items[0] = before;
    configs->changes += resource != KF__RESOURCE_TOPIC;
    return KF_OK;
}

void kf__configs_drop(struct kf__configs *configs, int8_t resource, kf_string name)
{
    bool here;
    size_t at = place_of(configs, resource, name, &here);
    if (!here)
        return;
    configs->changes += resource != KF__RESOURCE_TOPIC;
    free_resource(configs->alloc, &configs->items[at]);
    configs->count--;
    memmove(configs->items + at, configs->items + at + 1,
            (configs->count - at) * sizeof *configs->items);
}

/* ---- lookups ---- */

struct layers {
    struct kf__config_layer *items;
    size_t count;
};

static void add(struct layers *layers, kf_string name, kf_string value,
                enum kf__config_source source)
{
    if (value.data && layers->count < KF__MAX_CONFIG_LAYERS)
        layers->items[layers->count++] =
            (struct kf__config_layer){.name = name, .value = value, .source = source};
}

/* Age in ms falls back to one in hours, where Kafka keeps its default. */
static const char *in_hours(kf_string broker_key)
{
    static const char *const pairs[][2] = {{"log.retention.ms", "log.retention.hours"},
                                           {"log.roll.ms", "log.roll.hours"},
                                           {"log.roll.jitter.ms", "log.roll.jitter.hours"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (kf__text_equal(broker_key, kf__text(pairs[i][0])))
            return pairs[i][1];
    return NULL;
}

static void add_broker(const struct kf__configs *configs, int32_t node, kf_string key,
                       struct layers *layers)
{
    char id[12];
    const struct kf__setting *setting = kf__setting_find(KF__RESOURCE_BROKER, key);
    size_t before = layers->count;
    snprintf(id, sizeof id, "%d", (int)node);
    if (node > 0)
        add(layers, key, kf__configs_own(configs, KF__RESOURCE_BROKER, kf__text(id), key),
            KF__SOURCE_BROKER);
    add(layers, key, kf__configs_own(configs, KF__RESOURCE_BROKER, kf__text(""), key),
        KF__SOURCE_BROKERS);
    add(layers, key, kf__configs_own(configs, KF__RESOURCE_STATIC, kf__text(""), key),
        KF__SOURCE_STATIC);
    if (setting)
        add(layers, key, kf__text(setting->value), KF__SOURCE_DEFAULT);
    const char *hours = in_hours(key);
    if (hours && layers->count > before) /* Kafka names them only beside a value in ms */
        add(layers, kf__text(hours),
            kf__text(kf__setting_find(KF__RESOURCE_BROKER, kf__text(hours))->value),
            KF__SOURCE_DEFAULT);
}

size_t kf__configs_layers(const struct kf__configs *configs, int8_t resource, kf_string name,
                          int32_t node, const struct kf__setting *setting,
                          struct kf__config_layer layers[KF__MAX_CONFIG_LAYERS])
{
    struct layers found = {.items = layers};
    kf_string key = kf__text(setting->name);
    if (resource == KF__RESOURCE_BROKER) {
        add_broker(configs, node, key, &found);
        return found.count;
    }
    enum kf__config_source source = resource == KF__RESOURCE_TOPIC   ? KF__SOURCE_TOPIC
                                    : resource == KF__RESOURCE_GROUP ? KF__SOURCE_GROUP
                                                                     : KF__SOURCE_METRICS;
    add(&found, key, kf__configs_own(configs, resource, name, key), source);
    if (setting->above && kf__setting_find(KF__RESOURCE_BROKER, kf__text(setting->above)))
        add_broker(configs, node, kf__text(setting->above), &found);
    else if (setting->above) /* a broker's that Kafka doesn't tell of */
        add(&found, kf__text(setting->above), kf__text(setting->value), KF__SOURCE_DEFAULT);
    return found.count;
}

static kf_string own_static(const struct kf__configs *configs, const char *key)
{
    return kf__configs_own(configs, KF__RESOURCE_STATIC, kf__text(""), kf__text(key));
}

/* An age that was converted stands among the options under the topics' name, which is none of a
   broker's. */
kf_string kf__configs_fallback(const struct kf__configs *configs, const struct kf__setting *setting)
{
    kf_string age = own_static(configs, setting->name);
    return age.data ? age : kf__text(setting->value);
}

kf_err kf__configs_convert_ages(struct kf__configs *configs)
{
    enum {
        MS_OF_MINUTE = 60000,
        MS_OF_HOUR = 3600000
    };
    static const struct {
        const char *topics_key, *minutes, *hours;
    } rows[] = {{"retention.ms", "log.retention.minutes", "log.retention.hours"},
                {"segment.ms", "", "log.roll.hours"},
                {"segment.jitter.ms", "", "log.roll.jitter.hours"}};
    kf_err err = KF_OK;
    for (size_t i = 0; !err && i < sizeof rows / sizeof *rows; i++) {
        char digits[24];
        kf_string minutes = own_static(configs, rows[i].minutes), age = {0};
        kf_string told = minutes.data ? minutes : own_static(configs, rows[i].hours);
        if (told.data) {
            int64_t ms = strtoll(told.data, NULL, 10) * (minutes.data ? MS_OF_MINUTE : MS_OF_HOUR);
            snprintf(digits, sizeof digits, "%lld", (long long)(ms < 0 ? -1 : ms));
            age = kf__text(digits);
        }
        err = kf__configs_set(configs, KF__RESOURCE_STATIC, kf__text(""),
                              kf__text(rows[i].topics_key), age);
    }
    return err;
}

kf_string kf__configs_value(const struct kf__configs *configs, int8_t resource, kf_string name,
                            const char *key)
{
    struct kf__config_layer layers[KF__MAX_CONFIG_LAYERS];
    const struct kf__setting *setting = kf__setting_find(resource, kf__text(key));
    if (!setting)
        return (kf_string){0};
    if (kf__configs_layers(configs, resource, name, 0, setting, layers) > 0)
        return layers[0].value;
    return resource == KF__RESOURCE_TOPIC ? kf__configs_fallback(configs, setting)
                                          : kf__text(setting->value);
}

int64_t kf__configs_number(const struct kf__configs *configs, int8_t resource, kf_string name,
                           const char *key)
{
    kf_string value = kf__configs_value(configs, resource, name, key);
    char digits[24] = "0";
    if (value.data && value.size < sizeof digits) {
        memcpy(digits, value.data, value.size);
        digits[value.size] = 0;
    }
    return strtoll(digits, NULL, 10);
}
