#include "tools/broker/instrument/census.h"

#include "tools/broker/text.h"

void kf__census_init(struct kf__census *census, const kf_allocator *alloc)
{
    *census = (struct kf__census){.alloc = alloc};
}

void kf__census_free(struct kf__census *census)
{
    for (size_t i = 0; i < census->count; i++)
        kf__text_free(census->alloc, &census->rows[i].client);
    kf_free(census->alloc, census->rows);
    kf__census_init(census, census->alloc);
}

static bool is_row(const struct kf__census_row *row, kf_string client, int16_t api_key)
{
    return row->api_key == api_key && kf__text_equal(row->client, client);
}

void kf__census_note(struct kf__census *census, kf_string client, int16_t api_key)
{
    if (census->latest < census->count && is_row(&census->rows[census->latest], client, api_key)) {
        census->rows[census->latest].count++;
        return;
    }
    size_t at = 0;
    while (at < census->count && !is_row(&census->rows[at], client, api_key))
        at++;
    if (at == census->count) {
        struct kf__census_row *rows =
            at < KF__MAX_CENSUS_ROWS
                ? kf_realloc(census->alloc, census->rows, (at + 1) * sizeof *rows)
                : NULL;
        if (!rows)
            return;
        census->rows = rows;
        rows[at] = (struct kf__census_row){.api_key = api_key};
        if (kf__text_copy(census->alloc, client, &rows[at].client))
            return;
        census->count++;
    }
    census->rows[at].count++;
    census->latest = at;
}

int64_t kf__census_of(const struct kf__census *census, kf_string client, int16_t api_key)
{
    int64_t count = 0;
    for (size_t i = 0; i < census->count; i++)
        if ((api_key < 0 || census->rows[i].api_key == api_key) &&
            kf__text_equal(census->rows[i].client, client))
            count += census->rows[i].count;
    return count;
}
