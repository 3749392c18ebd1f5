#include "json.h"

#include <stdlib.h>
#include <string.h>

static const char *blanks(const char *p) {
    return p + strspn(p, " \t\r\n");
}

/* The character after the string that starts at `p`. */
static const char *string_end(const char *p) {
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1]) p++;
    return *p ? p + 1 : p;
}

/* The character after the value that starts at `p`. */
static const char *value_end(const char *p) {
    int depth = 0;
    do {
        p = blanks(p);
        if (*p == '"') p = string_end(p);
        else if (strchr("[{", *p) && *p) depth++, p++;
        else if (strchr("]}", *p) && *p) depth--, p++;
        else if (strchr(",:", *p) && *p) p++;
        else p += strcspn(p, ",:]}[{\" \t\r\n");
    } while (depth > 0 && *p);
    return p;
}

int json_string(const char *text, char *out, size_t room) {
    if (!text || *text != '"') return 0;
    const char *end = string_end(text) - 1;
    if ((size_t)(end - text) > room) return 0;
    for (text++; text < end; text++) {
        if (*text == '\\') text++; /* \" and \\ and \/ stand for themselves; a port meets no others */
        *out++ = *text;
    }
    *out = '\0';
    return 1;
}

static const char *member(const char *p, char *name, size_t room) {
    p = blanks(p);
    if (*p != '"' || !json_string(p, name, room)) return NULL;
    p = blanks(string_end(p));
    return *p == ':' ? blanks(p + 1) : NULL;
}

const char *json_first(const char *text, char *name, size_t room) {
    text = blanks(text);
    return *text == '{' ? member(text + 1, name, room) : NULL;
}

const char *json_next(const char *value, char *name, size_t room) {
    const char *p = blanks(value_end(value));
    return *p == ',' ? member(p + 1, name, room) : NULL;
}

const char *json_get(const char *text, const char *name) {
    char found[64];
    const char *value;
    for (value = json_first(text, found, sizeof found); value; value = json_next(value, found, sizeof found))
        if (!strcmp(found, name)) return value;
    return NULL;
}

const char *json_entry(const char *text) {
    if (*text != '[') return NULL;
    text = blanks(text + 1);
    return *text == ']' ? NULL : text;
}

const char *json_next_entry(const char *value) {
    const char *p = blanks(value_end(value));
    return *p == ',' ? blanks(p + 1) : NULL;
}

int json_numbers(const char *text, long *out, int room) {
    if (!text) return 0;
    const char *end = value_end(text);
    int count = 0;
    while (text < end && count < room) {
        char *after;
        long number = strtol(text, &after, 10);
        if (after > text) out[count++] = number, text = after;
        else if (!strncmp(text, "true", 4)) out[count++] = 1, text += 4;
        else if (!strncmp(text, "false", 5)) out[count++] = 0, text += 5;
        else text++;
    }
    return count;
}
