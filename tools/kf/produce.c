/*
 * produce: `kf produce`: lines of stdin become records.
 *
 *   stdin ──line──▶ record ──kf_produce──▶ … ──callback──▶ slot ──in order──▶ stdout, stderr
 *
 * Each record has a slot in input order; the producer's thread fills it in,
 * this one prints from the front what is filled. So nothing is printed on the
 * producer's thread, and --report keeps the order of the input.
 */
#include "tools/kf/lines.h"
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_BYTES = 65536,
    REPORT_MS = 10,      /* how soon a verdict is printed while stdin is quiet */
    LOOK_MS = 500,       /* for a signal that came just before this thread began to wait */
    CUT_SHORT_MS = 5000, /* what a signal leaves for records under way */
    NAMED_MAX = 100,     /* records that failed, named one by one; the rest is counted */
};

static const char usage[] =
    "usage: kf produce TOPIC [OPTION]...        lines of stdin become records\n"
    "\n"
    "  -p, --partition N    into this one; default: by key, or evenly\n"
    "  -k, --key KEY        for each record that brings none\n"
    "  -K, --key-separator SEP  a line is KEY SEP VALUE; one without SEP has no key\n"
    "  -H, --header NAME=VALUE  may be repeated; keeps its order\n"
    "      --json           a line is an object as kf consume --json prints it:\n"
    "                       {\"key\":\"k\",\"value\":\"v\",\"headers\":[[\"h\",\"v\"]]}; key_b64 "
    "and value_b64\n"
    "                       for bytes; partition and timestamp are kept, topic and offset are not\n"
    "  -z, --compression CODEC  gzip, snappy, lz4 or zstd\n"
    "      --acks all|1|0   which replicas must have a record (all)\n"
    "      --report         print PARTITION OFFSET for each record, in input order\n"
    "common: -b HOST:PORT,...  -F client.properties  -X key=value  --timeout MS  --verbose\n"
    "\n"
    "  echo hello | kf produce greetings\n"
    "  kf consume orders -e --json | kf produce orders-copy --json\n"
    "\n"
    "Exit: 1 where a record was not stored, each named on stderr; 3 without a broker.\n";

/* What became of one record. */
struct slot {
    struct slot *next;
    struct produce *produce;
    int64_t line;
    bool told;
    kf_err err;
    kf_fate fate;
    int32_t partition;
    int64_t offset;
    char *reason; /* the broker's or the producer's own words; NULL: none */
};

struct produce {
    struct kf__command command;
    int64_t partition; /* -1: not given */
    const char *key;
    const char *separator;
    struct kf__texts header_texts;
    const char *codec;
    const char *acks;
    bool report;

    const char *topic;
    kf_header *headers; /* of -H */
    kf_producer *producer;
    kf_arena arena;
    int64_t line; /* of stdin, from 1 */

    pthread_mutex_t lock; /* guards the slots' verdicts and `told` */
    struct slot *first;
    struct slot *last;
    int64_t failed;
    bool broken; /* stdout */
};

static volatile sig_atomic_t stop_signal;

#define AT(member) offsetof(struct produce, member)
static const struct kf__option options[] = {
    {'p', "partition", KF__OPTION_NUMBER, AT(partition)},
    {'k', "key", KF__OPTION_TEXT, AT(key)},
    {'K', "key-separator", KF__OPTION_TEXT, AT(separator)},
    {'H', "header", KF__OPTION_TEXTS, AT(header_texts)},
    {'z', "compression", KF__OPTION_TEXT, AT(codec)},
    {0, "acks", KF__OPTION_TEXT, AT(acks)},
    {0, "report", KF__OPTION_FLAG, AT(report)},
};
#undef AT

/* ---- what became of records ---- */

static void name_failure(struct produce *produce, int64_t line, kf_fate fate, kf_err err,
                         const char *text)
{
    if (++produce->failed > NAMED_MAX)
        return;
    fprintf(stderr, "kf produce: line %lld %s: %s (%s)\n", (long long)line,
            fate == KF_FATE_UNKNOWN ? "may be stored or not" : "was not stored", text,
            kf_err_name(err));
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct slot *slot = context;
    struct produce *produce = slot->produce;
    pthread_mutex_lock(&produce->lock);
    slot->err = delivery->err;
    slot->fate = delivery->fate;
    slot->partition = delivery->partition;
    slot->offset = delivery->offset;
    slot->reason = delivery->reason ? strdup(delivery->reason) : NULL;
    slot->told = true;
    pthread_mutex_unlock(&produce->lock);
}

static void print_slot(struct produce *produce, const struct slot *slot)
{
    if (slot->err)
        name_failure(produce, slot->line, slot->fate, slot->err,
                     slot->reason ? slot->reason : kf_err_text(slot->err));
    if (!produce->report)
        return;
    if (slot->err ? printf("-1 -1\n") < 0
                  : printf("%d %lld\n", slot->partition, (long long)slot->offset) < 0)
        produce->broken = true;
}

/* From the front, what is told. True where some are still under way. */
static bool print_told(struct produce *produce)
{
    for (;;) {
        struct slot *slot = produce->first;
        if (!slot)
            return false;
        pthread_mutex_lock(&produce->lock);
        bool told = slot->told;
        pthread_mutex_unlock(&produce->lock);
        if (!told)
            return true;
        print_slot(produce, slot);
        produce->first = slot->next;
        if (!produce->first)
            produce->last = NULL;
        free(slot->reason);
        free(slot);
    }
}

static struct slot *add_slot(struct produce *produce)
{
    struct slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return NULL;
    slot->produce = produce;
    slot->line = produce->line;
    if (produce->last)
        produce->last->next = slot;
    else
        produce->first = slot;
    produce->last = slot;
    return slot;
}

/* ---- a line becomes a record ---- */

static kf_bytes bytes_of(const char *text)
{
    return (kf_bytes){(const uint8_t *)text, strlen(text)};
}

static const char *find(const char *text, size_t size, const char *what)
{
    size_t length = strlen(what);
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(text + i, what, length) == 0)
            return text + i;
    return NULL;
}

static void read_plain(const struct produce *produce, const char *text, size_t size,
                       kf_record *record)
{
    *record = (kf_record){.partition = -1, .value = {(const uint8_t *)text, size}};
    const char *middle = produce->separator ? find(text, size, produce->separator) : NULL;
    if (!middle)
        return;
    size_t key = (size_t)(middle - text);
    size_t skipped = key + strlen(produce->separator);
    record->key = (kf_bytes){(const uint8_t *)text, key};
    record->value = (kf_bytes){(const uint8_t *)text + skipped, size - skipped};
}

static kf_err add_headers(struct produce *produce, kf_record *record)
{
    size_t more = produce->header_texts.count;
    if (more == 0)
        return KF_OK;
    size_t count = record->header_count + more;
    kf_header *headers = kf_arena_alloc(&produce->arena, count * sizeof *headers);
    if (!headers)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < record->header_count; i++)
        headers[i] = record->headers[i];
    for (size_t i = 0; i < more; i++)
        headers[record->header_count + i] = produce->headers[i];
    record->headers = headers;
    record->header_count = count;
    return KF_OK;
}

static kf_err make_record(struct produce *produce, const char *text, size_t size, kf_record *record,
                          kf_error *error)
{
    kf_err err = KF_OK;
    kf_arena_reset(&produce->arena);
    if (produce->command.json)
        err = kf__line_read(text, size, &produce->arena, record, error);
    else
        read_plain(produce, text, size, record);
    if (err)
        return err;
    record->topic = produce->topic;
    if (produce->partition >= 0)
        record->partition = (int32_t)produce->partition;
    if (produce->key && !record->key.data)
        record->key = bytes_of(produce->key);
    err = add_headers(produce, record);
    return err ? kf_error_set(error, err, "%s", kf_err_text(err)) : KF_OK;
}

/* A full buffer only means to wait: records end after delivery.timeout.ms at the latest. */
static kf_err send_record(struct produce *produce, const kf_record *record, struct slot *slot,
                          kf_error *error)
{
    kf_err err;
    do {
        *error = (kf_error)KF_ERROR_INIT;
        err = kf_produce(produce->producer, record, take_verdict, slot,
                         kf__command_deadline(&produce->command), error);
        print_told(produce);
    } while (err == KF_ERR_BUFFER_FULL && !stop_signal);
    return err;
}

/* What concerns this record only; anything else would befall the next one too. */
static bool is_of_one_record(kf_err err, const struct produce *produce)
{
    return err == KF_ERR_BAD_JSON || err == KF_ERR_MESSAGE_TOO_LARGE ||
           err == KF_ERR_INVALID_ARGUMENT ||
           (err == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION && produce->command.json);
}

/* KF__GO_ON, or the exit code. */
static int take_line(struct produce *produce, const char *text, size_t size)
{
    produce->line++;
    kf_record record;
    kf_error error = KF_ERROR_INIT;
    struct slot *slot = add_slot(produce);
    if (!slot) {
        kf_error_set(&error, KF_ERR_NO_MEMORY, "%s", kf_err_text(KF_ERR_NO_MEMORY));
        return kf__report(&produce->command, &error);
    }
    kf_err err = make_record(produce, text, size, &record, &error);
    if (!err)
        err = send_record(produce, &record, slot, &error);
    if (!err)
        return produce->broken ? KF__EXIT_PARTLY : KF__GO_ON;
    /* Its error is named here, with the whole sentence. */
    take_verdict(slot, &(kf_delivery){.partition = -1, .offset = -1});
    name_failure(produce, produce->line, KF_NOT_STORED, err, error.text);
    if (is_of_one_record(err, produce))
        return KF__GO_ON;
    int code = kf_err_exit_code(err);
    return code ? code : KF__EXIT_PARTLY;
}

/* ---- stdin ---- */

struct input {
    char *bytes;
    size_t used;
    size_t capacity;
};

static bool make_room(struct input *input)
{
    if (input->capacity - input->used >= READ_BYTES)
        return true;
    size_t capacity = input->capacity * 2 + READ_BYTES;
    char *bytes = realloc(input->bytes, capacity);
    if (!bytes)
        return false;
    input->bytes = bytes;
    input->capacity = capacity;
    return true;
}

/* While stdin is quiet, verdicts are printed as they come. */
static void wait_for_input(struct produce *produce)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    bool under_way;
    do {
        under_way = print_told(produce);
        if (!under_way)
            fflush(stdout);
    } while (!stop_signal && poll(&input, 1, under_way ? REPORT_MS : LOOK_MS) == 0);
}

/* 0 at the end, below 0 after an error or a signal. */
static ssize_t read_more(struct produce *produce, struct input *input)
{
    if (!make_room(input)) {
        errno = ENOMEM;
        return -1;
    }
    wait_for_input(produce);
    ssize_t got =
        stop_signal ? -1
                    : read(STDIN_FILENO, input->bytes + input->used, input->capacity - input->used);
    if (got > 0)
        input->used += (size_t)got;
    return got;
}

/* All whole lines; the rest moves to the front. */
static int take_lines(struct produce *produce, struct input *input, size_t *scanned)
{
    size_t begin = 0;
    int code = KF__GO_ON;
    while (code == KF__GO_ON && !stop_signal) {
        char *newline = memchr(input->bytes + *scanned, '\n', input->used - *scanned);
        if (!newline)
            break;
        size_t end = (size_t)(newline - input->bytes);
        code = take_line(produce, input->bytes + begin, end - begin);
        *scanned = begin = end + 1;
    }
    memmove(input->bytes, input->bytes + begin, input->used - begin);
    input->used -= begin;
    *scanned = input->used;
    return code;
}

static int take_all(struct produce *produce)
{
    struct input input = {0};
    size_t scanned = 0;
    int code = KF__GO_ON;
    ssize_t got = 1;
    while (code == KF__GO_ON && got > 0 && !stop_signal) {
        got = read_more(produce, &input);
        if (got > 0)
            code = take_lines(produce, &input, &scanned);
    }
    if (code == KF__GO_ON && got == 0 && input.used > 0)
        code = take_line(produce, input.bytes, input.used);
    if (code == KF__GO_ON && got < 0 && !stop_signal) {
        fprintf(stderr, "kf produce: stdin: %s\n", strerror(errno));
        code = KF__EXIT_PARTLY;
    }
    free(input.bytes);
    return code;
}

/* ---- the verb ---- */

static void note_signal(int number) { stop_signal = number; }

static int read_headers(struct produce *produce)
{
    size_t count = produce->header_texts.count;
    produce->headers = calloc(count + 1, sizeof *produce->headers);
    for (size_t i = 0; produce->headers && i < count; i++) {
        const char *text = produce->header_texts.items[i];
        const char *equals = strchr(text, '=');
        if (!equals || equals == text)
            return kf__usage_error(&produce->command, "-H takes NAME=VALUE, not \"%s\"", text);
        produce->headers[i].name = (kf_string){text, (size_t)(equals - text)};
        produce->headers[i].value = bytes_of(equals + 1);
    }
    return produce->headers ? KF__GO_ON : KF__EXIT_PARTLY;
}

static int configure(struct produce *produce)
{
    kf_config *config = produce->command.config;
    kf_error error = KF_ERROR_INIT;
    if (produce->acks)
        kf_config_set(config, "acks", produce->acks, &error);
    if (produce->codec && !error.code)
        kf_config_set(config, "compression.type", produce->codec, &error);
    return error.code ? kf__report(&produce->command, &error) : KF__GO_ON;
}

static int check(struct produce *produce)
{
    const struct kf__command *command = &produce->command;
    if (command->arguments.count != 1)
        return kf__usage_error(command, "name one topic");
    produce->topic = command->arguments.items[0];
    if (produce->partition > INT32_MAX)
        return kf__usage_error(command, "there is no partition %lld",
                               (long long)produce->partition);
    if (produce->separator && command->json)
        return kf__usage_error(command, "with --json the key stands in the line: leave out -K");
    if (produce->separator && !*produce->separator)
        return kf__usage_error(command, "-K wants at least one character");
    int code = read_headers(produce);
    return code == KF__GO_ON ? configure(produce) : code;
}

static int finish(struct produce *produce, int code)
{
    kf_time deadline = stop_signal ? kf_now() + CUT_SHORT_MS * KF_MILLISECOND : KF_FOREVER;
    bool cut_short = stop_signal != 0;
    while (print_told(produce) &&
           kf_flush(produce->producer, kf_now() + REPORT_MS * KF_MILLISECOND))
        if (kf_now() >= deadline || (stop_signal && !cut_short))
            break;
    kf_producer_close(produce->producer, 0);
    print_told(produce);
    if (produce->failed > NAMED_MAX)
        fprintf(stderr, "kf produce: … and %lld more\n", (long long)(produce->failed - NAMED_MAX));
    if (stop_signal || produce->broken)
        fprintf(stderr, "kf produce: ended behind line %lld\n", (long long)produce->line);
    if (stop_signal)
        return KF__EXIT_SIGNAL + stop_signal;
    if (code == KF__GO_ON)
        code = produce->failed ? KF__EXIT_PARTLY : KF__EXIT_DONE;
    return code;
}

static int run(struct produce *produce)
{
    int code = check(produce);
    if (code != KF__GO_ON)
        return code;
    kf_error error = KF_ERROR_INIT;
    produce->producer = kf_producer_new(produce->command.config, &error);
    if (!produce->producer)
        return kf__report(&produce->command, &error);
    kf__catch_signals(note_signal);
    return kf__finish(&produce->command, finish(produce, take_all(produce)));
}

int kf__verb_produce(int argc, char **argv)
{
    struct produce produce = {
        .command = {.verb = "produce",
                    .usage = usage,
                    .options = options,
                    .option_count = sizeof options / sizeof *options},
        .partition = -1,
    };
    pthread_mutex_init(&produce.lock, NULL);
    kf_arena_init(&produce.arena, &kf_default_allocator, 0);
    int code = kf__command_read(&produce.command, argc, argv, &produce);
    if (code == KF__GO_ON)
        code = run(&produce);
    kf_arena_free(&produce.arena);
    free(produce.headers);
    kf__command_free(&produce.command);
    pthread_mutex_destroy(&produce.lock);
    return code;
}
