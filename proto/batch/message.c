/*
 * message: a message's headers, which stay as they are on the wire until
 * somebody asks. Keeping and copying messages is the runtime's business.
 */
#include <kafiber/message.h>

#include "proto/batch/batch.h"

bool kf_message_headers_next(const kf_message *message, size_t *at, kf_header *header)
{
    bool more;
    return !kf__headers_next(message->headers, message->header_count, at, header, &more) && more;
}

bool kf_message_header(const kf_message *message, const char *name, kf_header *header)
{
    bool found = false;
    size_t size = strlen(name);
    size_t at = 0;
    kf_header each;
    while (kf_message_headers_next(message, &at, &each)) {
        if (each.name.size != size || memcmp(each.name.data, name, size) != 0)
            continue;
        *header = each;
        found = true;
    }
    return found;
}
