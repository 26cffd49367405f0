/* The producer where each allocation of its life fails once: an error, or nothing lost. */

#include "tests/runtime/producer/help_producer.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <string.h>

enum {
    LARGE = 70000,
};

static kf_broker *broker;
static kf_error error;

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 1}, 2);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_memory, .init = start_broker, .fini = stop_broker, .timeout = 120);

static struct {
    atomic_int left; /* allocations until one fails; below 0: it has */
    atomic_int live;
} memory;

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    if (size && atomic_fetch_sub(&memory.left, 1) == 0)
        return NULL;
    void *resized = kf_default_allocator.resize(NULL, pointer, size);
    atomic_fetch_add(&memory.live, (size && !pointer) - (!size && pointer));
    return resized;
}

static kf_config *configure(const char *codec)
{
    static const kf_allocator alloc = {resize, NULL};
    kf_config *config = help_configure(broker, &alloc, &error);
    kf_config_set(config, "compression.type", codec, &error);
    kf_config_set(config, "batch.size", "400", &error);
    kf_config_set(config, "retry.backoff.ms", "1", &error);
    kf_config_set(config, "reconnect.backoff.ms", "1", &error);
    cr_assert(eq(int, error.code, KF_OK));
    return config;
}

static atomic_int told, stored, released;
static int taken, took_over;

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    atomic_fetch_add(&stored, delivery->fate == KF_STORED);
    atomic_fetch_add(&told, 1);
}

static void release(void *context, kf_bytes value)
{
    (void)context;
    (void)value;
    atomic_fetch_add(&released, 1);
}

static void is_taken_or_without_memory(kf_err err, const char *text)
{
    cr_assert(err == KF_OK || err == KF_ERR_NO_MEMORY, "%d: %s", err, text);
    taken += !err;
}

static void produce_all(kf_producer *producer)
{
    static uint8_t value[LARGE];
    kf_header header = {{"h", 1}, {value, 10}};
    kf_record record = {.topic = "orders", .value = {value, 150}};
    kf_time deadline = kf_now() + 20 * KF_SECOND;
    for (int i = 0; i < 6; i++) {
        record.partition = i % 2;
        record.headers = i == 3 ? &header : NULL;
        record.header_count = i == 3;
        kf_error why = KF_ERROR_INIT;
        kf_err err = kf_produce(producer, &record, take_verdict, NULL, deadline, &why);
        is_taken_or_without_memory(err, why.text);
    }
    kf_error why = KF_ERROR_INIT;
    kf_err err = kf_produce_wait(producer, &record, deadline, NULL, &why);
    cr_assert(err == KF_OK || err == KF_ERR_NO_MEMORY, "%d: %s", err, why.text);
    record.value.size = LARGE;
    err = kf_produce_take(producer, &record, release, take_verdict, NULL, deadline, &why);
    is_taken_or_without_memory(err, why.text);
    took_over += !err;
}

/* True where the allocation that was to fail was asked for. */
static bool goes_without(int allocation, const char *codec)
{
    atomic_store(&memory.left, INT32_MAX);
    atomic_store(&memory.live, 0);
    kf_config *config = configure(codec);
    atomic_store(&memory.left, allocation);
    kf_producer *producer = kf_producer_new(config, &error);
    if (producer) {
        produce_all(producer);
        kf_err err = kf_producer_close(producer, kf_now() + 20 * KF_SECOND);
        cr_assert(err == KF_OK || err == KF_ERR_NO_MEMORY, "%d", err);
    } else {
        cr_assert(eq(int, error.code, KF_ERR_NO_MEMORY), "%s", error.text);
        error = (kf_error)KF_ERROR_INIT;
    }
    kf_config_free(config);
    cr_assert(eq(int, atomic_load(&told), taken), "allocation %d", allocation);
    cr_assert(eq(int, atomic_load(&released), took_over), "allocation %d", allocation);
    cr_assert(eq(int, atomic_load(&memory.live), 0), "allocation %d", allocation);
    return atomic_load(&memory.left) < 0;
}

static void go_without_each(const char *codec)
{
    int allocation = 0;
    while (goes_without(allocation, codec))
        allocation++;
    cr_assert(lt(int, 50, allocation));
    cr_assert(lt(int, 0, atomic_load(&stored)));
}

Test(producer_memory, loses_nothing_whichever_allocation_fails_once) { go_without_each("none"); }

Test(producer_memory, loses_nothing_compressed_whichever_allocation_fails_once)
{
    go_without_each("snappy");
}
