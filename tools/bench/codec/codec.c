/*
 * codec: how long decoding and encoding one message takes. `write` makes the three messages that
 * are measured, as files; `time` reads them, proves that what it decodes encodes to the same bytes,
 * and prints "who what nanoseconds". kmsg/ and java/ do the same with the same files.
 */
#include <kafiber/messages.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FETCHED = 100,        /* partitions */
    RECORDS_SIZE = 16384, /* bytes of each */
    TOPICS = 100,         /* times PARTITIONS */
    PARTITIONS = 100,
    MEMBERS = 100,
    SUBSCRIPTION = 120,   /* bytes of a member's */
    LEAST_NS = 200000000, /* of one measurement */
    BURST = 10,           /* times between two looks at the clock */
    LARGEST = 1 << 22,    /* bytes of a file */
};

static const struct kind {
    const char *name;
    const kf_schema *schema;
    int16_t version;
} kinds[] = {
    {"fetch", &kf_schema_of_fetch_response, 18},
    {"metadata", &kf_schema_of_metadata_response, 13},
    {"join", &kf_schema_of_join_group_response, 9},
};

enum {
    KINDS = sizeof kinds / sizeof *kinds
};

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "bench_codec: %s\n", what);
        exit(1);
    }
}

/* ---- the messages ---- */

static void *items(kf_arena *arena, size_t count, size_t size)
{
    void *memory = kf_arena_alloc(arena, count * size);
    must(memory != NULL, "out of memory");
    return memory;
}

static kf_string numbered(kf_arena *arena, const char *prefix, int number)
{
    char *text = items(arena, 64, 1);
    return (kf_string){text, (size_t)snprintf(text, 64, "%s-%05d", prefix, number)};
}

static kf_uuid id_of(int number)
{
    kf_uuid id;
    for (size_t i = 0; i < sizeof id; i++)
        ((uint8_t *)&id)[i] = (uint8_t)(number * 31 + (int)i + 1);
    return id;
}

static void make_fetch(kf_arena *arena, void *message)
{
    struct kf_fetch_response *fetch = message;
    struct kf_fetch_response_fetchable_topic_response *topic = items(arena, 1, sizeof *topic);
    fetch->responses.items = topic;
    fetch->responses.count = 1;
    topic->topic_id = id_of(7);
    topic->partitions.items = items(arena, FETCHED, sizeof *topic->partitions.items);
    topic->partitions.count = FETCHED;
    for (int i = 0; i < FETCHED; i++) {
        struct kf_fetch_response_partition_data *partition = &topic->partitions.items[i];
        uint8_t *records = items(arena, RECORDS_SIZE, 1);
        for (int b = 0; b < RECORDS_SIZE; b++)
            records[b] = (uint8_t)(b * 7 + i);
        *partition = (struct kf_fetch_response_partition_data){
            .partition_index = i,
            .high_watermark = 100000 + i,
            .last_stable_offset = 100000 + i,
            .diverging_epoch = {-1, -1, {0}},
            .current_leader = {-1, -1, {0}},
            .snapshot_id = {-1, -1, {0}},
            .aborted_transactions = {NULL, -1},
            .preferred_read_replica = -1,
            .records = {records, RECORDS_SIZE},
        };
    }
}

static void make_metadata(kf_arena *arena, void *message)
{
    struct kf_metadata_response *metadata = message;
    metadata->brokers.count = 3;
    metadata->brokers.items = items(arena, 3, sizeof *metadata->brokers.items);
    for (int i = 0; i < 3; i++)
        metadata->brokers.items[i] = (struct kf_metadata_response_broker){
            .node_id = i, .host = numbered(arena, "broker.example", i), .port = 9092};
    metadata->cluster_id = numbered(arena, "cluster", 1);
    metadata->controller_id = 1;
    metadata->topics.count = TOPICS;
    metadata->topics.items = items(arena, TOPICS, sizeof *metadata->topics.items);
    for (int t = 0; t < TOPICS; t++) {
        struct kf_metadata_response_topic *topic = &metadata->topics.items[t];
        topic->name = numbered(arena, "topic", t);
        topic->topic_id = id_of(t);
        topic->topic_authorized_operations = INT32_MIN;
        topic->partitions.count = PARTITIONS;
        topic->partitions.items = items(arena, PARTITIONS, sizeof *topic->partitions.items);
        for (int p = 0; p < PARTITIONS; p++) {
            struct kf_metadata_response_partition *partition = &topic->partitions.items[p];
            int32_t *replicas = items(arena, 3, sizeof *replicas);
            for (int i = 0; i < 3; i++)
                replicas[i] = (t + p + i) % 3;
            partition->partition_index = p;
            partition->leader_id = replicas[0];
            partition->leader_epoch = 5;
            partition->replica_nodes.items = partition->isr_nodes.items = replicas;
            partition->replica_nodes.count = partition->isr_nodes.count = 3;
        }
    }
}

static void make_join(kf_arena *arena, void *message)
{
    struct kf_join_group_response *join = message;
    join->generation_id = 12;
    join->protocol_type = (kf_string){"consumer", 8};
    join->protocol_name = (kf_string){"cooperative-sticky", 18};
    join->leader = join->member_id = numbered(arena, "client-7d7a4b3e-2f61-4c0f-9a77", 0);
    join->members.count = MEMBERS;
    join->members.items = items(arena, MEMBERS, sizeof *join->members.items);
    for (int i = 0; i < MEMBERS; i++) {
        uint8_t *subscription = items(arena, SUBSCRIPTION, 1);
        for (int b = 0; b < SUBSCRIPTION; b++)
            subscription[b] = (uint8_t)(b * 3 + i);
        join->members.items[i].member_id = numbered(arena, "client-7d7a4b3e-2f61-4c0f-9a77", i);
        join->members.items[i].metadata = (kf_bytes){subscription, SUBSCRIPTION};
    }
}

static FILE *open_file(const char *folder, const char *name, const char *mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.bin", folder, name);
    FILE *file = fopen(path, mode);
    must(file != NULL, path);
    return file;
}

static void write_files(const char *folder)
{
    static void (*const make[KINDS])(kf_arena *, void *) = {make_fetch, make_metadata, make_join};
    for (size_t k = 0; k < KINDS; k++) {
        kf_arena arena;
        kf_writer out;
        kf_arena_init(&arena, &kf_default_allocator, 0);
        kf_writer_init(&out, &kf_default_allocator);
        void *message = items(&arena, 1, kf_schema_struct_size(kinds[k].schema));
        kf_reset(kinds[k].schema, message);
        make[k](&arena, message);
        must(!kf_encode(kinds[k].schema, kinds[k].version, message, &out), "encode");
        FILE *file = open_file(folder, kinds[k].name, "wb");
        must(fwrite(out.bytes, 1, out.used, file) == out.used && !fclose(file), "write");
        kf_writer_free(&out);
        kf_arena_free(&arena);
    }
}

/* ---- the time ---- */

static int64_t cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct work {
    const struct kind *kind;
    const uint8_t *bytes;
    size_t size;
    kf_arena arena;
    kf_writer out;
    void *message;
};

static void decode(struct work *work)
{
    kf_arena_reset(&work->arena);
    must(!kf_decode(work->kind->schema, work->kind->version, work->bytes, work->size, &work->arena,
                    work->message),
         "decode");
}

static void encode(struct work *work)
{
    kf_writer_reset(&work->out);
    must(!kf_encode(work->kind->schema, work->kind->version, work->message, &work->out), "encode");
}

/* Runs for LEAST_NS of CPU time; nanoseconds of one. */
static double time_of(struct work *work, void (*step)(struct work *))
{
    int64_t rounds = 0, begin = cpu_now(), took;
    do {
        for (int i = 0; i < BURST; i++)
            step(work);
        rounds += BURST;
        took = cpu_now() - begin;
    } while (took < LEAST_NS);
    return (double)took / (double)rounds;
}

static void time_kind(const struct kind *kind, const char *folder, uint8_t *bytes)
{
    FILE *file = open_file(folder, kind->name, "rb");
    struct work work = {.kind = kind, .bytes = bytes, .size = fread(bytes, 1, LARGEST, file)};
    fclose(file);
    kf_arena_init(&work.arena, &kf_default_allocator, 0);
    kf_writer_init(&work.out, &kf_default_allocator);
    work.message = malloc(kf_schema_struct_size(kind->schema));
    must(work.message != NULL, "out of memory");

    decode(&work);
    encode(&work);
    must(work.out.used == work.size && memcmp(work.out.bytes, bytes, work.size) == 0, "same bytes");
    time_of(&work, decode); /* warm */
    printf("kafiber %s-decode %.0f\n", kind->name, time_of(&work, decode));
    printf("kafiber-copying %s-encode %.0f\n", kind->name, time_of(&work, encode));
    work.out.splice = true;
    printf("kafiber %s-encode %.0f\n", kind->name, time_of(&work, encode));

    free(work.message);
    kf_writer_free(&work.out);
    kf_arena_free(&work.arena);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "write") == 0) {
        write_files(argv[2]);
        return 0;
    }
    if (argc != 3 || strcmp(argv[1], "time") != 0) {
        fprintf(stderr, "usage: bench_codec write|time FOLDER\n");
        return 2;
    }
    uint8_t *bytes = malloc(LARGEST);
    must(bytes != NULL, "out of memory");
    for (size_t k = 0; k < KINDS; k++)
        time_kind(&kinds[k], argv[2], bytes);
    free(bytes);
    return 0;
}
