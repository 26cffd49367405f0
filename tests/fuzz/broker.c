/*
 * broker: a hostile client against the embedded broker, without sockets and
 * in virtual time. The input's bytes are decisions: which connection asks
 * what, in which version, with which values; what is spoilt on the way; which
 * node stops; how much time passes. Every answer must decode as what was
 * asked for, and nothing that so small an input says may take much memory.
 *
 * KAFIBER_FUZZ_COUNT in the environment: says at the end how many requests
 * the broker took; those that it couldn't read, or that came to a closed
 * connection, are not counted.
 */
#include "net/loop/world.h"
#include "proto/batch/batch.h"
#include "proto/codec/frame.h"
#include "proto/codec/schema.h"
#include "tools/broker/state.h"

#include <arpa/inet.h>
#include <kafiber/broker.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS = 4,
    MADE_UP = 3000, /* so much that starting a broker and the fuzzer's own work cost little */
    NODES = 3,
    FIRST_PORT = 9092,
    EXPECTED = 64,              /* answers that a connection may owe */
    MEMORY_LIMIT = 256 << 20,   /* bytes for one input */
    ANSWER_LIMIT = 64 << 20,    /* bytes of one answer's structs */
    LITTLE_MEMORY = 32 << 10,   /* at least, where the input says that it runs out */
    BROKER_MAX_BYTES = 1 << 20, /* of its logs */
};

struct asked {
    int32_t correlation;
    int16_t api;
    int16_t version;
};

struct connection {
    int fd; /* -1: none */
    struct asked asked[EXPECTED];
    uint8_t *bytes; /* received, not yet whole */
    size_t used, capacity;
};

static struct {
    const uint8_t *at, *end;
    uint64_t random;
    int more; /* bytes to be made up behind the end */
    kf_broker *broker;
    const struct kf__world *world;
    struct connection connections[CONNECTIONS];
    int32_t correlation;
    kf_uuid topic_id; /* of an answer, like the next two */
    char member[256];
    int64_t producer_id;
    struct kf__codecs codecs;
    struct kf__buffer batch;
} fuzz;

static size_t held, budget, requests, refused, answers;

static void fail(const char *what, int line)
{
    fprintf(stderr, "line %d: %s doesn't hold\n", line, what);
    abort();
}
#define check(holds) ((holds) ? (void)0 : fail(#holds, __LINE__))

/* ---- memory that counts ---- */

static void *count_resize(void *context, void *memory, size_t size)
{
    (void)context;
    size_t *head = memory ? (size_t *)memory - 2 : NULL;
    held -= head ? *head : 0;
    if (size == 0) {
        free(head);
        return NULL;
    }
    check(held + size <= MEMORY_LIMIT);
    if (held + size > budget) {
        held += head ? *head : 0;
        return NULL;
    }
    head = realloc(head, size + 2 * sizeof *head);
    check(head != NULL);
    *head = size;
    held += size;
    return head + 2;
}

/* ---- decisions ---- */

/* Behind the input's end they come from a generator that it seeds, so that a short input, too,
 * says much. */
static uint8_t byte(void)
{
    if (fuzz.at < fuzz.end) {
        fuzz.random = fuzz.random * 31 + *fuzz.at;
        return *fuzz.at++;
    }
    fuzz.more -= fuzz.more > 0;
    fuzz.random ^= fuzz.random << 13;
    fuzz.random ^= fuzz.random >> 7;
    fuzz.random ^= fuzz.random << 17;
    return (uint8_t)(fuzz.random >> 24);
}

static unsigned below(unsigned limit) { return byte() % limit; }

static int64_t number(void)
{
    static const int64_t usual[] = {
        0,     1,       -1,        2,         3,         100,       6000,
        10000, 1 << 20, INT32_MAX, INT64_MAX, INT32_MIN, INT64_MIN, 1767225600000};
    unsigned which = below(20);
    if (which < sizeof usual / sizeof *usual)
        return usual[which];
    return which == 14 ? fuzz.producer_id : (int64_t)byte();
}

static kf_string text(bool nullable)
{
    static const char *const usual[] = {"a", "b", "g", "range", "consumer", "", "1", "*", "x.y"};
    static char longest[400];
    unsigned which = below(14);
    if (which < sizeof usual / sizeof *usual)
        return kf__text(usual[which]);
    if (which == 9 && nullable)
        return (kf_string){0};
    if (which == 10) {
        memset(longest, 'n', sizeof longest);
        return (kf_string){longest, 100 + (size_t)byte()};
    }
    return kf__text(fuzz.member);
}

static kf_bytes records(void)
{
    static const uint8_t noise[] = {1, 2, 3};
    struct kf__batch_builder builder;
    struct kf__batch_options options = {.codec = (enum kf_codec)below(3),
                                        .producer_id = below(2) ? fuzz.producer_id : -1,
                                        .producer_epoch = (int16_t)below(2),
                                        .base_sequence = (int32_t)below(4),
                                        .transactional = below(4) == 0};
    if (below(8) == 0)
        return (kf_bytes){noise, below(4)};
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    for (unsigned i = below(3) + 1; i > 0; i--)
        kf__batch_builder_add(&builder, number(), (kf_bytes){noise, below(4)},
                              (kf_bytes){noise, below(4)}, NULL, 0);
    fuzz.batch.used = 0;
    kf__batch_builder_finish(&builder, &options, &fuzz.codecs, &fuzz.batch);
    kf__batch_builder_free(&builder);
    return (kf_bytes){fuzz.batch.bytes, fuzz.batch.used};
}

/* ---- requests by their descriptors ---- */

static void fill(kf_arena *arena, kf_fields fields, uint8_t *base, int16_t version);

static void fill_value(kf_arena *arena, const kf_field *field, uint8_t *at, int16_t version,
                       bool nullable)
{
    int64_t value = field->type < KF_FIELD_UUID ? number() : 0;
    double real = (double)value;
    kf_string string;
    kf_bytes bytes;
    switch (field->type) {
    case KF_FIELD_BOOL:
        *at = value & 1;
        break;
    case KF_FIELD_INT8:
    case KF_FIELD_INT16:
    case KF_FIELD_UINT16:
    case KF_FIELD_INT32:
    case KF_FIELD_UINT32:
    case KF_FIELD_INT64:
        memcpy(at, &value, field->element_size); /* little-endian machines fuzz */
        break;
    case KF_FIELD_FLOAT64:
        memcpy(at, &real, sizeof real);
        break;
    case KF_FIELD_UUID:
        if (below(4))
            memcpy(at, &fuzz.topic_id, sizeof fuzz.topic_id);
        break;
    case KF_FIELD_STRING:
        string = text(nullable);
        memcpy(at, &string, sizeof string);
        break;
    case KF_FIELD_BYTES:
        string = text(nullable);
        bytes = (kf_bytes){(const uint8_t *)string.data, string.size};
        memcpy(at, &bytes, sizeof bytes);
        break;
    case KF_FIELD_RECORDS:
        bytes = records();
        if (bytes.data) {
            uint8_t *copy = kf_arena_alloc(arena, bytes.size + 1);
            memcpy(copy, bytes.data, bytes.size);
            bytes.data = copy;
            memcpy(at, &bytes, sizeof bytes);
        }
        break;
    case KF_FIELD_STRUCT:
        kf__reset_struct(field->inside, at);
        fill(arena, kf_fields_inside(field), at, version);
        break;
    case KF_FIELD_STRUCT_POINTER:
        break;
    }
}

static void fill(kf_arena *arena, kf_fields fields, uint8_t *base, int16_t version)
{
    kf_field field;
    while (kf_fields_next(&fields, &field)) {
        if (version < field.since || version > field.until || (field.tag >= 0 && below(3)))
            continue;
        bool nullable = field.nullable_since >= 0 && version >= field.nullable_since &&
                        version <= field.nullable_until;
        if (!field.array) {
            fill_value(arena, &field, base + field.offset, version, nullable);
            continue;
        }
        int32_t count = (int32_t)below(4);
        if (count == 3) {
            count = nullable ? -1 : 1;
        }
        uint8_t *items =
            count > 0 ? kf_arena_alloc(arena, field.element_size * (size_t)count) : NULL;
        for (int32_t i = 0; i < count; i++)
            fill_value(arena, &field, items + (size_t)i * field.element_size, version, false);
        kf__array_set(base + field.offset, items, count);
    }
}

/* ---- the wire ---- */

static void hang_up(struct connection *connection)
{
    if (connection->fd >= 0)
        fuzz.world->close(fuzz.world->context, connection->fd);
    connection->fd = -1;
    connection->used = 0;
}

static bool dial(struct connection *connection)
{
    if (connection->fd >= 0)
        return true;
    struct kf__address address = {.size = sizeof(struct sockaddr_in)};
    struct sockaddr_in to = {.sin_family = AF_INET};
    int error = 0;
    to.sin_port = htons((uint16_t)(FIRST_PORT + below(NODES)));
    memcpy(&address.storage, &to, sizeof to);
    memset(connection->asked, 0, sizeof connection->asked);
    connection->fd = fuzz.world->connect(fuzz.world->context, &address, &error);
    return connection->fd >= 0;
}

/* What later requests may repeat. */
static void learn(int16_t api, const void *response)
{
    if (api == KF_API_JOIN_GROUP) {
        const struct kf_join_group_response *joined = response;
        snprintf(fuzz.member, sizeof fuzz.member, "%.*s", (int)joined->member_id.size,
                 joined->member_id.data ? joined->member_id.data : "");
    } else if (api == KF_API_METADATA) {
        const struct kf_metadata_response *metadata = response;
        if (metadata->topics.count > 0)
            fuzz.topic_id = metadata->topics.items[0].topic_id;
    } else if (api == KF_API_INIT_PRODUCER_ID) {
        fuzz.producer_id = ((const struct kf_init_producer_id_response *)response)->producer_id;
    }
}

/* An answer must be one that was asked for, and decode to its last byte. */
static void take_answer(struct connection *connection, const uint8_t *frame, size_t size)
{
    check(size >= 4);
    int32_t correlation = (int32_t)((uint32_t)frame[0] << 24 | (uint32_t)frame[1] << 16 |
                                    (uint32_t)frame[2] << 8 | frame[3]);
    struct asked *asked = &connection->asked[(uint32_t)correlation % EXPECTED];
    check(correlation > 0 && asked->correlation == correlation);
    asked->correlation = 0;
    answers++;
    const kf_schema *schema = kf_schema_response(asked->api);
    kf_arena arena;
    size_t used = 0;
    void *response = calloc(1, kf_schema_struct_size(schema));
    kf_arena_init(&arena, &kf_default_allocator, ANSWER_LIMIT);
    check(kf__decode_response_header(schema, asked->version, frame, size, &correlation, &used) ==
          0);
    kf_err err = kf_decode(schema, asked->version, frame + used, size - used, &arena, response);
    if (err)
        fprintf(stderr, "%s v%d: %s\n", kf_schema_name(schema), asked->version, kf_err_name(err));
    check(err == KF_OK);
    learn(asked->api, response);
    kf_arena_free(&arena);
    free(response);
}

static void receive(struct connection *connection)
{
    int error = 0;
    for (;;) {
        if (connection->capacity - connection->used < 65536) {
            connection->capacity = connection->capacity * 2 + 65536;
            connection->bytes = realloc(connection->bytes, connection->capacity);
        }
        ssize_t got = fuzz.world->receive(fuzz.world->context, connection->fd,
                                          connection->bytes + connection->used, 65536, &error);
        if (got < 0)
            break;
        if (got == 0) {
            hang_up(connection);
            return;
        }
        connection->used += (size_t)got;
    }
    size_t at = 0;
    while (connection->used - at >= 4) {
        const uint8_t *frame = connection->bytes + at;
        size_t size =
            (size_t)frame[0] << 24 | (size_t)frame[1] << 16 | (size_t)frame[2] << 8 | frame[3];
        if (connection->used - at - 4 < size)
            break;
        take_answer(connection, frame + 4, size);
        at += 4 + size;
    }
    memmove(connection->bytes, connection->bytes + at, connection->used - at);
    connection->used -= at;
}

static void turn(void)
{
    check(kf_broker_step(fuzz.broker, 0) == KF_OK);
    for (int i = 0; i < CONNECTIONS; i++)
        if (fuzz.connections[i].fd >= 0)
            receive(&fuzz.connections[i]);
}

static void send_bytes(struct connection *connection, const uint8_t *bytes, size_t size)
{
    size_t sent = 0;
    for (int tries = 0; sent < size && tries < 100 && connection->fd >= 0; tries++) {
        int error = 0;
        struct iovec part = {(void *)(uintptr_t)(bytes + sent), size - sent};
        ssize_t more = fuzz.world->send(fuzz.world->context, connection->fd, &part, 1, &error);
        if (more > 0)
            sent += (size_t)more;
        else
            turn();
    }
    if (sent < size)
        hang_up(connection);
}

/* ---- what can happen ---- */

static void ask(struct connection *connection)
{
    size_t count = 0;
    while (kf__api_at(count))
        count++;
    const struct kf__api *api = kf__api_at(below((unsigned)count));
    const kf_schema *schema = kf_schema_request(api->key);
    int16_t version = (int16_t)(api->min_version +
                                (int)below((unsigned)(api->max_version - api->min_version + 1)));
    kf_arena arena;
    kf_writer out;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_writer_init(&out, &kf_default_allocator);
    void *request = kf_arena_alloc(&arena, kf_schema_struct_size(schema));
    kf_reset(schema, request);
    fill(&arena, kf_fields_of(schema), request, version);
    int32_t correlation = ++fuzz.correlation;
    struct asked *asked = &connection->asked[correlation % EXPECTED];
    if (asked->correlation) { /* it owes too many answers to remember what they are */
        hang_up(connection);
        dial(connection);
    }
    kf_err err = kf__encode_request(&out, schema, version, correlation, text(true), request);
    if (!err && !out.err && connection->fd >= 0) {
        for (unsigned spoils = below(8) == 0 ? 1 + below(4) : 0; spoils > 0 && out.used > 16;
             spoils--)
            out.bytes[12 + ((size_t)byte() << 8 | byte()) % (out.used - 12)] = byte();
        *asked = (struct asked){correlation, api->key, version};
        send_bytes(connection, out.bytes, out.used);
    }
    kf_writer_free(&out);
    kf_arena_free(&arena);
}

static void throw_bytes(struct connection *connection)
{
    uint8_t bytes[64];
    size_t size = below(sizeof bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte();
    if (size >= 4 && below(2))
        bytes[0] = bytes[1] = bytes[2] = 0;
    if (size >= 12) /* nothing was asked: no answer of it is expected */
        memset(bytes + 8, 0xFF, 4);
    send_bytes(connection, bytes, size);
    hang_up(connection); /* what follows would stand within a frame */
}

static void meddle(void)
{
    static const char *const scripts[] = {
        "on any 20% close",
        "on any every 3rd drop answer",
        "on Fetch answer NOT_LEADER_OR_FOLLOWER",
        "on any delay 10ms",
        "on any throttle 20ms",
        "on any cut after 20",
        "on Fetch corrupt crc",
        "on any answer REQUEST_TIMED_OUT",
        "at any every 5th move leader a/0 to 2",
        "after 10ms delete topic a",
        "on Produce topic=a partition=1 answer NOT_ENOUGH_REPLICAS",
        "every 1h close connections",
        "at any #7 stop node 1",
        "at any #9 move coordinator g to 3",
        "every 1h expire offsets",
        "at any every 11th clean topics",
        "at any every 9th expire producers",
    };
    static const char *const topics[] = {"a", "b"};
    switch (below(12)) {
    case 0:
        kf_broker_script(fuzz.broker, scripts[below(sizeof scripts / sizeof *scripts)], NULL);
        break;
    case 1:
        kf_broker_stop_node(fuzz.broker, (int32_t)below(NODES) + 1);
        break;
    case 2:
        kf_broker_start_node(fuzz.broker, (int32_t)below(NODES) + 1);
        break;
    case 3:
        kf_broker_move_leader(fuzz.broker, topics[below(2)], (int32_t)below(3),
                              (int32_t)below(NODES) + 1);
        break;
    case 4:
        kf_broker_delete_topic(fuzz.broker, topics[below(2)]);
        break;
    case 5:
        kf_broker_create_topic(fuzz.broker, topics[below(2)], (int32_t)below(3), (int32_t)below(4));
        break;
    case 6:
        kf_broker_delete_records(fuzz.broker, topics[below(2)], (int32_t)below(3), number());
        break;
    case 7:
        kf_broker_fault_clear(fuzz.broker, 0);
        break;
    case 8:
        kf_broker_pause(fuzz.broker);
        break;
    case 9:
        kf_broker_expire_offsets(fuzz.broker);
        break;
    case 10:
        kf_broker_expire_producers(fuzz.broker);
        break;
    default:
        kf_broker_resume(fuzz.broker);
        break;
    }
}

static void act(void)
{
    static const int64_t spans[] = {1, 50, 500, 3000, 10000, 60000, 600000, 7 * 86400000LL};
    unsigned what = byte();
    struct connection *connection = &fuzz.connections[what & 3];
    what >>= 2;
    if (what < 48) {
        if (dial(connection))
            ask(connection);
    } else if (what < 51) {
        if (dial(connection))
            throw_bytes(connection);
    } else if (what < 53) {
        hang_up(connection);
    } else if (what < 58) {
        meddle();
    } else {
        kf_broker_advance(fuzz.broker, spans[below(8)]);
    }
    turn();
}

static void say_count(void)
{
    fprintf(
        stderr,
        "%zu requests that the broker took, %zu of them refused as not canonical; %zu answers\n",
        requests, refused, answers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    if (!begun && getenv("KAFIBER_FUZZ_COUNT"))
        atexit(say_count);
    begun = true;
    kf_allocator alloc = {.resize = count_resize};
    struct connection before[CONNECTIONS]; /* their room is kept: it costs to get it anew */
    memcpy(before, fuzz.connections, sizeof before);
    memset(&fuzz, 0, sizeof fuzz);
    for (int i = 0; i < CONNECTIONS; i++) {
        fuzz.connections[i].bytes = before[i].bytes;
        fuzz.connections[i].capacity = before[i].capacity;
    }
    fuzz.at = data;
    fuzz.end = data + size;
    fuzz.random = 88172645463325252u;
    fuzz.more = MADE_UP;
    fuzz.producer_id = 1000;
    unsigned flags = size > 0 ? byte() : 0;
    budget = (flags & 6) == 6 ? LITTLE_MEMORY + (size_t)byte() * 1024 : SIZE_MAX;
    kf_broker_options options = {.size = sizeof options,
                                 .alloc = &alloc,
                                 .virtual_time = true,
                                 .seed = 1,
                                 .nodes = NODES,
                                 .max_bytes = BROKER_MAX_BYTES,
                                 .no_auto_create = flags & 1,
                                 .acls = (flags & 24) == 24,
                                 .strict = (flags & 96) == 96};
    fuzz.broker = kf_broker_start(&options, NULL);
    if (!fuzz.broker)
        return 0;
    fuzz.world = kf_broker_world(fuzz.broker);
    kf__codecs_init(&fuzz.codecs, &kf_default_allocator);
    kf__buffer_init(&fuzz.batch, &kf_default_allocator);
    for (int i = 0; i < CONNECTIONS; i++)
        fuzz.connections[i].fd = -1;
    kf_broker_create_topic(fuzz.broker, "a", 2, 2);
    while (fuzz.at < fuzz.end || fuzz.more > 0)
        act();
    for (int i = 0; i < CONNECTIONS; i++)
        hang_up(&fuzz.connections[i]);
    requests += (size_t)kf_broker_requests(fuzz.broker, KF_BROKER_ANY_API);
    refused += (size_t)kf_broker_refusals(fuzz.broker, NULL);
    check(fuzz.broker->faults == 0);
    kf_broker_stop(fuzz.broker);
    kf__buffer_free(&fuzz.batch);
    kf__codecs_free(&fuzz.codecs);
    check(held == 0);
    return 0;
}
