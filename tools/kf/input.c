/* input: bytes of a file or a pipe as they come. */
#include "tools/kf/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FIRST_ROOM = 1 << 16 /* bytes */
};

bool kf__input_open(struct kf__input *input, const char *name)
{
    *input = (struct kf__input){.name = name, .fd = STDIN_FILENO};
    if (strcmp(name, "-") != 0)
        input->fd = open(name, O_RDONLY | O_CLOEXEC);
    return input->fd >= 0;
}

void kf__input_close(struct kf__input *input)
{
    free(input->bytes);
    if (input->fd > STDERR_FILENO)
        close(input->fd);
    *input = (struct kf__input){.fd = -1, .ended = true};
}

static bool end_here(struct kf__input *input, int error)
{
    input->ended = true;
    input->error = error;
    return false;
}

/* Room behind the bytes: those that were used go. */
static bool make_room(struct kf__input *input)
{
    if (input->at) {
        input->end -= input->at;
        memmove(input->bytes, input->bytes + input->at, input->end);
        input->at = 0;
    }
    if (input->end < input->room)
        return true;
    size_t room = input->room ? input->room * 2 : FIRST_ROOM;
    uint8_t *bytes = realloc(input->bytes, room);
    if (!bytes)
        return end_here(input, ENOMEM);
    input->bytes = bytes;
    input->room = room;
    return true;
}

bool kf__input_more(struct kf__input *input)
{
    ssize_t got;
    if (input->ended || !make_room(input))
        return false;
    do
        got = read(input->fd, input->bytes + input->end, input->room - input->end);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return end_here(input, got < 0 ? errno : 0);
    input->end += (size_t)got;
    return true;
}

bool kf__input_wait(struct kf__input *input, size_t size)
{
    while (input->end - input->at < size)
        if (!kf__input_more(input))
            return false;
    return true;
}
