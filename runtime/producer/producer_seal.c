/*
 * producer_seal: compression of closed batches. One that is full is
 * compressed by the thread whose record filled it; one that lingered, on a
 * helper thread where it is large, so that the I/O thread only checksums.
 */
#include "runtime/producer/producer_inside.h"

/* What one compression needs; kept for the next. */
struct kf__sealer {
    struct kf__sealer *next;
    struct kf__codecs codecs;
    struct kf__buffer scratch;
    struct kf__job job;
    struct kf_producer *producer;
    struct kf__out_batch *batch;
};

static struct kf__sealer *take_sealer(struct kf_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    struct kf__sealer *sealer = producer->sealers;
    if (sealer)
        producer->sealers = sealer->next;
    pthread_mutex_unlock(&producer->lock);
    if (sealer)
        return sealer;
    sealer = kf_alloc_zero(producer->alloc, sizeof *sealer);
    if (!sealer)
        return NULL;
    sealer->producer = producer;
    kf__codecs_init(&sealer->codecs, producer->alloc);
    kf__buffer_init(&sealer->scratch, producer->alloc);
    return sealer;
}

static void give_sealer(struct kf__sealer *sealer)
{
    struct kf_producer *producer = sealer->producer;
    pthread_mutex_lock(&producer->lock);
    sealer->next = producer->sealers;
    producer->sealers = sealer;
    pthread_mutex_unlock(&producer->lock);
}

void kf__producer_free_sealers(struct kf_producer *producer)
{
    while (producer->sealers) {
        struct kf__sealer *sealer = producer->sealers;
        producer->sealers = sealer->next;
        kf__codecs_free(&sealer->codecs);
        kf__buffer_free(&sealer->scratch);
        kf_free(producer->alloc, sealer);
    }
}

/* 0 is the codec's own default. */
static int level_of(const struct kf__settings *settings)
{
    switch (settings->compression_type) {
    case KF__COMPRESSION_GZIP:
        return settings->compression_gzip_level < 0 ? 0 : settings->compression_gzip_level;
    case KF__COMPRESSION_LZ4: /* Java's default, 9, is the fast compressor too */
        return settings->compression_lz4_level == 9 ? 0 : settings->compression_lz4_level;
    case KF__COMPRESSION_ZSTD:
        return settings->compression_zstd_level;
    default:
        return 0;
    }
}

static void seal_with(struct kf_producer *producer, struct kf__out_batch *batch,
                      struct kf__sealer *sealer)
{
    const struct kf__settings *settings = &producer->io.settings;
    enum kf_codec codec = sealer ? (enum kf_codec)settings->compression_type : KF_CODEC_NONE;
    (void)kf__out_batch_seal(batch, codec, level_of(settings), sealer ? &sealer->codecs : NULL,
                             sealer ? &sealer->scratch : NULL);
}

void kf__producer_seal(struct kf_producer *producer, struct kf__out_batch *batch)
{
    struct kf__sealer *sealer = producer->io.settings.compression_type == KF__COMPRESSION_NONE
                                    ? NULL
                                    : take_sealer(producer);
    seal_with(producer, batch, sealer);
    if (sealer)
        give_sealer(sealer);
}

/* ---- aside ---- */

static void work(struct kf__job *job)
{
    struct kf__sealer *sealer = KF__OWNER(job, struct kf__sealer, job);
    seal_with(sealer->producer, sealer->batch, sealer);
}

static void done(struct kf__job *job)
{
    struct kf__sealer *sealer = KF__OWNER(job, struct kf__sealer, job);
    struct kf_producer *producer = sealer->producer;
    struct kf__out_batch *batch = sealer->batch;
    struct kf__out_partition *partition = batch->partition;
    producer->aside--;
    batch->sealing = batch->aside = false;
    give_sealer(sealer);
    if (batch->told) {
        partition->told_early--;
        kf__out_batch_end(producer, batch, KF_OK, NULL);
    }
    if (atomic_load(&producer->closing))
        return;
    kf__out_partition_place(producer, partition);
    kf__producer_look(producer);
}

bool kf__producer_seal_aside(struct kf_producer *producer, struct kf__out_batch *batch)
{
    struct kf__sealer *sealer = take_sealer(producer);
    if (!sealer)
        return false;
    sealer->job.work = work;
    sealer->job.done = done;
    sealer->batch = batch;
    batch->sealing = batch->aside = true;
    producer->aside++;
    if (!kf__loop_offload(producer->io.loop, &sealer->job))
        return true;
    producer->aside--;
    batch->sealing = batch->aside = false;
    give_sealer(sealer);
    return false;
}
