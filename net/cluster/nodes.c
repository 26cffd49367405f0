/* nodes: brokers by id; see nodes.h. */
#include "net/cluster/nodes.h"

#include "net/cluster/cluster_inner.h"
#include <stdio.h>
#include <string.h>

enum {
    MAX_HOST_BYTES = 255 /* RFC 1035; whatever is longer is no host's name */
};

void kf__nodes_init(struct kf__nodes *nodes, const kf_allocator *alloc)
{
    *nodes = (struct kf__nodes){.alloc = alloc};
}

void kf__nodes_free(struct kf__nodes *nodes, kf_err err)
{
    /* All calls first: their ends may ask for any node. */
    for (int32_t i = 0; i < nodes->count; i++)
        for (int lane = 0; lane < KF__LANES; lane++) {
            struct kf__lane_slot *slot = &nodes->items[i]->lanes[lane];
            kf__link_free(slot->link, err);
            slot->link = NULL;
        }
    for (int32_t i = 0; i < nodes->count; i++) {
        struct kf__node *node = nodes->items[i];
        kf_free(nodes->alloc, node->host);
        kf_free(nodes->alloc, node->name);
        kf_free(nodes->alloc, node->rack);
        kf_free(nodes->alloc, node);
    }
    kf_free(nodes->alloc, nodes->items);
    kf__nodes_init(nodes, nodes->alloc);
}

/* The place of the first node with this id or a higher one. */
static int32_t place_of(const struct kf__nodes *nodes, int32_t id)
{
    int32_t low = 0, high = nodes->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (nodes->items[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct kf__node *kf__nodes_find(const struct kf__nodes *nodes, int32_t id)
{
    int32_t place = place_of(nodes, id);
    bool found = place < nodes->count && nodes->items[place]->id == id;
    return found ? nodes->items[place] : NULL;
}

static struct kf__node *insert(struct kf__nodes *nodes, struct kf__cluster *cluster, int32_t id)
{
    if (nodes->count == nodes->capacity) {
        int32_t capacity = nodes->capacity ? nodes->capacity * 2 : 8;
        struct kf__node **items =
            kf_realloc(nodes->alloc, nodes->items, (size_t)capacity * sizeof(void *));
        if (!items)
            return NULL;
        nodes->items = items;
        nodes->capacity = capacity;
    }
    struct kf__node *node = kf_alloc_zero(nodes->alloc, sizeof *node);
    if (!node)
        return NULL;
    node->cluster = cluster;
    node->id = id;
    for (int lane = 0; lane < KF__LANES; lane++)
        node->lanes[lane].node = node;

    int32_t place = place_of(nodes, id);
    memmove(nodes->items + place + 1, nodes->items + place,
            (size_t)(nodes->count - place) * sizeof(void *));
    nodes->items[place] = node;
    nodes->count++;
    return node;
}

static char *copy_text(const kf_allocator *alloc, kf_string text)
{
    char *copy = kf_alloc(alloc, text.size + 1);
    if (!copy)
        return NULL;
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return copy;
}

static bool same_text(const char *held, kf_string text)
{
    if (!held || !text.data)
        return !held && !text.data;
    return strlen(held) == text.size && memcmp(held, text.data, text.size) == 0;
}

/* The links borrow these texts. */
static void tell_links(struct kf__node *node)
{
    for (int lane = 0; lane < KF__LANES; lane++) {
        struct kf__link *link = node->lanes[lane].link;
        if (!link)
            continue;
        link->host = node->host;
        link->port = node->port;
        link->conn.peer = node->name;
        link->conn.host = node->host;
    }
}

static kf_err move_to(struct kf__nodes *nodes, struct kf__node *node, kf_string host, uint16_t port)
{
    char *new_host = copy_text(nodes->alloc, host);
    size_t size = host.size + sizeof "[]:65535";
    char *new_name = kf_alloc(nodes->alloc, size);
    if (!new_host || !new_name) {
        kf_free(nodes->alloc, new_host);
        kf_free(nodes->alloc, new_name);
        return KF_ERR_NO_MEMORY;
    }
    if (strchr(new_host, ':')) /* IPv6 */
        snprintf(new_name, size, "[%s]:%u", new_host, (unsigned)port);
    else
        snprintf(new_name, size, "%s:%u", new_host, (unsigned)port);

    char *old_host = node->host, *old_name = node->name;
    node->host = new_host;
    node->name = new_name;
    node->port = port;
    tell_links(node);
    kf_free(nodes->alloc, old_host);
    kf_free(nodes->alloc, old_name);
    return KF_OK;
}

static void break_links(struct kf__node *node)
{
    for (int lane = 0; lane < KF__LANES; lane++)
        if (node->lanes[lane].link)
            kf__cluster_break_later(node->cluster, &node->lanes[lane]);
}

static kf_err put_rack(struct kf__nodes *nodes, struct kf__node *node, kf_string rack)
{
    char *copy = NULL;
    if (rack.data) {
        copy = copy_text(nodes->alloc, rack);
        if (!copy)
            return KF_ERR_NO_MEMORY;
    }
    kf_free(nodes->alloc, node->rack);
    node->rack = copy;
    return KF_OK;
}

kf_err kf__nodes_put(struct kf__nodes *nodes, struct kf__cluster *cluster, int32_t id,
                     kf_string host, int32_t port, kf_string rack, bool *changed)
{
    if (!host.size || host.size > MAX_HOST_BYTES || port < 1 || port > UINT16_MAX)
        return KF_ERR_INVALID_ARGUMENT;
    struct kf__node *node = kf__nodes_find(nodes, id);
    if (!node)
        node = insert(nodes, cluster, id);
    if (!node)
        return KF_ERR_NO_MEMORY;

    if (!same_text(node->host, host) || node->port != port) {
        bool moved = node->host != NULL;
        kf_err err = move_to(nodes, node, host, (uint16_t)port);
        if (err)
            return err;
        if (moved)
            break_links(node);
        *changed = true;
    }
    if (!same_text(node->rack, rack)) {
        kf_err err = put_rack(nodes, node, rack);
        if (err)
            return err;
        *changed = true;
    }
    node->known = true;
    return KF_OK;
}

struct kf__link *kf__node_link(struct kf__node *node, enum kf__lane lane)
{
    struct kf__lane_slot *slot = &node->lanes[lane];
    if (!slot->link)
        slot->link = kf__cluster_make_link(node->cluster, slot);
    return slot->link;
}
