#include "tools/broker/txn/txn_topic.h"

#include "tools/broker/log/internal_log.h"
#include "tools/broker/state.h"
#include "tools/broker/text.h"

enum {
    PLAIN_VALUE = 0,
    VALUE_WITH_TAGS = 1, /* transaction.version 1 and up */
};

static const struct kf__internal_record transaction_log = {
    .type = 0,
    .key = &kf_schema_of_transaction_log_key,
    .value = &kf_schema_of_transaction_log_value,
};

typedef struct kf_transaction_log_value_partitions_schema topic_row;

/* The partitions from `at` on that are of the same topic. */
static size_t run_of(const struct kf__txn *txn, size_t at)
{
    size_t end = at + 1;
    while (end < txn->partition_count &&
           kf__text_equal(txn->partitions[end].topic, txn->partitions[at].topic))
        end++;
    return end - at;
}

/* A row for each topic; one without partitions has an empty list, but Empty has none at all. */
static kf_err tell_partitions(kf_arena *arena, const struct kf__txn *txn,
                              struct kf_transaction_log_value *value)
{
    size_t count = txn->partition_count;
    int32_t *indexes = kf_arena_alloc(arena, (count + 1) * sizeof *indexes);
    topic_row *rows = kf_arena_alloc(arena, (count + 1) * sizeof *rows);
    if (!indexes || !rows)
        return KF_ERR_NO_MEMORY;
    value->transaction_partitions.items = rows;
    value->transaction_partitions.count = txn->state == KF__TXN_EMPTY ? -1 : 0;
    for (size_t at = 0; at < count;) {
        size_t run = run_of(txn, at);
        topic_row *row = &rows[value->transaction_partitions.count++];
        *row = (topic_row){.topic = txn->partitions[at].topic};
        row->partition_ids.items = indexes + at;
        row->partition_ids.count = (int32_t)run;
        for (; run > 0; run--, at++)
            indexes[at] = txn->partitions[at].partition;
    }
    return KF_OK;
}

static void tell(const struct kf__txn *txn, int64_t before, int16_t version,
                 struct kf_transaction_log_value *value)
{
    static const int8_t states[] = {
        [KF__TXN_EMPTY] = 0,         [KF__TXN_ONGOING] = 1,         [KF__TXN_PREPARE_COMMIT] = 2,
        [KF__TXN_PREPARE_ABORT] = 3, [KF__TXN_COMPLETE_COMMIT] = 4, [KF__TXN_COMPLETE_ABORT] = 5,
    };
    value->producer_id = txn->producer_id;
    value->producer_epoch = txn->epoch;
    value->transaction_timeout_ms = txn->timeout_ms;
    value->transaction_status = states[txn->state];
    value->transaction_last_update_timestamp_ms = txn->changed_ms;
    value->transaction_start_timestamp_ms = txn->started_ms;
    if (version < VALUE_WITH_TAGS)
        return;
    value->previous_producer_id = before;
    value->next_producer_id = txn->next_producer_id;
    value->client_transaction_version = txn->client_version;
}

static void tell_key(kf_string id, struct kf_transaction_log_key *key)
{
    kf_reset(&kf_schema_of_transaction_log_key, key);
    key->transactional_id = id;
}

kf_err kf__txn_topic_write(void *context, const struct kf__txn *next, int64_t before, bool must)
{
    struct kf_broker *broker = context;
    struct kf__internal_way way = {.must = must, .base_sequence = -1};
    int16_t version =
        kf__feature_is_on(&broker->features, "transaction.version") ? VALUE_WITH_TAGS : PLAIN_VALUE;
    struct kf_transaction_log_key key;
    struct kf_transaction_log_value value;
    struct kf__internal_batch batch;
    kf_arena arena;
    tell_key(next->id, &key);
    kf_reset(&kf_schema_of_transaction_log_value, &value);
    tell(next, before, version, &value);
    kf_arena_init(&arena, broker->alloc, KF__MAX_DECODED_BYTES);
    kf__internal_begin(&batch, broker);
    batch.err = tell_partitions(&arena, next, &value);
    kf__internal_put(&batch, &transaction_log, &key, version, &value);
    kf_err err = kf__internal_write(&batch, KF__TRANSACTIONS, next->id, &way);
    kf_arena_free(&arena);
    return err;
}

kf_err kf__txn_topic_forget(void *context, kf_string id)
{
    static const struct kf__internal_way way = {.must = true, .base_sequence = -1};
    struct kf_transaction_log_key key;
    struct kf__internal_batch batch;
    tell_key(id, &key);
    kf__internal_begin(&batch, context);
    kf__internal_put(&batch, &transaction_log, &key, 0, NULL);
    return kf__internal_write(&batch, KF__TRANSACTIONS, id, &way);
}
