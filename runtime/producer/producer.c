/*
 * producer: the public calls, see kafiber/producer.h: opening, producing,
 * closing; those that wait stand in producer_wait.c. What a record goes
 * through stands in producer_inside.h.
 */
#include "runtime/producer/producer_inside.h"

#include <unistd.h>

/* ---- forks ---- */

/* getpid() would cost a system call a record. */
struct kf__forks kf__forks_seen;
static pthread_once_t watch_forks_once = PTHREAD_ONCE_INIT;

static void count_fork(void) { atomic_fetch_add(&kf__forks_seen.count, 1); }
static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, count_fork); }

/* ---- opening ---- */

static void look_task(struct kf__task *task)
{
    kf__producer_look(KF__OWNER(task, struct kf_producer, task));
}

static void look_timer(struct kf__timer *timer, void *owner)
{
    (void)timer;
    kf__producer_look(owner);
}

/* On the I/O thread: no batch is under way, and nobody waits for anything. */
static bool rests(void *owner)
{
    struct kf_producer *producer = owner;
    pthread_mutex_lock(&producer->lock);
    bool all_told =
        kf__link_is_alone(&producer->unfinished) && kf__link_is_alone(&producer->for_topics);
    pthread_mutex_unlock(&producer->lock);
    return all_told && kf__link_is_alone(&producer->requests);
}

static kf_err check_codec(const struct kf_producer *producer, kf_error *error)
{
    enum kf_codec codec = (enum kf_codec)producer->io.settings.compression_type;
    if (kf__codec_is_built(codec))
        return KF_OK;
    return kf_error_set(error, KF_ERR_CODEC_NOT_BUILT,
                        "compression.type=%s: this build leaves out that codec",
                        kf__codec_name(codec));
}

/* Java's rules: what the caller said outright wins; two that contradict each other are an error. */
static kf_err choose_idempotence(struct kf_producer *producer, const kf_config *config,
                                 kf_error *error)
{
    const struct kf__settings *settings = &producer->io.settings;
    bool asked = kf__config_source(config, "enable.idempotence") != KF__FROM_DEFAULT;
    const char *against = settings->acks != KF__ACKS_ALL ? "acks other than all"
                          : settings->max_in_flight_requests_per_connection > KF__OUT_IDEMPOTENT_MAX
                              ? "max.in.flight.requests.per.connection above 5"
                              : NULL;
    producer->idempotent = settings->enable_idempotence && !against;
    if (settings->enable_idempotence && asked && against)
        return kf_error_set(error, KF_ERR_CONFIG,
                            "enable.idempotence=true contradicts %s: leave one of them out",
                            against);
    producer->id_state = producer->idempotent ? KF__ID_NONE : KF__ID_NEVER;
    return KF_OK;
}

/* Each record that lingers would be given up before it leaves. */
static kf_err check_times(const struct kf_producer *producer, kf_error *error)
{
    const struct kf__settings *settings = &producer->io.settings;
    if (settings->linger_ms < settings->delivery_timeout_ms)
        return KF_OK;
    return kf_error_set(error, KF_ERR_CONFIG,
                        "delivery.timeout.ms=%lld leaves no time behind linger.ms=%lld",
                        (long long)settings->delivery_timeout_ms, (long long)settings->linger_ms);
}

/* In a tiny buffer what goes with the bytes counts: there each record is looked at. */
static size_t largest_record(const struct kf__settings *settings)
{
    enum {
        TINY = 4096, /* bytes: beyond, a quarter leaves room for the blocks of a batch */
    };
    size_t quarter = settings->buffer_memory < TINY ? 0 : (size_t)settings->buffer_memory / 4;
    size_t request = (size_t)settings->max_request_size;
    size_t largest = request > KF__BATCH_HEADER_BYTES ? request - KF__BATCH_HEADER_BYTES : 0;
    return largest < quarter ? largest : quarter;
}

static kf_err prepare(struct kf_producer *producer, const kf_config *config, kf_error *error)
{
    const struct kf__settings *settings = &producer->io.settings;
    kf_err err = check_codec(producer, error);
    if (!err)
        err = check_times(producer, error);
    if (!err)
        err = choose_idempotence(producer, config, error);
    producer->in_flight_max = settings->max_in_flight_requests_per_connection;
    size_t kept = sizeof(struct kf__out_batch); /* what each batch takes is kept for the next */
    if (kept < (size_t)settings->batch_size)
        kept = (size_t)settings->batch_size;
    kf__out_memory_init(&producer->memory, producer->alloc, &producer->lock,
                        (size_t)settings->buffer_memory, kept);
    producer->real_clock = kf__loop_world(producer->io.loop) == &kf__real_world;
    producer->keys_by_murmur2 =
        settings->partitioner <= KF__PARTITIONER_MURMUR2 && !settings->partitioner_ignore_keys;
    producer->largest_record = largest_record(settings);
    return err;
}

static kf_err open_producer(struct kf_producer *producer, const kf_config *config, kf_error *error)
{
    producer->io.alloc = producer->alloc;
    kf_err err = kf__io_open(&producer->io, config, error);
    if (err)
        return err;
    producer->io.owner = producer;
    producer->io.metadata = kf__producer_take_metadata;
    producer->io.fatal = kf__producer_take_fatal;
    producer->io.rests = rests;
    err = prepare(producer, config, error);
    if (!err)
        err = kf__io_start(&producer->io, error);
    if (err)
        kf__io_close(&producer->io);
    return err;
}

static void free_nodes(struct kf_producer *producer)
{
    while (producer->nodes) {
        struct kf__out_node *node = producer->nodes;
        producer->nodes = node->next;
        kf_free(producer->alloc, node);
    }
}

static void free_producer(struct kf_producer *producer)
{
    kf__producer_free_topics(producer);
    kf__producer_free_sealers(producer);
    kf__waiters_free(producer);
    free_nodes(producer);
    kf__out_memory_free(&producer->memory);
    pthread_mutex_destroy(&producer->lock);
    pthread_cond_destroy(&producer->teller_wanted);
    pthread_cond_destroy(&producer->teller_rested);
    kf_allocator alloc = producer->allocator;
    kf_free(&alloc, producer);
}

static void init_lists(struct kf_producer *producer)
{
    kf__link_init(&producer->unfinished);
    kf__link_init(&producer->for_topics);
    kf__link_init(&producer->for_flush);
    kf__link_init(&producer->lingering);
    kf__link_init(&producer->backing_off);
    kf__link_init(&producer->for_sealer);
    kf__link_init(&producer->requests);
    kf__link_init(&producer->to_tell);
}

kf_producer *kf_producer_new(const kf_config *config, kf_error *error)
{
    kf_allocator alloc = config ? kf__config_alloc(config) : kf_default_allocator;
    struct kf_producer *producer = kf_alloc_zero(&alloc, sizeof *producer);
    if (!producer) {
        kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a producer");
        return NULL;
    }
    pthread_once(&watch_forks_once, watch_forks);
    producer->allocator = alloc;
    producer->alloc = &producer->allocator;
    producer->forks = kf__forks();
    pthread_mutex_init(&producer->lock, NULL);
    pthread_cond_init(&producer->teller_wanted, NULL);
    pthread_cond_init(&producer->teller_rested, NULL);
    init_lists(producer);
    atomic_init(&producer->looks_at, KF_FOREVER);
    producer->task.run = look_task;
    kf__timer_init(&producer->timer, look_timer, producer);
    if (open_producer(producer, config, error)) {
        free_producer(producer);
        return NULL;
    }
    return producer;
}

/* ---- producing ---- */

void kf_producer_on_batch(kf_producer *producer, kf_delivered told, void *context)
{
    if (!producer)
        return;
    producer->on_batch = told;
    producer->on_batch_context = context;
}

const char *kf_producer_topic(kf_producer *producer, const char *name)
{
    struct kf__out_topic *topic = producer && name ? kf__producer_topic(producer, name) : NULL;
    return topic ? topic->name : NULL;
}

kf_err kf_producer_partitioner(kf_producer *producer, kf_partitioner partitioner, void *context)
{
    if (!producer)
        return KF_ERR_INVALID_ARGUMENT;
    producer->partitioner = partitioner;
    producer->partitioner_context = context;
    producer->keys_by_murmur2 &= !partitioner;
    return KF_OK;
}

kf_err kf_producer_intercept(kf_producer *producer, const kf_interceptor *interceptor)
{
    if (!producer || !interceptor)
        return KF_ERR_INVALID_ARGUMENT;
    pthread_mutex_lock(&producer->lock);
    kf_err err = producer->last_number ? KF_ERR_STATE
                                       : kf__interceptors_add(&producer->interceptors, interceptor);
    if (!err)
        atomic_store(&producer->not_plain, true);
    pthread_mutex_unlock(&producer->lock);
    return err;
}

/* ---- closing ---- */

/* The child's copy: threads and sockets are the parent's, and so are the verdicts. */
static void free_in_child(struct kf_producer *producer) { kf__io_close(&producer->io); }

kf_err kf_producer_close(kf_producer *producer, kf_time deadline)
{
    if (!producer)
        return KF_OK;
    if (producer->io.pid != getpid()) {
        free_in_child(producer);
        return KF_ERR_FORKED;
    }
    if (kf__producer_must_not_wait(producer))
        return KF_ERR_STATE;
    kf_err err = kf_flush(producer, deadline);
    atomic_store(&producer->closing, true);
    atomic_store(&producer->not_plain, true);
    kf__io_stop(&producer->io);
    kf__producer_hold_teller(producer); /* a callback that produces did so before: all is known */
    kf__producer_fail_all(producer, KF_ERR_CLOSED);
    kf__producer_stop_id(producer);
    kf__timer_cancel(producer->io.loop, &producer->timer);
    kf__io_close(&producer->io); /* requests under way end here, with KF_ERR_CLOSED */
    kf__producer_end_teller(producer);
    free_producer(producer);
    return err;
}
