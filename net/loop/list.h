/* list: doubly linked, intrusive, circular; a link that is alone is in no list. */
#ifndef KF_NET_LIST_H
#define KF_NET_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct kf__link {
    struct kf__link *next;
    struct kf__link *previous;
};

#define KF__OWNER(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

static inline void kf__link_init(struct kf__link *link) { link->next = link->previous = link; }

static inline bool kf__link_is_alone(const struct kf__link *link) { return link->next == link; }

static inline void kf__link_remove(struct kf__link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    kf__link_init(link);
}

/* At the end of the list whose head is `head`; must be alone. */
static inline void kf__link_append(struct kf__link *head, struct kf__link *link)
{
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

#endif
