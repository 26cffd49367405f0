/*
 * settings: what can be configured of topics, brokers, groups and client
 * metrics subscriptions in Kafka 4.4, and which values it takes. The rows are
 * in settings_*.def. Pure. What is configured at the moment: configs.h.
 */
#ifndef KF_BROKER_SETTINGS_H
#define KF_BROKER_SETTINGS_H

#include <kafiber/types.h>
#include <stdbool.h>
#include <stddef.h>

/* Kafka's numbers of config resources. */
enum kf__resource {
    KF__RESOURCE_TOPIC = 2,
    KF__RESOURCE_BROKER = 4,
    KF__RESOURCE_LOGGER = 8,
    KF__RESOURCE_METRICS = 16,
    KF__RESOURCE_GROUP = 32,
};

/* Kafka's numbers, as DescribeConfigs tells them. */
enum kf__setting_type {
    KF__SETTING_BOOLEAN = 1,
    KF__SETTING_STRING = 2,
    KF__SETTING_INT = 3,
    KF__SETTING_SHORT = 4,
    KF__SETTING_LONG = 5,
    KF__SETTING_DOUBLE = 6,
    KF__SETTING_LIST = 7,
    KF__SETTING_CLASS = 8,
    KF__SETTING_PASSWORD = 9,
};

enum kf__setting_rule {
    KF__ANY_VALUE,
    KF__AT_LEAST,        /* low */
    KF__BETWEEN,         /* low and high */
    KF__BETWEEN_OR_NONE, /* or -1 */
    KF__ONE_OF,          /* `among`, separated by ", "; of a list: each of them */
    KF__REPLICA_LIST,    /* partition:broker,… or * */
    KF__OFFSET_RESET,    /* latest, earliest, by_duration:… */
};

struct kf__setting {
    const char *name;
    const char *value; /* by default; NULL: none */
    const char *above; /* the broker's setting that it falls back to; NULL: none */
    const char *text;  /* what it does, for those who ask; NULL: not said */
    const char *among;
    int64_t low;
    int64_t high;
    enum kf__setting_type type;
    enum kf__setting_rule rule;
    bool read_only;
    bool secret;
};

enum {
    KF__MAX_LIST_BYTES = 4096, /* of a list's value that is made of others */
    KF__MAX_WHY_BYTES = 600,   /* of a sentence about a value, or two topics' names */
};

/* All of one kind of resource, by name; NULL and 0 where there is no such kind. */
const struct kf__setting *kf__settings_of(int8_t resource, size_t *count);
/* NULL where there is none of that name. */
const struct kf__setting *kf__setting_find(int8_t resource, kf_string name);

/* False with Kafka's sentence in `why` (KF__MAX_WHY_BYTES) where the value won't do. */
bool kf__setting_takes(const struct kf__setting *setting, kf_string value, char *why);

/* The value as Kafka reads and tells it ("+07 " is 7, "True" true, "a , b" a,b), in `room` or where
   it was; for one that kf__setting_takes. What doesn't fit is left as it is. */
kf_string kf__setting_canon(const struct kf__setting *setting, kf_string value, char *room,
                            size_t size);
/* The whole of the text as an int, as Java reads it. */
bool kf__java_int(kf_string text, int32_t *number);

/* Items of "a, b,c", without the spaces around them; false at the end. *at begins at 0. */
bool kf__list_next(kf_string list, size_t *at, kf_string *item);
bool kf__list_has(kf_string list, kf_string item);

#endif
