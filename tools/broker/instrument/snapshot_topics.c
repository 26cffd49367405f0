/* snapshot_topics: topics and what their partitions hold; see snapshot.h. */
#include "tools/broker/instrument/snapshot.h"

/* ---- logs: batches as they lie there ---- */

/* Appending counts on from the log's end; a compacted log has gaps. */
static void read_batch(struct kf__archive *archive, struct kf__partition_log *log)
{
    struct kf__batch batch;
    int64_t offset;
    kf_bytes bytes = kf__archive_view(archive, (kf_bytes){0});
    if (archive->err)
        return;
    if (kf__batch_peek(bytes.data, bytes.size, &batch) || batch.size != bytes.size ||
        batch.base_offset < log->end_offset || batch.last_offset < batch.base_offset) {
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
        return;
    }
    log->end_offset = batch.base_offset;
    kf__archive_fail(archive, kf__plog_append(log, &batch, batch.leader_epoch, &offset));
}

static void archive_epochs(struct kf__archive *archive, struct kf__partition_log *log)
{
    size_t count = kf__archive_count(archive, log->epoch_count);
    if (kf__archive_reads(archive)) {
        kf_free(archive->alloc, log->epochs);
        log->epochs = NULL;
        log->epoch_count = 0;
    }
    log->epochs = kf__archive_array(archive, log->epochs, count, sizeof *log->epochs);
    for (size_t i = 0; i < count && !archive->err; i++) {
        struct kf__plog_epoch *one = &log->epochs[i];
        one->epoch = (int32_t)kf__archive_number(archive, one->epoch);
        one->start_offset = kf__archive_number(archive, one->start_offset);
        log->epoch_count = i + 1;
    }
}

static void archive_log(struct kf__archive *archive, struct kf__partition_log *log)
{
    bool reads = kf__archive_reads(archive);
    size_t count = kf__archive_count(archive, log->batch_count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        if (reads)
            read_batch(archive, log);
        else
            kf__archive_view(archive, (kf_bytes){log->batches[i].bytes, log->batches[i].size});
    }
    int64_t start = kf__archive_number(archive, log->start_offset);
    int64_t end = kf__archive_number(archive, log->end_offset);
    archive_epochs(archive, log);
    if (!reads || archive->err)
        return;
    if (start < 0 || start > end || end < log->end_offset ||
        (log->batch_count > 0 && end != log->end_offset))
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
    log->start_offset = start;
    log->end_offset = end;
}

/* ---- producers and aborted transactions ---- */

static void archive_producer(struct kf__archive *archive, struct kf__producer *one)
{
    one->id = kf__archive_number(archive, one->id);
    one->epoch = (int16_t)kf__archive_number(archive, one->epoch);
    one->coordinator_epoch = (int32_t)kf__archive_number(archive, one->coordinator_epoch);
    one->txn_first_offset = kf__archive_number(archive, one->txn_first_offset);
    one->last_timestamp = kf__archive_number(archive, one->last_timestamp);
    one->batch_count = (int)kf__archive_count(archive, (size_t)one->batch_count);
    if (one->batch_count > KF__PRODUCER_WINDOW) {
        kf__archive_fail(archive, KF_ERR_BAD_COUNT);
        one->batch_count = 0;
    }
    for (int i = 0; i < one->batch_count; i++) {
        struct kf__producer_batch *batch = &one->batches[i];
        batch->first_sequence = (int32_t)kf__archive_number(archive, batch->first_sequence);
        batch->last_sequence = (int32_t)kf__archive_number(archive, batch->last_sequence);
        batch->base_offset = kf__archive_number(archive, batch->base_offset);
    }
}

static void archive_producers(struct kf__archive *archive, struct kf__producers *producers)
{
    size_t count = kf__archive_count(archive, producers->count);
    producers->open = kf__archive_count(archive, producers->open);
    producers->items =
        kf__archive_array(archive, producers->items, count, sizeof *producers->items);
    if (kf__archive_reads(archive) && producers->items)
        producers->capacity = count + 1;
    for (size_t i = 0; i < count && !archive->err; i++) {
        archive_producer(archive, &producers->items[i]);
        producers->count = i + 1;
    }
}

static void archive_aborted(struct kf__archive *archive, struct kf__aborted *aborted)
{
    size_t count = kf__archive_count(archive, aborted->count);
    aborted->items = kf__archive_array(archive, aborted->items, count, sizeof *aborted->items);
    if (kf__archive_reads(archive) && aborted->items)
        aborted->capacity = count + 1;
    for (size_t i = 0; i < count && !archive->err; i++) {
        struct kf__aborted_txn *one = &aborted->items[i];
        one->producer_id = kf__archive_number(archive, one->producer_id);
        one->first_offset = kf__archive_number(archive, one->first_offset);
        one->last_offset = kf__archive_number(archive, one->last_offset);
        aborted->count = i + 1;
    }
}

/* ---- replicas ---- */

/* Writing, nothing changes; reading, null where there are none. */
static void archive_nodes(struct kf__archive *archive, const struct kf__topics *topics,
                          int32_t **nodes, int32_t *count)
{
    bool reads = kf__archive_reads(archive);
    size_t size = kf__archive_count(archive, (size_t)*count);
    if (size > KF__MAX_NODES)
        kf__archive_fail(archive, KF_ERR_BAD_COUNT);
    if (size == 0 || archive->err)
        return;
    int32_t *items = kf__archive_array(archive, *nodes, size, sizeof *items);
    for (size_t i = 0; i < size && !archive->err; i++) {
        items[i] = (int32_t)kf__archive_number(archive, items[i]);
        if (items[i] < 1 || items[i] > topics->node_count)
            kf__archive_fail(archive, KF_ERR_BROKER_NOT_AVAILABLE);
    }
    if (reads && items) {
        *nodes = items;
        *count = (int32_t)size;
    }
}

static void archive_sync(struct kf__archive *archive, const struct kf__topics *topics,
                         struct kf__replicas *sync)
{
    size_t count = kf__archive_count(archive, sync->lagging_count);
    struct kf__lagging *items =
        count > 0 ? kf__archive_array(archive, sync->lagging, count, sizeof *items) : NULL;
    for (size_t i = 0; i < count && !archive->err; i++) {
        struct kf__lagging *one = &items[i];
        one->node = (int32_t)kf__archive_number(archive, one->node);
        one->held = kf__archive_number(archive, one->held) != 0;
        one->end_offset = kf__archive_number(archive, one->end_offset);
        if (one->node < 1 || one->node > topics->node_count || one->end_offset < 0)
            kf__archive_fail(archive, KF_ERR_BROKER_NOT_AVAILABLE);
    }
    if (kf__archive_reads(archive) && items) {
        sync->lagging = items;
        sync->lagging_count = count;
    }
    archive_nodes(archive, topics, &sync->target, &sync->target_count);
    archive_nodes(archive, topics, &sync->adding, &sync->adding_count);
}

/* ---- topics ---- */

static void archive_partition(struct kf__archive *archive, const struct kf__topics *topics,
                              struct kf__partition *partition)
{
    partition->leader = (int32_t)kf__archive_number(archive, partition->leader);
    partition->leader_epoch = (int32_t)kf__archive_number(archive, partition->leader_epoch);
    size_t count = kf__archive_count(archive, (size_t)partition->replica_count);
    partition->replicas =
        kf__archive_array(archive, partition->replicas, count, sizeof *partition->replicas);
    for (size_t i = 0; i < count && !archive->err; i++) {
        int32_t *node = &partition->replicas[i];
        *node = (int32_t)kf__archive_number(archive, *node);
        if (*node < 1 || *node > topics->node_count)
            kf__archive_fail(archive, KF_ERR_BROKER_NOT_AVAILABLE);
        partition->replica_count = (int32_t)i + 1;
    }
    if (partition->leader < -1 || partition->leader > topics->node_count || count == 0 ||
        count > KF__MAX_NODES)
        kf__archive_fail(archive, KF_ERR_BROKER_NOT_AVAILABLE);
    archive_sync(archive, topics, &partition->sync);
    archive_log(archive, &partition->log);
    archive_producers(archive, &partition->producers);
    archive_aborted(archive, &partition->aborted);
}

static void archive_topic(struct kf__archive *archive, struct kf__topics *topics,
                          struct kf__topic *topic)
{
    kf_uuid id = topic->id;
    kf_bytes bytes = kf__archive_view(archive, (kf_bytes){id.bytes, sizeof id.bytes});
    if (archive->err || bytes.size != sizeof id.bytes) {
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
        return;
    }
    if (kf__archive_reads(archive)) {
        memcpy(id.bytes, bytes.data, sizeof id.bytes);
        if (kf__broker_topics_find_id(topics, id)) {
            kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
            return;
        }
        kf__topics_set_id(topics, topic, id);
    }
    size_t count = kf__archive_count(archive, (size_t)topic->partition_count);
    topic->partitions =
        kf__archive_array(archive, topic->partitions, count, sizeof *topic->partitions);
    for (size_t i = 0; i < count && !archive->err; i++) {
        struct kf__partition *partition = &topic->partitions[i];
        if (kf__archive_reads(archive))
            kf__plog_init(&partition->log, archive->alloc);
        topic->partition_count = (int32_t)i + 1;
        archive_partition(archive, topics, partition);
    }
}

/* A topic of that name without partitions, which the archive fills. */
static struct kf__topic *new_topic(struct kf__archive *archive, struct kf__topics *topics)
{
    kf_string name = {0};
    struct kf__topic *topic = NULL;
    kf__archive_text(archive, &name);
    if (!archive->err)
        kf__archive_fail(archive, kf__topics_create(topics, name, 1, 1, &topic));
    kf__text_free(archive->alloc, &name);
    if (!topic)
        return NULL;
    kf_free(archive->alloc, topic->partitions[0].replicas);
    kf_free(archive->alloc, topic->partitions);
    topic->partitions = NULL;
    topic->partition_count = 0;
    return topic;
}

void kf__archive_topics(struct kf__archive *archive, struct kf__topics *topics)
{
    bool reads = kf__archive_reads(archive);
    size_t count = kf__archive_count(archive, topics->count);
    for (size_t i = 0; i < count && !archive->err; i++) {
        struct kf__topic *topic = reads ? new_topic(archive, topics) : topics->items[i];
        if (!reads)
            kf__archive_text(archive, &topic->name);
        if (!topic || archive->err)
            return;
        archive_topic(archive, topics, topic);
        for (int32_t p = 0; reads && p < topic->partition_count; p++)
            topics->bytes += topic->partitions[p].log.bytes;
    }
    topics->ids = (uint64_t)kf__archive_number(archive, (int64_t)topics->ids);
    topics->seed = (uint64_t)kf__archive_number(archive, (int64_t)topics->seed);
    topics->next_leader = (int32_t)kf__archive_number(archive, topics->next_leader);
    if (topics->next_leader < 0)
        kf__archive_fail(archive, KF_ERR_CORRUPT_MESSAGE);
}
