#include "runtime/config/config_rows.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

TestSuite(config_rows);

Test(config_rows, every_default_passes_its_own_check)
{
    struct kf__origin origin = {KF__FROM_DEFAULT, NULL, 0};
    for (size_t i = 0; i < kf__config_row_count; i++) {
        const struct kf__config_row *row = &kf__config_rows[i];
        kf_error error = KF_ERROR_INIT;
        if (row->kind > KF__ROW_TEXT || !row->value)
            continue;
        cr_expect(eq(int, kf__config_check(row, row->value, &origin, &error), KF_OK), "%s",
                  error.text);
    }
}

Test(config_rows, every_alias_leads_to_an_honoured_key)
{
    for (size_t i = 0; i < kf__config_row_count; i++) {
        if (kf__config_rows[i].kind != KF__ROW_ALIAS)
            continue;
        ptrdiff_t of = kf__config_find(kf__config_rows[i].value);
        cr_assert(ge(i64, of, 0));
        cr_expect(le(int, (int)kf__config_rows[of].kind, KF__ROW_TEXT));
    }
}

Test(config_rows, no_key_stands_twice)
{
    for (size_t i = 0; i < kf__config_row_count; i++)
        if (kf__config_rows[i].kind != KF__ROW_SECTION)
            cr_expect(eq(i64, kf__config_find(kf__config_rows[i].key), (ptrdiff_t)i), "%s",
                      kf__config_rows[i].key);
}

/* "…/tests/runtime/config/test_config_rows.c" is where the compiler found this file. */
static void page_path(char *path, size_t size)
{
    static const char here[] = "tests/runtime/config/test_config_rows.c";
    size_t root = strlen(__FILE__) - (sizeof here - 1);
    snprintf(path, size, "%.*sdocs/configuration.md", (int)root, __FILE__);
}

/* KAFIBER_UPDATE_DOCS=1 writes the page instead of comparing it. */
Test(config_rows, the_page_in_docs_is_printed_from_the_rows)
{
    char path[512];
    page_path(path, sizeof path);
    if (getenv("KAFIBER_UPDATE_DOCS")) {
        FILE *page = fopen(path, "w");
        cr_assert(ne(ptr, page, NULL));
        cr_expect(eq(int, kf_config_print_markdown(page), KF_OK));
        fclose(page);
    }
    FILE *page = fopen(path, "r");
    FILE *print = tmpfile();
    cr_assert(ne(ptr, page, NULL), "%s", path);
    cr_assert(eq(int, kf_config_print_markdown(print), KF_OK));
    rewind(print);
    size_t line = 1;
    int expected = 0;
    while (expected != EOF) {
        expected = fgetc(print);
        cr_assert(eq(int, fgetc(page), expected),
                  "docs/configuration.md differs at line %zu: run with KAFIBER_UPDATE_DOCS=1",
                  line);
        line += expected == '\n';
    }
    fclose(print);
    fclose(page);
}
