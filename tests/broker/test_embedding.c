/* What an empty broker costs: memory by counting, start by the processor's clock. */
#include <kafiber/broker.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <time.h>

enum {
    STARTS = 20,
    MOST_US = 1000,
    MOST_BYTES = 1 << 20,
};

static size_t held;

static void *count(void *context, void *pointer, size_t size)
{
    (void)context;
    size_t *head = pointer ? (size_t *)pointer - 2 : NULL;
    held -= head ? *head : 0;
    if (size == 0) {
        free(head);
        return NULL;
    }
    head = realloc(head, size + 2 * sizeof *head);
    *head = size;
    held += size;
    return head + 2;
}

static int64_t cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The quickest start counts: the others may have waited for the system. */
static void start_and_stop(const kf_broker_options *options)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < STARTS; i++) {
        kf_error error = KF_ERROR_INIT;
        int64_t before = cpu_us();
        kf_broker *broker = kf_broker_start(options, &error);
        int64_t took = cpu_us() - before;
        cr_assert(ne(ptr, broker, NULL), "%s", error.text);
        cr_assert(le(sz, held, MOST_BYTES));
        least = took < least ? took : least;
        kf_broker_stop(broker);
        cr_assert(eq(sz, held, 0));
    }
    cr_assert(le(i64, least, MOST_US));
}

Test(broker_embedding, starts_within_a_millisecond_and_a_mebibyte)
{
    kf_allocator alloc = {.resize = count};
    kf_broker_options options = {.size = sizeof options, .alloc = &alloc};
    start_and_stop(&options);
    options.nodes = 3;
    start_and_stop(&options);
    options.virtual_time = true;
    start_and_stop(&options);
}
