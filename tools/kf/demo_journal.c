/* demo_journal: one line for each thing that a member did; see demo.h. */
#include "tools/kf/demo.h"

#include <string.h>
#include <unistd.h>

bool kf__demo_note(int fd, const struct kf__demo_entry *entry)
{
    char line[80];
    int size = snprintf(line, sizeof line, "%c %d %lld %lld\n", (char)entry->event,
                        entry->partition, (long long)entry->offset, (long long)entry->order);
    return write(fd, line, (size_t)size) == size;
}

static void take_line(const char *line,
                      void (*take)(void *context, const struct kf__demo_entry *entry),
                      void *context)
{
    char event;
    int partition;
    long long offset, order;
    if (sscanf(line, "%c %d %lld %lld", &event, &partition, &offset, &order) != 4 ||
        partition < 0 || partition >= KF__DEMO_PARTITIONS || order < 0 || order >= KF__DEMO_ORDERS)
        return;
    struct kf__demo_entry entry = {(enum kf__demo_event)event, partition, offset, order};
    take(context, &entry);
}

void kf__demo_read(struct kf__demo_tail *tail,
                   void (*take)(void *context, const struct kf__demo_entry *entry), void *context)
{
    ssize_t got;
    while ((got = read(tail->fd, tail->bytes + tail->used, sizeof tail->bytes - tail->used)) > 0) {
        tail->used += (size_t)got;
        char *begin = tail->bytes;
        char *end = tail->bytes + tail->used;
        for (char *newline; (newline = memchr(begin, '\n', (size_t)(end - begin)));
             begin = newline + 1) {
            *newline = 0;
            take_line(begin, take, context);
        }
        tail->used = (size_t)(end - begin);
        memmove(tail->bytes, begin, tail->used);
    }
}
