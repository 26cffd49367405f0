#include "tools/broker/admin/features.h"

#include "tools/broker/text.h"

#include <stdio.h>

/* Told by 3.9.2, 4.0.0, 4.1.1, 4.2.0, 4.3.1 and 4.4.0 (KRaft); 2.1 and 2.8 tell of none. */
static const struct {
    const char *name;
    enum kf__release since;
    int16_t max;
    enum kf__release on; /* agreed on by a fresh cluster from then; KF__RELEASES: never */
} rows[] = {
    {"eligible.leader.replicas.version", KF__KAFKA_4_0, 1, KF__KAFKA_4_1},
    {"group.version", KF__KAFKA_4_0, 1, KF__KAFKA_4_0},
    {"kraft.version", KF__KAFKA_3_9, 1, KF__RELEASES},
    {"metadata.version", KF__KAFKA_3_9, 0, KF__KAFKA_3_9},
    {"transaction.version", KF__KAFKA_4_0, 2, KF__KAFKA_4_0},
};

/* Levels of metadata.version, release by release. */
static const int16_t metadata_min[KF__RELEASES] = {0, 0, 1, 7, 7, 7, 7, 7};
static const int16_t metadata_max[KF__RELEASES] = {0, 0, 21, 25, 27, 29, 30, 33};

void kf__features_init(struct kf__features *features, enum kf__release release)
{
    *features = (struct kf__features){.epoch = 1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (release < rows[i].since)
            continue;
        struct kf__feature *feature = &features->items[features->count++];
        bool metadata = rows[i].max == 0;
        feature->name = rows[i].name;
        feature->min = metadata ? metadata_min[release] : 0;
        feature->max = metadata ? metadata_max[release] : rows[i].max;
        feature->level = release >= rows[i].on ? feature->max : 0;
    }
}

static struct kf__feature *find(const struct kf__features *features, kf_string name)
{
    for (size_t i = 0; i < features->count; i++)
        if (kf__text_equal(name, kf__text(features->items[i].name)))
            return (struct kf__feature *)(uintptr_t)&features->items[i];
    return NULL;
}

bool kf__feature_is_on(const struct kf__features *features, const char *name)
{
    const struct kf__feature *feature = find(features, kf__text(name));
    return feature && feature->level > 0;
}

kf_err kf__feature_check(const struct kf__features *features, kf_string name, int16_t level,
                         int8_t change, int32_t node, char *why, size_t size)
{
    const struct kf__feature *feature = find(features, name);
    char reason[200];
    if (change < KF__FEATURE_UPGRADE || change > KF__FEATURE_UNSAFE_DOWNGRADE)
        snprintf(reason, sizeof reason, "The controller does not support the given upgrade type.");
    else if (level < 0)
        snprintf(reason, sizeof reason, "A feature version cannot be less than 0.");
    else if (!feature)
        snprintf(reason, sizeof reason, "Local controller %d does not support this feature.",
                 (int)node);
    else if (level != 0 && (level < feature->min || level > feature->max))
        snprintf(reason, sizeof reason, "Local controller %d only supports versions %d-%d",
                 (int)node, feature->min, feature->max);
    else if (level < feature->level && change == KF__FEATURE_UPGRADE)
        snprintf(reason, sizeof reason,
                 "Can't downgrade the version of this feature without setting the upgrade type to "
                 "either safe or unsafe downgrade.");
    else
        return KF_OK;
    snprintf(why, size, "Invalid update version %d for feature %.*s. %s", level,
             (int)(name.size < 100 ? name.size : 100), name.data, reason);
    return KF_ERR_INVALID_UPDATE_VERSION;
}

void kf__feature_set(struct kf__features *features, kf_string name, int16_t level)
{
    struct kf__feature *feature = find(features, name);
    if (!feature || feature->level == level)
        return;
    feature->level = level;
    features->epoch++;
}
