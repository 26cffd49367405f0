/*
 * config: what the inside of the library reads of a configuration.
 *
 *     kf_config (texts by key) ──kf__config_settings──▶ struct kf__settings
 *
 * One typed field per honoured key, named like the key with underscores,
 * produced from the rows of config.def: milliseconds and bytes as the names
 * say. The runtime fills it once when it opens; nobody looks keys up later.
 */
#ifndef KF_RUNTIME_CONFIG_H
#define KF_RUNTIME_CONFIG_H

#include "group/assignor.h"
#include "net/cluster/cluster.h"
#include "net/conn/security.h"
#include <kafiber/config.h>
#include <stdbool.h>
#include <stdint.h>

/* Each in the order of its row's words. */
enum kf__recovery {
    KF__RECOVERY_NONE,
    KF__RECOVERY_REBOOTSTRAP
};
enum kf__loop_choice {
    KF__LOOP_AUTO,
    KF__LOOP_EPOLL,
    KF__LOOP_POLL
};
enum kf__isolation { /* as in Fetch */
    KF__READ_UNCOMMITTED,
    KF__READ_COMMITTED,
};
enum kf__acks {
    KF__ACKS_NONE,
    KF__ACKS_LEADER,
    KF__ACKS_ALL,
    KF__ACKS_MINUS_ONE
};
enum kf__compression { /* as in a batch's attributes */
    KF__COMPRESSION_NONE,
    KF__COMPRESSION_GZIP,
    KF__COMPRESSION_SNAPPY,
    KF__COMPRESSION_LZ4,
    KF__COMPRESSION_ZSTD,
};

enum kf__partitioner { /* results are librdkafka's, murmur2's also Java's */
    KF__PARTITIONER_MURMUR2_RANDOM,
    KF__PARTITIONER_MURMUR2,
    KF__PARTITIONER_CONSISTENT_RANDOM, /* CRC-32 */
    KF__PARTITIONER_CONSISTENT,
    KF__PARTITIONER_FNV1A_RANDOM,
    KF__PARTITIONER_FNV1A,
    KF__PARTITIONER_RANDOM, /* whatever the key */
};

enum kf__reset {
    KF__RESET_EARLIEST,
    KF__RESET_LATEST,
    KF__RESET_NONE,
    KF__RESET_BY_DURATION,
};

enum {
    KF__HOST_MAX_BYTES = 255,     /* a name of the domain name system */
    KF__PROPERTIES_MAX = 1 << 20, /* bytes of a .properties file: more is a mistaken path */
};

/* What a program gives by call for SASL; borrowed from the kf_config. */
struct kf__sasl_hooks {
    const kf_sasl_mechanism *mechanism;
    kf_sasl_token_fn token;
    void *token_context;
    kf_aws_credentials_fn aws;
    void *aws_context;
};

/* Strings, servers included, borrow from the kf_config and live as long as it stays unchanged. */
struct kf__settings {
#define KF_CONFIG_BOOL(key, field, default_, kip, doc)              bool field;
#define KF_CONFIG_INT(key, field, default_, low, high, kip, doc)    int32_t field;
#define KF_CONFIG_LONG(key, field, default_, low, high, kip, doc)   int64_t field;
#define KF_CONFIG_WORD(key, field, type, default_, words, kip, doc) enum type field;
#define KF_CONFIG_TEXT(key, field, default_, form, kip, doc)        const char *field;
#define KF_CONFIG_SECRET(key, field, kip, doc)                      const char *field;
#include <kafiber/config.def>

    /* Made of the texts above. */
    const struct kf__host *servers; /* of bootstrap.servers, in order, without repeats */
    size_t server_count;
    enum kf__assignor assignors[KF__ASSIGNORS]; /* as listed, without repeats */
    size_t assignor_count;
    enum kf__reset reset;  /* of auto.offset.reset */
    int64_t reset_back_ms; /* with KF__RESET_BY_DURATION: how far to go back */

    /* Of kf_config_sasl_mechanism and its kin: NULL where not set. */
    struct kf__sasl_hooks sasl;

    /* Of kf_config_log; log is NULL where none was set: to stderr. */
    kf_log_level log_level;
    kf_log_fn log;
    void *log_context;

    const struct kf__world *world; /* of kf_config_world; the real one where none was set */
};

/*
 * Checks what concerns several keys at once and fills the settings.
 * group_id, group_instance_id and client_rack are NULL where not set or empty;
 * acks is never KF__ACKS_MINUS_ONE. KF_ERR_CONFIG with a sentence.
 */
kf_err kf__config_settings(const kf_config *config, struct kf__settings *settings, kf_error *error);

/* What net wants to know, in its units. slab_keep is left as it is: the runtime decides. */
void kf__settings_for_cluster(const struct kf__settings *settings,
                              struct kf__cluster_settings *cluster);

/*
 * Opens what the settings say of TLS and SASL; NULL for PLAINTEXT. Reads
 * files. Its texts are the settings': those outlive it and the loop.
 */
kf_err kf__settings_security(const struct kf__settings *settings, const kf_allocator *alloc,
                             struct kf__security **security, kf_error *error);

/* A key that was set and does nothing: one event in the log when the runtime opens. */
struct kf__config_note {
    const char *key;
    const char *reason; /* why it is ignored */
};

/* Fills in the note of that index, in the table's order; false past the last. */
bool kf__config_note(const kf_config *config, size_t index, struct kf__config_note *note);

/* Where a key's value comes from: a later one in this order replaces an earlier one. */
enum kf__source {
    KF__FROM_DEFAULT,
    KF__FROM_FILE,
    KF__FROM_ENVIRONMENT,
    KF__FROM_CALL
};

/* What kf_config_new was given. */
kf_allocator kf__config_alloc(const kf_config *config);

/* KF__FROM_DEFAULT for an unknown key too. */
enum kf__source kf__config_source(const kf_config *config, const char *key);

#endif
