/*
 * producer: the public calls, see kafiber/producer.h: opening, flushing,
 * waiting for one record, closing. What a record goes through stands in
 * producer_inside.h.
 */
#include "runtime/producer/producer_inside.h"

#include "runtime/fiber/sched.h"
#include <unistd.h>

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

static kf_err check_codec(const struct kf_producer *producer, kf_error *error)
{
    enum kf_codec codec = (enum kf_codec)producer->io.settings.compression_type;
    if (kf__codec_is_built(codec))
        return KF_OK;
    return kf_error_set(error, KF_ERR_CODEC_NOT_BUILT,
                        "compression.type=%s: this build leaves out that codec",
                        kf__codec_name(codec));
}

static kf_err open_producer(struct kf_producer *producer, const kf_config *config, kf_error *error)
{
    kf_err err = kf__io_open(&producer->io, config, error);
    if (err)
        return err;
    producer->io.owner = producer;
    producer->io.metadata = kf__producer_take_metadata;
    producer->io.fatal = kf__producer_take_fatal;
    err = check_codec(producer, error);
    if (!err)
        err = kf__io_start(&producer->io, error);
    if (err)
        kf__io_close(&producer->io);
    return err;
}

static void free_producer(struct kf_producer *producer)
{
    kf__producer_free_topics(producer);
    kf__codecs_free(&producer->codecs);
    pthread_mutex_destroy(&producer->lock);
    pthread_cond_destroy(&producer->changed);
    kf_free(producer->alloc, producer);
}

kf_producer *kf_producer_new(const kf_config *config, kf_error *error)
{
    const kf_allocator *alloc = &kf_default_allocator;
    struct kf_producer *producer = kf_alloc_zero(alloc, sizeof *producer);
    if (!producer) {
        kf_error_set(error, KF_ERR_NO_MEMORY, "no memory for a producer");
        return NULL;
    }
    producer->alloc = alloc;
    pthread_mutex_init(&producer->lock, NULL);
    kf__condition_init(&producer->changed);
    kf__link_init(&producer->active);
    kf__link_init(&producer->unfinished);
    kf__link_init(&producer->requests);
    kf__codecs_init(&producer->codecs, alloc);
    producer->task.run = look_task;
    kf__timer_init(&producer->timer, look_timer, producer);
    if (open_producer(producer, config, error)) {
        free_producer(producer);
        return NULL;
    }
    return producer;
}

/* ---- producing ---- */

static bool is_io_thread(const struct kf_producer *producer)
{
    return pthread_equal(pthread_self(), producer->io.thread);
}

static kf_err check_caller(const struct kf_producer *producer, kf_error *error)
{
    if (!producer)
        return kf_error_set(error, KF_ERR_INVALID_ARGUMENT, "no producer was given");
    if (producer->io.pid != getpid())
        return kf_error_set(error, KF_ERR_FORKED, "%s", kf_err_text(KF_ERR_FORKED));
    return KF_OK;
}

kf_err kf_produce(kf_producer *producer, const kf_record *record, kf_delivered delivered,
                  void *context, kf_time deadline, kf_error *error)
{
    kf_err err = check_caller(producer, error);
    if (err)
        return err;
    struct kf__receipt receipt = {delivered, context};
    return kf__producer_take(producer, record, receipt, false, deadline, error);
}

kf_err kf_producer_partitioner(kf_producer *producer, kf_partitioner partitioner, void *context)
{
    kf_err err = check_caller(producer, NULL);
    if (err)
        return err;
    pthread_mutex_lock(&producer->lock);
    producer->partitioner = partitioner;
    producer->partitioner_context = context;
    pthread_mutex_unlock(&producer->lock);
    return KF_OK;
}

kf_err kf_producer_intercept(kf_producer *producer, const kf_interceptor *interceptor)
{
    kf_err err = check_caller(producer, NULL);
    if (err || !interceptor)
        return err ? err : KF_ERR_INVALID_ARGUMENT;
    pthread_mutex_lock(&producer->lock);
    err = producer->last_number ? KF_ERR_STATE
                                : kf__interceptors_add(&producer->interceptors, interceptor);
    pthread_mutex_unlock(&producer->lock);
    return err;
}

/* ---- waiting for one record ---- */

/*
 * Who waits and who tells each hold it, and a fiber's timer too: the last one
 * frees it. Timer, task and telling belong to the I/O thread.
 */
struct waiter {
    struct kf_producer *producer;
    pthread_cond_t told;
    struct kf__activation *fiber; /* NULL: a plain thread waits */
    struct kf__task arm;
    struct kf__timer timer;
    kf_time deadline;
    atomic_int holders;
    bool done;
    bool resumed;
    kf_err err;
    int32_t partition;
    int64_t offset;
};

static void release(struct waiter *waiter)
{
    if (atomic_fetch_sub(&waiter->holders, 1) > 1)
        return;
    pthread_cond_destroy(&waiter->told);
    kf_free(waiter->producer->alloc, waiter);
}

static void resume(struct waiter *waiter, kf_err reason)
{
    if (waiter->resumed)
        return;
    waiter->resumed = true;
    kf__sched_resume(waiter->fiber, reason);
}

static void take_verdict(void *context, kf_err err, int32_t partition, int64_t offset)
{
    struct waiter *waiter = context;
    pthread_mutex_lock(&waiter->producer->lock);
    waiter->done = true;
    waiter->err = err;
    waiter->partition = partition;
    waiter->offset = offset;
    pthread_cond_signal(&waiter->told);
    pthread_mutex_unlock(&waiter->producer->lock);
    if (waiter->fiber) {
        if (kf__timer_is_set(&waiter->timer)) {
            kf__timer_cancel(waiter->producer->io.loop, &waiter->timer);
            release(waiter);
        }
        resume(waiter, KF_OK);
    }
    release(waiter);
}

static void expire(struct kf__timer *timer, void *owner)
{
    (void)timer;
    resume(owner, KF_ERR_TIMED_OUT);
    release(owner);
}

static void arm(struct kf__task *task)
{
    struct waiter *waiter = KF__OWNER(task, struct waiter, arm);
    if (waiter->done)
        release(waiter);
    else if (kf__timer_set(waiter->producer->io.loop, &waiter->timer, waiter->deadline))
        expire(&waiter->timer, waiter);
}

static void wait_in_fiber(struct waiter *waiter, kf_time deadline)
{
    if (deadline != KF_FOREVER) {
        waiter->deadline = deadline;
        atomic_fetch_add(&waiter->holders, 1);
        kf__loop_post(waiter->producer->io.loop, &waiter->arm);
    }
    kf__sched_suspend(waiter->fiber);
}

static struct waiter *new_waiter(struct kf_producer *producer)
{
    struct waiter *waiter = kf_alloc_zero(producer->alloc, sizeof *waiter);
    if (!waiter)
        return NULL;
    waiter->producer = producer;
    kf__condition_init(&waiter->told);
    waiter->fiber = kf__activation_current();
    waiter->arm.run = arm;
    kf__timer_init(&waiter->timer, expire, waiter);
    atomic_init(&waiter->holders, 2);
    return waiter;
}

/* False: the deadline has passed. */
static bool wait_for_verdict(struct waiter *waiter, kf_time deadline)
{
    pthread_mutex_t *lock = &waiter->producer->lock;
    if (waiter->fiber)
        wait_in_fiber(waiter, deadline);
    pthread_mutex_lock(lock);
    while (!waiter->fiber && !waiter->done)
        if (!kf__condition_wait(&waiter->told, lock, deadline))
            break;
    bool done = waiter->done;
    pthread_mutex_unlock(lock);
    return done;
}

static kf_err tell_caller(const struct waiter *waiter, const kf_record *record, bool done,
                          int32_t *partition, int64_t *offset, kf_error *error)
{
    if (!done)
        return kf_error_set(error, KF_ERR_TIMED_OUT,
                            "a record for topic %s was not acknowledged in time; it may still be "
                            "stored",
                            record->topic);
    if (waiter->err)
        return kf_error_set(error, waiter->err, "a record was not stored in %s-%d: %s",
                            record->topic, waiter->partition, kf_err_text(waiter->err));
    if (partition)
        *partition = waiter->partition;
    if (offset)
        *offset = waiter->offset;
    return KF_OK;
}

kf_err kf_produce_wait(kf_producer *producer, const kf_record *record, kf_time deadline,
                       int32_t *partition, int64_t *offset, kf_error *error)
{
    kf_err err = check_caller(producer, error);
    if (err)
        return err;
    if (is_io_thread(producer))
        return kf_error_set(error, KF_ERR_STATE, "a delivery callback must not wait");
    struct waiter *waiter = new_waiter(producer);
    if (!waiter)
        return kf_error_set(error, KF_ERR_NO_MEMORY, "no memory to wait for a record");
    struct kf__receipt receipt = {take_verdict, waiter};
    err = kf__producer_take(producer, record, receipt, true, deadline, error);
    if (err) {
        release(waiter);
    } else {
        bool done = wait_for_verdict(waiter, deadline);
        err = tell_caller(waiter, record, done, partition, offset, error);
    }
    release(waiter);
    return err;
}

/* ---- flushing and closing ---- */

static bool has_told(const struct kf_producer *producer, uint64_t number)
{
    if (kf__link_is_alone(&producer->unfinished))
        return true;
    return KF__OWNER(producer->unfinished.next, struct kf__out_batch, unfinished)->number > number;
}

kf_err kf_flush(kf_producer *producer, kf_time deadline)
{
    kf_err err = check_caller(producer, NULL);
    if (err)
        return err;
    if (is_io_thread(producer))
        return KF_ERR_STATE;
    pthread_mutex_lock(&producer->lock);
    uint64_t number = producer->last_number;
    if (producer->flush_to < number)
        producer->flush_to = number;
    kf__loop_post(producer->io.loop, &producer->task);
    while (!err && !has_told(producer, number))
        if (!kf__condition_wait(&producer->changed, &producer->lock, deadline) &&
            !has_told(producer, number))
            err = KF_ERR_TIMED_OUT;
    pthread_mutex_unlock(&producer->lock);
    return err;
}

/* The child's copy: threads and sockets are the parent's, and so are the verdicts. */
static void free_in_child(struct kf_producer *producer)
{
    kf__io_close(&producer->io);
    kf__codecs_free(&producer->codecs);
}

kf_err kf_producer_close(kf_producer *producer, kf_time deadline)
{
    if (!producer)
        return KF_OK;
    if (producer->io.pid != getpid()) {
        free_in_child(producer);
        return KF_ERR_FORKED;
    }
    if (is_io_thread(producer))
        return KF_ERR_STATE;
    kf_err err = kf_flush(producer, deadline);
    pthread_mutex_lock(&producer->lock);
    producer->closing = true;
    pthread_cond_broadcast(&producer->changed);
    pthread_mutex_unlock(&producer->lock);
    kf__io_stop(&producer->io);
    kf__producer_fail_all(producer, KF_ERR_CLOSED);
    kf__timer_cancel(producer->io.loop, &producer->timer);
    kf__io_close(&producer->io); /* requests under way end here, with KF_ERR_CLOSED */
    kf__producer_fail_all(producer, KF_ERR_CLOSED);
    free_producer(producer);
    return err;
}
