/*
 * config_settings: a kf_config's texts into struct kf__settings, and the
 * rules that concern more than one key.
 */
#include "runtime/config/config_rows.h"

#include <inttypes.h>
#include <string.h>

static bool is_set(const kf_config *config, const char *key)
{
    return kf__config_source(config, key) != KF__FROM_DEFAULT;
}

/* Java's files say "never" with Long.MAX_VALUE: a century of it still fits into kf_time. */
static const int64_t LONGEST_MS = KF_FOREVER / KF_MILLISECOND / 2;

static bool is_duration(const struct kf__config_row *row)
{
    size_t size = strlen(row->key);
    return size > 3 && strcmp(row->key + size - 3, ".ms") == 0;
}

/* The text was checked when it was set, and the defaults by a test: parsing can't fail. */
static void fill_field(struct kf__settings *settings, const struct kf__config_row *row,
                       const char *text)
{
    void *field = (char *)settings + row->offset;
    int64_t number = 0;
    int word;
    switch (row->kind) {
    case KF__ROW_BOOL:
        kf__parse_bool(text, field);
        break;
    case KF__ROW_INT:
        kf__parse_long(text, &number);
        *(int32_t *)field = (int32_t)number;
        break;
    case KF__ROW_LONG:
        kf__parse_long(text, &number);
        *(int64_t *)field = is_duration(row) && number > LONGEST_MS ? LONGEST_MS : number;
        break;
    case KF__ROW_WORD:
        /* Enums of different names share the representation of int's size. */
        word = kf__parse_word(text, row->words);
        memcpy(field, &word, sizeof word);
        break;
    case KF__ROW_TEXT:
    case KF__ROW_SECRET:
        *(const char **)field = text;
        break;
    default:
        break;
    }
}

_Static_assert(sizeof(enum kf__recovery) == sizeof(int) && sizeof(enum kf__acks) == sizeof(int),
               "an enum is stored like an int");

static void fill_lists(const kf_config *config, struct kf__settings *settings)
{
    size_t size;
    const char *list = settings->partition_assignment_strategy;
    for (const char *entry; (entry = kf__next_entry(&list, &size));) {
        enum kf__assignor assignor;
        if (!kf__parse_assignor(entry, size, &assignor))
            continue;
        size_t at = 0;
        while (at < settings->assignor_count && settings->assignors[at] != assignor)
            at++;
        if (at == settings->assignor_count)
            settings->assignors[settings->assignor_count++] = assignor;
    }
    kf__parse_reset(settings->auto_offset_reset, &settings->reset, &settings->reset_back_ms);
    settings->servers = kf__config_servers(config, &settings->server_count);
}

/* A key and the one it may not exceed. One that was not set gives way to the other. */
static kf_err keep_below(const kf_config *config, int64_t *lower, const char *lower_key,
                         int64_t *upper, const char *upper_key, kf_error *error)
{
    if (*lower <= *upper)
        return KF_OK;
    if (!is_set(config, upper_key))
        *upper = *lower;
    else if (!is_set(config, lower_key))
        *lower = *upper;
    else
        return kf_error_set(error, KF_ERR_CONFIG,
                            "%s (%" PRId64 ") must not be larger than %s (%" PRId64 ")", lower_key,
                            *lower, upper_key, *upper);
    return KF_OK;
}

static kf_err keep_below_int(const kf_config *config, int32_t *lower, const char *lower_key,
                             int32_t *upper, const char *upper_key, kf_error *error)
{
    int64_t low = *lower;
    int64_t high = *upper;
    kf_err err = keep_below(config, &low, lower_key, &high, upper_key, error);
    *lower = (int32_t)low;
    *upper = (int32_t)high;
    return err;
}

static kf_err check_backoffs(const kf_config *config, struct kf__settings *settings,
                             kf_error *error)
{
    kf_err err = keep_below(config, &settings->reconnect_backoff_ms, "reconnect.backoff.ms",
                            &settings->reconnect_backoff_max_ms, "reconnect.backoff.max.ms", error);
    if (!err)
        err = keep_below(config, &settings->retry_backoff_ms, "retry.backoff.ms",
                         &settings->retry_backoff_max_ms, "retry.backoff.max.ms", error);
    if (!err)
        err = keep_below(config, &settings->socket_connection_setup_timeout_ms,
                         "socket.connection.setup.timeout.ms",
                         &settings->socket_connection_setup_timeout_max_ms,
                         "socket.connection.setup.timeout.max.ms", error);
    if (!err)
        err = keep_below_int(config, &settings->handler_retry_backoff_ms,
                             "handler.retry.backoff.ms", &settings->handler_retry_backoff_max_ms,
                             "handler.retry.backoff.max.ms", error);
    if (!err)
        err = keep_below_int(config, &settings->worker_threads, "worker.threads",
                             &settings->worker_threads_max, "worker.threads.max", error);
    return err;
}

static kf_err check_sizes(const kf_config *config, struct kf__settings *settings, kf_error *error)
{
    /* Room for an answer's own fields beside the records. */
    enum {
        ANSWER_OVERHEAD = 65536
    };
    int64_t fetch = settings->fetch_max_bytes;
    if (fetch + ANSWER_OVERHEAD > settings->receive_message_max_bytes &&
        is_set(config, "fetch.max.bytes"))
        return kf_error_set(error, KF_ERR_CONFIG,
                            "receive.message.max.bytes (%" PRId32 ") must exceed fetch.max.bytes "
                            "(%" PRId64 ") by %d or more",
                            settings->receive_message_max_bytes, fetch, ANSWER_OVERHEAD);
    if (fetch + ANSWER_OVERHEAD > settings->receive_message_max_bytes)
        fetch = settings->receive_message_max_bytes > 2 * ANSWER_OVERHEAD
                    ? settings->receive_message_max_bytes - ANSWER_OVERHEAD
                    : settings->receive_message_max_bytes / 2;
    int64_t budget = settings->memory_budget_bytes;
    kf_err err =
        keep_below(config, &fetch, "fetch.max.bytes", &budget, "memory.budget.bytes", error);
    settings->fetch_max_bytes = (int32_t)fetch;
    settings->memory_budget_bytes = budget;
    if (!err)
        err = keep_below_int(config, &settings->fetch_min_bytes, "fetch.min.bytes",
                             &settings->fetch_max_bytes, "fetch.max.bytes", error);
    return err;
}

static kf_err check_times(const struct kf__settings *settings, kf_error *error)
{
    if (settings->heartbeat_interval_ms >= settings->session_timeout_ms)
        return kf_error_set(error, KF_ERR_CONFIG,
                            "heartbeat.interval.ms (%" PRId32 ") must be smaller than "
                            "session.timeout.ms (%" PRId32 "), best a third of it or less",
                            settings->heartbeat_interval_ms, settings->session_timeout_ms);
    if (settings->fetch_max_wait_ms >= settings->request_timeout_ms)
        return kf_error_set(error, KF_ERR_CONFIG,
                            "fetch.max.wait.ms (%" PRId32 ") must be smaller than "
                            "request.timeout.ms (%" PRId32 "), or every idle fetch times out",
                            settings->fetch_max_wait_ms, settings->request_timeout_ms);
    return KF_OK;
}

static const char *null_if_empty(const char *text) { return text && *text ? text : NULL; }

kf_err kf__config_settings(const kf_config *config, struct kf__settings *settings, kf_error *error)
{
    *settings = (struct kf__settings){0};
    if (!config)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "there was no memory for the configuration");
    for (size_t i = 0; i < kf__config_row_count; i++) {
        const char *text = kf__config_value(config, i);
        text = text ? text : kf__config_rows[i].value;
        if (text)
            fill_field(settings, &kf__config_rows[i], text);
    }
    settings->group_id = null_if_empty(settings->group_id);
    settings->client_rack = null_if_empty(settings->client_rack);
    if (settings->acks == KF__ACKS_MINUS_ONE)
        settings->acks = KF__ACKS_ALL;
    fill_lists(config, settings);
    settings->sasl = kf__config_hooks(config);
    kf__config_log_target(config, settings);

    kf_err err = kf__config_choose_protocol(config, settings, error);
    if (!err)
        err = check_times(settings, error);
    if (!err)
        err = check_backoffs(config, settings, error);
    if (!err)
        err = check_sizes(config, settings, error);
    return err;
}

static kf_time from_ms(int64_t ms) { return ms * KF_MILLISECOND; }

void kf__settings_for_cluster(const struct kf__settings *settings,
                              struct kf__cluster_settings *cluster)
{
    bool stays = settings->connections_max_idle_ms < 0;
    bool again = settings->metadata_recovery_strategy == KF__RECOVERY_REBOOTSTRAP;
    *cluster = (struct kf__cluster_settings){
        .bootstrap = settings->servers,
        .bootstrap_count = settings->server_count,
        .client_id = settings->client_id,
        .request_timeout = from_ms(settings->request_timeout_ms),
        .setup_timeout = from_ms(settings->socket_connection_setup_timeout_ms),
        .setup_timeout_max = from_ms(settings->socket_connection_setup_timeout_max_ms),
        .reconnect_backoff = from_ms(settings->reconnect_backoff_ms),
        .reconnect_backoff_max = from_ms(settings->reconnect_backoff_max_ms),
        .retry_backoff = from_ms(settings->retry_backoff_ms),
        .retry_backoff_max = from_ms(settings->retry_backoff_max_ms),
        .metadata_max_age = from_ms(settings->metadata_max_age_ms),
        .max_idle = stays ? KF_FOREVER : from_ms(settings->connections_max_idle_ms),
        .rebootstrap_after =
            again ? from_ms(settings->metadata_recovery_rebootstrap_trigger_ms) : KF_FOREVER,
        .allow_auto_create = settings->allow_auto_create_topics,
        .receive_max = (size_t)settings->receive_message_max_bytes,
        .slab_keep = cluster->slab_keep,
    };
}
