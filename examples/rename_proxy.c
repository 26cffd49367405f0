/*
 * rename_proxy: shows clients a topic of a broker under another name.
 *
 *   rename_proxy 9092 9192 orders legacy-orders
 *
 * A client of port 9192 that says "orders" reaches "legacy-orders" of the broker on port 9092, by
 * every API that there is: fields are found by their names in the rows. One broker, on loopback.
 */
#include <arpa/inet.h>
#include <kafiber/messages.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    int16_t key, version;
} asked[1024];   /* by correlation id */
static int port; /* ours, which answers shall name */

static bool is_topic(const char *name)
{
    return strcmp(name, "name") == 0 || strcmp(name, "topic") == 0 ||
           strcmp(name, "topic_name") == 0;
}

static void rename_in(kf_fields walk, char *message, const char *from, const char *to)
{
    kf_field field;
    while (kf_fields_next(&walk, &field)) {
        struct {
            char *items;
            int32_t count;
        } values = {message + field.offset, 1};
        if (field.array)
            memcpy(&values, message + field.offset, sizeof values);
        else if (field.type == KF_FIELD_STRUCT_POINTER)
            memcpy(&values.items, message + field.offset, sizeof values.items);
        for (int32_t i = 0; values.items && i < values.count; i++) {
            char *value = values.items + (size_t)i * field.element_size;
            kf_string *text = (kf_string *)(void *)value;
            if (field.inside)
                rename_in(kf_fields_inside(&field), value, from, to);
            else if (field.type == KF_FIELD_INT32 && strcmp(field.name, "port") == 0)
                memcpy(value, &port, sizeof port);
            else if (field.type == KF_FIELD_STRING && is_topic(field.name) &&
                     text->size == strlen(from) && memcmp(text->data, from, text->size) == 0)
                *text = (kf_string){to, strlen(to)};
        }
    }
}

/* The frame's header stays as it is; what can't be read as the message passes as it came. */
static void rewrite(const uint8_t *bytes, size_t size, bool request, const char *from,
                    const char *to, kf_arena *arena, kf_writer *out)
{
    uint16_t id = (uint16_t)((bytes[request ? 6 : 2] & 3) << 8 | bytes[request ? 7 : 3]);
    if (request) {
        asked[id].key = (int16_t)(bytes[0] << 8 | bytes[1]);
        asked[id].version = (int16_t)(bytes[2] << 8 | bytes[3]);
    }
    int16_t key = asked[id].key, version = asked[id].version;
    const kf_schema *header =
        request ? &kf_schema_of_request_header : &kf_schema_of_response_header;
    const kf_schema *schema = request ? kf_schema_request(key) : kf_schema_response(key);
    bool flexible = schema && kf_schema_is_flexible(schema, version);
    struct kf_request_header head; /* the larger of both */
    size_t used = 0;
    int16_t form = (int16_t)(request + (flexible && (request || key != KF_API_API_VERSIONS)));
    char *message = schema ? kf_arena_alloc(arena, kf_schema_struct_size(schema)) : NULL;
    if (message && !kf_decode_prefix(header, form, bytes, size, arena, &head, &used) &&
        !kf_decode(schema, version, bytes + used, size - used, arena, message)) {
        rename_in(kf_fields_of(schema), message, from, to);
        kf_writer_put(out, bytes, used);
        if (!kf_encode(schema, version, message, out))
            return;
    }
    kf_writer_reset(out);
    kf_writer_put(out, bytes, size);
}

static bool transfer(int from, int to, void *bytes, size_t size, bool in)
{
    for (ssize_t n; size; bytes = (char *)bytes + n, size -= (size_t)n)
        if ((n = in ? recv(from, bytes, size, 0) : send(to, bytes, size, MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

static bool pass_frame(int from, int to, bool request, const char *name, const char *new_name)
{
    uint32_t size;
    if (!transfer(from, to, &size, sizeof size, true) || (size = ntohl(size)) < 8 ||
        size > 1u << 30)
        return false;
    uint8_t *bytes = malloc(size);
    kf_arena arena;
    kf_writer out;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_writer_init(&out, &kf_default_allocator);
    bool good = bytes && transfer(from, to, bytes, size, true);
    if (good)
        rewrite(bytes, size, request, name, new_name, &arena, &out);
    size = htonl((uint32_t)out.used);
    good = good && transfer(from, to, &size, sizeof size, false) &&
           transfer(from, to, out.bytes, out.used, false);
    kf_writer_free(&out);
    kf_arena_free(&arena);
    free(bytes);
    return good;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fprintf(stderr, "usage: rename_proxy BROKER_PORT PORT TOPIC BROKERS_TOPIC\n"), 2;
    struct sockaddr_in broker = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in ours = broker;
    port = atoi(argv[2]);
    broker.sin_port = htons((uint16_t)atoi(argv[1]));
    ours.sin_port = htons((uint16_t)port);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&ours, sizeof ours) || listen(listener, 16))
        return perror("rename_proxy"), 1;
    signal(SIGCHLD, SIG_IGN);
    for (;;) { /* a process for each connection */
        int client = accept(listener, NULL, NULL);
        if (fork() != 0) {
            close(client);
            continue;
        }
        struct pollfd sides[2] = {{client, POLLIN, 0},
                                  {socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0}};
        bool good = connect(sides[1].fd, (struct sockaddr *)&broker, sizeof broker) == 0;
        while (good && poll(sides, 2, -1) > 0) {
            if (sides[0].revents)
                good = pass_frame(client, sides[1].fd, true, argv[3], argv[4]);
            if (good && sides[1].revents)
                good = pass_frame(sides[1].fd, client, false, argv[4], argv[3]);
        }
        return 0;
    }
}
