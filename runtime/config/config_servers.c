/*
 * config_servers: bootstrap.servers as hosts and ports. No name is resolved
 * here.
 *
 *     broker1:9092, [::1]:9092, PLAINTEXT://broker3:9092,
 */
#include "runtime/config/config_rows.h"

#include <string.h>
#include <strings.h>

static bool same_letters(const char *text, size_t size, const char *word)
{
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

/* Java drops a listener's protocol in front; so do we, where it is the one we speak. */
static const char *drop_protocol(const char **entry, size_t *size)
{
    for (size_t i = 0; i + 2 < *size; i++) {
        if (memcmp(*entry + i, "://", 3) != 0)
            continue;
        if (!same_letters(*entry, i, "PLAINTEXT"))
            return "names a protocol that is not supported: write host:port";
        *entry += i + 3;
        *size -= i + 3;
        break;
    }
    return NULL;
}

static bool parse_port(const char *text, size_t size, uint16_t *port)
{
    unsigned number = 0;
    if (size == 0 || size > 5)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)number;
    return number >= 1 && number <= UINT16_MAX;
}

static bool is_host_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr(".-_", c);
}

static const char *check_host(const struct kf__server_view *server, bool bracketed)
{
    if (server->host_size == 0)
        return "has no host in front of the port";
    if (server->host_size > KF__HOST_MAX_BYTES)
        return "has a host name longer than 255 bytes";
    for (size_t i = 0; i < server->host_size; i++) {
        char c = server->host[i];
        if (c == '\0' || !(is_host_letter(c) || (bracketed && strchr(":%", c))))
            return "is not a host name or address and a port";
    }
    return NULL;
}

static struct kf__server_view wrong(const char *problem)
{
    return (struct kf__server_view){.problem = problem};
}

struct kf__server_view kf__parse_server(const char *entry, size_t size)
{
    struct kf__server_view server = {.problem = drop_protocol(&entry, &size)};
    if (server.problem)
        return server;

    const char *end = entry + size;
    const char *colon;
    bool bracketed = size && *entry == '[';
    if (bracketed) {
        const char *closing = memchr(entry, ']', size);
        if (!closing)
            return wrong("has no closing bracket");
        server.host = entry + 1;
        server.host_size = (size_t)(closing - server.host);
        colon = closing + 1;
    } else {
        colon = memchr(entry, ':', size);
        colon = colon ? colon : end;
        server.host = entry;
        server.host_size = (size_t)(colon - entry);
    }
    if (colon == end)
        return wrong("has no port: write host:port, such as broker1:9092");
    if (!bracketed && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
        return wrong("has more than one colon: write an IPv6 address as [::1]:9092");
    if (*colon != ':' || !parse_port(colon + 1, (size_t)(end - colon - 1), &server.port))
        return wrong("has a port that is not a number from 1 to 65535");
    server.problem = check_host(&server, bracketed);
    return server;
}

static bool is_known(const struct kf__host *servers, size_t count,
                     const struct kf__server_view *server)
{
    for (size_t i = 0; i < count; i++)
        if (servers[i].port == server->port &&
            same_letters(server->host, server->host_size, servers[i].name))
            return true;
    return false;
}

struct kf__host *kf__parse_servers(const kf_allocator *alloc, const char *list, size_t *count)
{
    size_t room = 1;
    size_t size;
    for (const char *c = list; *c; c++)
        room += *c == ',';
    /* The hosts stand behind the array; they are never longer than the list they come from. */
    struct kf__host *servers = kf_alloc_zero(alloc, room * sizeof *servers + strlen(list) + 1);
    if (!servers)
        return NULL;
    char *text = (char *)(servers + room);
    *count = 0;
    for (const char *entry; (entry = kf__next_entry(&list, &size));) {
        struct kf__server_view server = kf__parse_server(entry, size);
        if (server.problem || is_known(servers, *count, &server))
            continue;
        memcpy(text, server.host, server.host_size);
        servers[*count] = (struct kf__host){.name = text, .port = server.port};
        text += server.host_size + 1;
        ++*count;
    }
    return servers;
}
